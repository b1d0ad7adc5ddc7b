"""What networks are trained on, as a recipe says: labelled data sets, and phantoms of many kinds.

Only data sets whose card has the role ``train`` are ever read. This module does not know what a
network is.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_regcon.data.corpus import Corpus, CorpusImage, corpus_folders, read_corpus
from napari_regcon.data.normalize import estimate_normalization
from napari_regcon.data.phantom import Phantom, PhantomConfig, make_phantom
from napari_regcon.data.source_planes import SourcePlane

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from napari_regcon.data.recipe import Recipe
    from napari_regcon.types import Volume

PHANTOMS = "phantom"
"""Family of the phantoms, for the shares of a recipe."""

_MOST_PROCESSES = 8
"""A process takes some hundred megabytes."""

_ISOTROPIC = 1.3
"""Voxels count as cubes where no side is longer than this times another."""


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
        See :class:`~napari_regcon.data.source_planes.SourcePlane`.
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
