"""Folders of labelled images, described by a ``dataset.toml`` each.

The card names the data set, its licence and role, the axes, what the labels are and which files
belong together. Training recipes and benchmarks both read their data through this module. It
does not know what the images are used for; it only passes on the role the card states.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_regcon.data.volumes import open_volume
from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_regcon.types import Volume

CARD = "dataset.toml"


@dataclass(frozen=True, eq=False)
class CorpusImage:
    """One image of a data set.

    Parameters
    ----------
    volume : Volume
        The image.
    labels : numpy.ndarray or None
        Integers of ``volume.label_shape``, 0 = background; None where there are none.
    """

    volume: Volume
    labels: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Corpus:
    """A data set as its card describes it.

    Parameters
    ----------
    name : str
        Name of the folder.
    title, licence, source, role, modality : str
        As on the card; ``role`` is ``"train"`` or ``"measure"``.
    instances : bool
        Whether a label value is one object rather than a class.
    classes : tuple of str
        Names of the classes without background; label ``i + 1`` is ``classes[i]`` unless the
        labels are instances, which all belong to the first.
    images : tuple of CorpusImage
        All images, labelled or not.
    """

    name: str
    title: str
    licence: str
    source: str
    role: str
    modality: str
    instances: bool
    classes: tuple[str, ...]
    images: tuple[CorpusImage, ...]


def read_corpus(folder: Path) -> Corpus:
    """Read a folder with a ``dataset.toml``.

    Parameters
    ----------
    folder : pathlib.Path
        The folder.

    Raises
    ------
    InputError
        If there is no card, the card lacks an entry, or images and labels differ in shape.
    """
    card = _read_card(folder / CARD)
    try:
        classes = tuple(name for _, name in sorted((int(k), v) for k, v in card["classes"].items()))
        images = tuple(_read_image(folder, entry, card["axes"]) for entry in card["images"])
        return Corpus(
            name=folder.name,
            title=card["name"],
            licence=card["licence"],
            source=card.get("source", ""),
            role=card["role"],
            modality=card.get("modality", ""),
            instances=card["labels_are"] == "instances",
            classes=classes,
            images=images,
        )
    except KeyError as error:
        raise InputError(
            f"{folder / CARD} has no entry {error}.",
            expected="Expected name, licence, role, axes, labels_are, classes and images.",
        ) from error


def corpus_folders(parent: Path, role: str | None = None) -> list[Path]:
    """Return the folders below ``parent`` that have a card, by name.

    Parameters
    ----------
    parent : pathlib.Path
        Folder of data-set folders.
    role : str, optional
        Only those whose card states this role.

    Raises
    ------
    InputError
        If there is none, or a card cannot be read.
    """
    found = sorted(card.parent for card in parent.glob(f"*/{CARD}"))
    if role is not None:
        found = [folder for folder in found if _read_card(folder / CARD).get("role") == role]
    if not found:
        wanted = CARD if role is None else f"{CARD} with the role {role!r}"
        raise InputError(
            f"No folder in {parent} has a {wanted}.",
            next_step="Name the folder that holds the data-set folders.",
        )
    return found


def _read_card(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"There is no {CARD} in {path.parent}.")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is not valid TOML: {error}.") from error


def _read_image(folder: Path, entry: dict[str, str], axes: str) -> CorpusImage:
    volume = open_volume(folder / entry["raw"], axes=axes)
    if "labels" not in entry:
        return CorpusImage(volume, None)
    labels = np.asarray(open_volume(folder / entry["labels"], axes=axes.removesuffix("C")).data)
    if labels.shape != volume.label_shape:
        raise InputError(
            f"{entry['labels']} in {folder} has shape {labels.shape}, but its image needs "
            f"{volume.label_shape}."
        )
    return CorpusImage(volume, labels)
