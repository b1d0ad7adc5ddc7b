"""What features are trained on, as a recipe says: labelled data sets, and phantoms of many kinds.

A recipe is a TOML file that holds everything but the images: how much of what is drawn, how it
is drawn, and the parameters of the training. Only data sets whose card has the role ``train``
are ever read. This module does not know what a network is.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tomllib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, fields
from functools import partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_regcon.config import PretrainConfig, param, validate
from napari_regcon.data.corpus import Corpus, CorpusImage, corpus_folders, read_corpus
from napari_regcon.data.episodes import EpisodeConfig, SourcePlane
from napari_regcon.data.normalize import estimate_normalization
from napari_regcon.data.phantom import Phantom, PhantomConfig, make_phantom
from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from napari_regcon.types import Volume

PHANTOMS = "phantom"
"""Family of the phantoms, for the shares of a recipe."""

_MOST_PROCESSES = 8
"""A process takes some hundred megabytes."""

_ISOTROPIC = 1.3
"""Voxels count as cubes where no side is longer than this times another."""


@dataclass(frozen=True)
class Recipe:
    """How features are trained, but for the images.

    Parameters
    ----------
    train : PretrainConfig
        Parameters of the training.
    draw : EpisodeConfig
        How small tasks are drawn.
    shares : dict of str to float
        How often a data set, or the phantoms together, are drawn; 1 where not given.
    without : tuple of str
        Data sets that are left out.
    """

    train: PretrainConfig = field(default_factory=PretrainConfig)
    draw: EpisodeConfig = field(default_factory=EpisodeConfig)
    shares: dict[str, float] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    licence: str = param("not stated", "Licence", "Under which the weights may be used.")
    phantoms: int = param(0, "Phantoms", "Phantoms of different kinds.", minimum=0)
    phantom_shape: tuple[int, int, int] = param(
        (12, 384, 384), "Phantom shape", "Voxels of a phantom along Z, Y, X.", minimum=1
    )
    planes_per_volume: int = param(
        48, "Planes per volume", "Most planes of a volume along one axis.", minimum=1
    )

    def __post_init__(self) -> None:
        validate(self)
        crop, stride = self.draw.crop_px, self.train.stride
        if crop % stride:
            raise InputError(
                f"Crop (px) is {crop}.",
                expected=f"Expected a multiple of {stride}, which {self.train.levels} levels need.",
            )
        for name, share in self.shares.items():
            if not 0 < share < float("inf"):
                raise InputError(
                    f"The share of {name} is {share}.",
                    expected="Expected a number above 0.",
                    next_step="To leave a data set out, name it in 'without'.",
                )
        if not isinstance(self.without, tuple):
            raise InputError(
                f"'without' is {self.without!r}.", expected="Expected a list of data sets."
            )


def read_recipe(name: str | Path) -> Recipe:
    """Read a recipe.

    Parameters
    ----------
    name : str or pathlib.Path
        One that ships (``"regcon-em"``, ``"adapt"``), or a TOML file with ``licence`` and the
        tables ``train``, ``draw``, ``shares`` and ``data``, all optional.

    Raises
    ------
    InputError
        If there is none, it is not TOML, or an entry is unknown or out of range.
    """
    path = _recipe_path(str(name))
    try:
        text = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path} cannot be read as a recipe: {error}.") from error
    data = text.pop("data", {})
    tables = {"train", "draw", "shares"}
    _check_names(path, "data", data, {item.name for item in fields(Recipe)} - tables - {"licence"})
    _check_names(path, "recipe", text, tables | {"licence"})
    try:
        return Recipe(
            train=PretrainConfig(**text.pop("train", {})),
            draw=EpisodeConfig(**_tuples(text.pop("draw", {}))),
            shares={name: float(share) for name, share in text.pop("shares", {}).items()},
            **text,
            **_tuples(data),
        )
    except (TypeError, ValueError) as error:
        raise InputError(f"{path} has an entry that does not fit: {error}.") from error


def recipe_corpora(recipe: Recipe, parent: Path | None) -> list[Corpus]:
    """Return the data sets that a recipe trains on.

    Parameters
    ----------
    recipe : Recipe
        What to leave out.
    parent : pathlib.Path or None
        Folder of data-set folders; None for phantoms alone.

    Raises
    ------
    InputError
        If a card or an image cannot be read.
    """
    folders = corpus_folders(parent, role="train") if parent else []
    return [read_corpus(folder) for folder in folders if folder.name not in recipe.without]


def recipe_planes(recipe: Recipe, corpora: Iterable[Corpus]) -> Iterator[SourcePlane]:
    """Iterate over all planes that a recipe trains on.

    Phantoms are drawn in other processes; a script that calls this needs the usual
    ``if __name__ == "__main__":``.

    Parameters
    ----------
    recipe : Recipe
        How much to take, and which phantoms to draw.
    corpora : iterable of Corpus
        What :func:`recipe_corpora` found.

    Yields
    ------
    SourcePlane
        Normalised planes. Those of a data set or phantom follow one another.
    """
    for corpus in corpora:
        for image in corpus.images:
            yield from _image_planes(corpus, image, recipe.planes_per_volume)
    yield from _phantom_planes(recipe)


def volume_planes(
    volume: Volume, labels: np.ndarray | None, *, group: str, instances: bool, most: int
) -> Iterator[SourcePlane]:
    """Iterate over normalised planes of a volume: along Z, and all axes where voxels are cubes.

    Parameters
    ----------
    volume : Volume
        Any image; the mean of its channels is taken.
    labels : numpy.ndarray or None
        Integers of ``volume.label_shape``.
    group : str
        See :class:`~napari_regcon.data.episodes.SourcePlane`.
    instances : bool
        Whether a label value is one object.
    most : int
        Planes along one axis at most, evenly spaced.
    """
    normalise = estimate_normalization(volume)
    n_outer = len(volume.label_shape) - 2
    n_planes = int(np.prod(volume.label_shape[:n_outer]))
    if n_outer == 1 and n_planes > 1 and _is_isotropic(volume):
        stack = _grey(normalise, volume, np.asarray(volume.data))
        for axis in range(3):
            for index in _evenly(stack.shape[axis], most):
                plane = np.ascontiguousarray(stack.take(index, axis))
                said = None if labels is None else np.ascontiguousarray(labels.take(index, axis))
                yield SourcePlane(plane, said, instances, group)
        return
    for flat in _evenly(n_planes, most):
        prefix = tuple(int(i) for i in np.unravel_index(flat, volume.label_shape[:n_outer]))
        plane = _grey(normalise, volume, np.asarray(volume.data[prefix]))
        yield SourcePlane(plane, None if labels is None else labels[prefix], instances, group)


def _image_planes(corpus: Corpus, image: CorpusImage, most: int) -> Iterator[SourcePlane]:
    yield from volume_planes(
        image.volume, image.labels, group=corpus.name, instances=corpus.instances, most=most
    )


def _phantom_planes(recipe: Recipe) -> Iterator[SourcePlane]:
    """Draw the phantoms in processes of their own, because each keeps a core busy for seconds."""
    if recipe.phantoms == 0:
        return
    n_processes = min(recipe.phantoms, os.cpu_count() or 1, _MOST_PROCESSES)
    context = multiprocessing.get_context("spawn")
    # Ctrl-C ends the run here, not in the middle of every one of them.
    quiet = partial(signal.signal, signal.SIGINT, signal.SIG_IGN)
    with ProcessPoolExecutor(n_processes, context, initializer=quiet) as pool:
        drawn = pool.map(partial(_draw_phantom, recipe), range(recipe.phantoms))
        for index, phantom in enumerate(drawn):
            yield from volume_planes(
                phantom.volume,
                phantom.labels,
                group=f"{PHANTOMS}/{index}",
                instances=False,
                most=recipe.planes_per_volume,
            )


def _draw_phantom(recipe: Recipe, index: int) -> Phantom:
    """Draw one phantom of its own kind; its pixels have a size of their own."""
    rng = np.random.default_rng((recipe.train.seed, index))
    side = float(np.exp(rng.uniform(np.log(4.0), np.log(14.0))))
    return make_phantom(
        recipe.phantom_shape,
        seed=int(rng.integers(2**31)),
        voxel_size_nm=(max(30.0, side), side, side),
        config=PhantomConfig.draw(rng),
    )


def _grey(normalise: Any, volume: Volume, raw: np.ndarray) -> np.ndarray:
    values: np.ndarray = normalise(raw, channels_last=volume.has_channels)
    return values.mean(-1) if volume.has_channels else values


def _is_isotropic(volume: Volume) -> bool:
    n_label = len(volume.label_shape)
    scale, units = volume.scale[:n_label], set(volume.units[:n_label])
    known = len(units) == 1 and all(s > 0 for s in scale) and set(scale) != {1.0}
    return known and max(scale) <= _ISOTROPIC * min(scale) and min(volume.label_shape) >= 64


def _evenly(n: int, most: int) -> list[int]:
    found: list[int] = np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int)).tolist()
    return found


def _recipe_path(name: str) -> Path:
    shipped = Path(str(resources.files("napari_regcon"))) / "recipes"
    path = shipped / f"{name}.toml"
    if path.is_file():
        return path
    if not Path(name).is_file():
        names = ", ".join(sorted(p.stem for p in shipped.glob("*.toml")))
        raise InputError(
            f"There is no recipe {name!r}.", expected=f"Expected {names}, or a TOML file."
        )
    return Path(name)


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}


def _check_names(path: Path, table: str, given: dict[str, Any], known: set[str]) -> None:
    unknown = sorted(set(given) - known)
    if unknown:
        raise InputError(
            f"{path}: {', '.join(unknown)} is not known in the {table} table.",
            expected=f"Expected {', '.join(sorted(known))}.",
        )
