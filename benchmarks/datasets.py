"""Data sets for the benchmarks: any folder with a ``dataset.toml``.

The file names the classes, the axes, what the labels are (``classes`` or ``instances``) and the
images with their labels. Nothing about a particular data set is written here. Units are the
planes a person would paint on; the first half of them may be painted, the rest is only measured.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from skimage.segmentation import find_boundaries

from napari_regcon.data.corpus import read_corpus
from napari_regcon.data.normalize import Normalization, estimate_normalization
from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_regcon.types import Volume


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """One image with its truth.

    Parameters
    ----------
    volume : Volume
        The image.
    truth : numpy.ndarray
        uint8 of ``volume.label_shape``; 0 = background, i = ``classes[i]``.
    normalization : Normalization
        Estimated from the image, never from the truth.
    """

    volume: Volume
    truth: np.ndarray
    normalization: Normalization


@dataclass(frozen=True)
class Unit:
    """One plane: which image, and the index in front of Y and X."""

    image: int
    prefix: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images with truth, and which planes may be painted.

    Parameters
    ----------
    name : str
        Name of the folder.
    role : str
        ``"train"`` where weights that ship may have seen it, ``"measure"`` where not.
    classes : tuple of str
        ``classes[0]`` is ``"background"``.
    images : tuple of LabelledImage
        All labelled images.
    train, test : tuple of Unit
        Planes that may be painted, and planes never painted (at least half).
    """

    name: str
    role: str
    classes: tuple[str, ...]
    images: tuple[LabelledImage, ...]
    train: tuple[Unit, ...]
    test: tuple[Unit, ...]

    def truth(self, unit: Unit) -> np.ndarray:
        """Return the truth of a plane, ``(Y, X)`` uint8."""
        return self.images[unit.image].truth[unit.prefix]


def load_dataset(folder: Path, *, boundary: bool = False, crop_px: int | None = None) -> Dataset:
    """Read a folder with a ``dataset.toml``.

    Parameters
    ----------
    folder : pathlib.Path
        The folder.
    boundary : bool
        For instance labels: add a class for the pixels where instances touch the outside.
    crop_px : int, optional
        Cut the planes to a central square of at most this side.

    Raises
    ------
    InputError
        If there is no ``dataset.toml`` or no labelled image.
    """
    corpus = read_corpus(folder)
    names = list(corpus.classes)
    if corpus.instances:
        names = names[:1] + (["boundary"] if boundary else [])
    images = []
    for item in corpus.images:
        if item.labels is None:
            continue
        labels = item.labels
        truth = (
            _instances_to_classes(labels, boundary) if corpus.instances else labels.astype(np.uint8)
        )
        image = LabelledImage(item.volume, truth, estimate_normalization(item.volume))
        images.append(_crop(image, crop_px) if crop_px else image)
    if not images:
        raise InputError(f"{folder} has no image with labels.")
    if sum(1 for image in images for _ in image.volume.prefixes(2)) == 1:
        images = _halves(images[0])
    units = [Unit(i, p) for i, image in enumerate(images) for p in image.volume.prefixes(2)]
    half = len(units) // 2
    return Dataset(
        corpus.name,
        corpus.role,
        ("background", *names),
        tuple(images),
        tuple(units[:half]),
        tuple(units[half:]),
    )


def _instances_to_classes(labels: np.ndarray, boundary: bool) -> np.ndarray:
    truth = (labels > 0).astype(np.uint8)
    if boundary:
        for prefix in np.ndindex(labels.shape[:-2]):
            truth[prefix][find_boundaries(labels[prefix], mode="inner")] = 2
    return truth


def _cut(image: LabelledImage, rows: slice, columns: slice) -> LabelledImage:
    n_outer = len(image.volume.label_shape) - 2
    key = (*(slice(None),) * n_outer, rows, columns)
    volume = replace(image.volume, data=np.asarray(image.volume.data[key]))
    return LabelledImage(volume, image.truth[key], image.normalization)


def _crop(image: LabelledImage, side: int) -> LabelledImage:
    rows, columns = (
        slice(max(0, (n - side) // 2), max(0, (n - side) // 2) + min(n, side))
        for n in image.volume.label_shape[-2:]
    )
    return _cut(image, rows, columns)


def _halves(image: LabelledImage) -> list[LabelledImage]:
    """Cut a single plane in two along its longer side, so that one half is never painted."""
    height, width = image.volume.label_shape[-2:]
    everything = slice(None)
    if width >= height:
        parts = [(everything, slice(0, width // 2)), (everything, slice(width // 2, width))]
    else:
        parts = [(slice(0, height // 2), everything), (slice(height // 2, height), everything)]
    return [_cut(image, rows, columns) for rows, columns in parts]
