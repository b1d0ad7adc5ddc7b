"""Rules that make a small segmentation task of labels, or of an image without any.

A task is a map from label values to classes, objects against their edges, or superpixels grouped
by their look. All draws are seeded by the caller. Nothing here knows what a task is for.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage.segmentation import felzenszwalb, find_boundaries

if TYPE_CHECKING:
    from collections.abc import Callable


def random_task(
    values: np.ndarray, rng: np.random.Generator, *, instances: bool
) -> Callable[[np.ndarray], np.ndarray]:
    """Draw a rule that turns labels into classes 0 to n - 1.

    Parameters
    ----------
    values : numpy.ndarray
        Label values that occur.
    rng : numpy.random.Generator
        Source of randomness.
    instances : bool
        Whether a label value is one object rather than a class.
    """
    if instances:
        return partial(_objects_or_edges, kind=int(rng.integers(3)), width=int(rng.integers(1, 4)))
    groups = min(len(values), int(rng.integers(2, 5)))
    table = np.zeros(int(values.max()) + 1, np.int64)
    table[values] = rng.permutation(np.arange(len(values)) % groups)
    return lambda labels: table[np.minimum(labels, len(table) - 1)]


def _objects_or_edges(labels: np.ndarray, *, kind: int, width: int) -> np.ndarray:
    """Turn instances into objects (0), their edges (1), or edges apart from objects (2)."""
    if kind == 0:
        return (labels > 0).astype(np.int64)
    edge = np.asarray(find_boundaries(labels, mode="thick"))
    if width > 1:
        edge = np.asarray(ndimage.binary_dilation(edge, iterations=width - 1))
    if kind == 1:
        return edge.astype(np.int64)
    return np.where(edge, 2, labels > 0).astype(np.int64)


def binary_task(
    values: np.ndarray, rng: np.random.Generator, *, instances: bool
) -> tuple[Callable[[np.ndarray], np.ndarray], tuple[int, ...]]:
    """Draw a rule that turns labels into what is looked for and all else.

    Parameters
    ----------
    values : numpy.ndarray
        Label values that occur, at least two.
    rng : numpy.random.Generator
        Source of randomness.
    instances : bool
        Whether a label value is one object rather than a class.

    Returns
    -------
    rule : callable
        Labels ``(H, W)`` to bool ``(H, W)``.
    shown : tuple of int
        Values that are looked for; empty for instances, where any place may show it.
    """
    if instances:
        kind, width = int(rng.integers(3)), int(rng.integers(1, 4))
        # Mostly the objects, or their edges; now and then what is left.
        wanted = int(rng.choice([1, 2, 0], p=[0.55, 0.35, 0.1])) if kind == 2 else 1
        return lambda labels: _objects_or_edges(labels, kind=kind, width=width) == wanted, ()
    most = 1 if rng.random() < 0.75 else max(1, len(values) - 1)
    chosen = rng.choice(values, int(rng.integers(1, most + 1)), replace=False)
    return lambda labels: np.isin(labels, chosen), tuple(int(value) for value in chosen)


def superpixel_task(images: list[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """Group the superpixels of some crops of one plane by a random direction in their look.

    Returns
    -------
    list of numpy.ndarray
        Classes ``(H, W)`` of each crop.
    """
    segments, looks = [], []
    scale = float(np.exp(rng.uniform(np.log(20), np.log(300))))
    for image in images:
        segment = felzenszwalb(image, scale=scale, sigma=0.8, min_size=int(rng.integers(20, 120)))
        index = np.arange(segment.max() + 1)
        smooth = ndimage.gaussian_filter(image, 1)
        edges = ndimage.gaussian_gradient_magnitude(image, 1)
        area = np.bincount(segment.ravel(), minlength=len(index))
        look = [
            ndimage.mean(image, segment, index),
            ndimage.standard_deviation(smooth, segment, index),
            ndimage.mean(edges, segment, index),
            np.log(area),
        ]
        segments.append(segment)
        looks.append(np.stack(look, 1))
    together = np.concatenate(looks)
    together = (together - together.mean(0)) / (together.std(0) + 1e-6)
    score = together @ (rng.normal(size=4) * np.array([2.0, 1.0, 1.0, 0.7]))
    groups = int(rng.integers(2, 4))
    areas = np.concatenate([np.bincount(s.ravel()) for s in segments])
    order = np.argsort(score)
    share = np.cumsum(areas[order]) / areas.sum()
    cuts = np.sort(rng.uniform(0.1, 0.9, groups - 1))
    group = np.empty(len(order), np.int64)
    group[order] = np.searchsorted(cuts, share)
    parts = np.split(group, np.cumsum([len(look) for look in looks])[:-1])
    return [part[segment] for part, segment in zip(parts, segments, strict=True)]
