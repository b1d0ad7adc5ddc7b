"""Tasks for training a network that segments in context: a support set and queries like it.

A task says what is looked for in images of one kind. It comes from labelled classes, from objects
and their edges, from superpixels grouped by their look, or is drawn. Support and queries are from
different planes where there are several. Some changes are made to all images of a task alike
(scale, brightness curve, inversion, edges instead of areas), others to each (place, turn, blur,
noise): the task and in-task augmentation of arXiv 2304.06131, section 3.3. All draws are seeded by
the caller. This module does not know what is trained.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_regcon.config import param, validate
from napari_regcon.data.crops import (
    degrade,
    draw_centre,
    draw_intensity,
    draw_matrix,
    recolour,
    sample_crop,
)
from napari_regcon.data.drawn_tasks import drawn_task
from napari_regcon.data.source_planes import MOST_TRIES, PlaneGroups, shows_too_little
from napari_regcon.data.tasks import binary_task, superpixel_task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_regcon.data.source_planes import SourcePlane

SHOWN_SHARE = 0.8
"""Share of the crops that are placed so that they show what is looked for."""

_LEAST, _MOST = 0.004, 0.97
"""Share of all pixels that what is looked for covers, at least and at most."""

_EDGES_SHARE, _INVERSE_SHARE = 0.08, 0.08
"""Share of tasks that look for the edges instead of the areas, or for all else."""


@dataclass(frozen=True, eq=False)
class ContextTask:
    """Images of one task; the first ones are the support set, the others are queries.

    Parameters
    ----------
    images : numpy.ndarray
        ``(N, H, W)`` float32, each spread over [0, 1].
    labels : numpy.ndarray
        ``(N, H, W)`` float32, 1 = what is looked for, 0 = all else.
    """

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class ContextConfig:
    """How tasks for training in context are drawn."""

    zoom: tuple[float, float] = param(
        (0.7, 6.0),
        "Zoom",
        "Smallest and largest number of source pixels per crop pixel.",
        minimum=0.05,
        maximum=50.0,
        ordered=True,
    )
    drawn_share: float = param(
        0.35, "Drawn share", "Share of tasks that are drawn.", minimum=0.0, maximum=1.0
    )
    pseudo_share: float = param(
        0.15,
        "Pseudo share",
        "Share of the other tasks that come from superpixels although there may be labels.",
        minimum=0.0,
        maximum=1.0,
    )

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, eq=False)
class ContextSource:
    """Draws tasks from planes, and from nothing.

    Parameters
    ----------
    planes : sequence of SourcePlane
        All planes.
    config : ContextConfig
        How to draw.
    shares : mapping of str to float
        How often a family of groups is drawn, relative to the others; 1 where not given.
    """

    planes: Sequence[SourcePlane]
    config: ContextConfig = field(default_factory=ContextConfig)
    shares: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def _groups(self) -> PlaneGroups:
        return PlaneGroups(self.planes, self.shares)

    def task(
        self, n_support: int, n_queries: int, size: int, rng: np.random.Generator
    ) -> ContextTask:
        """Draw a task; tries until what is looked for can be seen.

        Parameters
        ----------
        n_support, n_queries : int
            Numbers of images.
        size : int
            Side of an image in pixels.
        rng : numpy.random.Generator
            Source of randomness.

        Raises
        ------
        InputError
            If the images show too little for that.
        """
        for _ in range(MOST_TRIES):
            found = self._draw(n_support, n_queries, size, rng)
            if found is None:
                continue
            images, labels = found
            if rng.random() < _EDGES_SHARE:
                width = int(rng.integers(1, 3))
                labels = np.stack([_edges(mask, width) for mask in labels])
            if rng.random() < _INVERSE_SHARE:
                labels = ~labels
            share = labels.mean((1, 2))
            if share[:n_support].max() > _LEAST and _LEAST < share.mean() < _MOST:
                change = draw_intensity(rng)
                images = np.stack([degrade(recolour(image, change), rng) for image in images])
                low, high = (f(images, axis=(1, 2), keepdims=True) for f in (np.min, np.max))
                spread = (images - low) / np.maximum(high - low, 1e-6)
                return ContextTask(spread.astype(np.float32), labels.astype(np.float32))
        raise shows_too_little()

    def _draw(
        self, n_support: int, n_queries: int, size: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Draw images about [0, 1] and bool labels, ``(N, H, W)`` each."""
        if not self.planes or rng.random() < self.config.drawn_share:
            return drawn_task(n_support + n_queries, size, rng)
        group = self._groups.draw(rng)
        labelled = [p for p in group if len(p.values) > 1]
        zoom = float(np.exp(rng.uniform(*np.log(self.config.zoom))))
        if labelled and rng.random() >= self.config.pseudo_share:
            planes = _choose(labelled, n_support, n_queries, rng)
            return _labelled(planes, zoom, size, rng)
        return _pseudo(_choose(group, n_support, n_queries, rng), zoom, size, rng)


def _labelled(
    planes: list[SourcePlane], zoom: float, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    first = planes[0]
    rule, shown = binary_task(first.values, rng, instances=first.instances)
    images, labels = [], []
    for plane in planes:
        there = [value for value in shown if value in plane.places] or list(plane.places)
        anything = list(plane.places)
        wanted = plane.places[int(rng.choice(there if rng.random() < SHOWN_SHARE else anything))]
        near = rng.uniform(-0.4, 0.4, 2) * size * zoom
        centre = wanted[rng.integers(len(wanted))] + near
        image, said = _crop(plane, centre, zoom, size, rng)
        images.append(image)
        labels.append(rule(said))
    return np.stack(images), np.stack(labels)


def _pseudo(
    planes: list[SourcePlane], zoom: float, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    images = []
    for plane in planes:
        centre = draw_centre(plane.image.shape, size * zoom, rng)
        images.append(_crop(plane, centre, zoom, size, rng)[0])
    classes = np.stack(superpixel_task(images, rng))
    return np.stack(images), classes == rng.integers(classes.max() + 1)


def _crop(
    plane: SourcePlane, centre: np.ndarray, zoom: float, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Sample a crop of image and labels, from a smaller copy of the plane where that is enough."""
    # A crop much larger than its plane would show it several times, mirrored.
    zoom = min(zoom, 1.2 * min(plane.image.shape) / size) * float(np.exp(rng.uniform(-0.15, 0.15)))
    matrix = draw_matrix(zoom, rng)
    while zoom > 1.5 and plane.half is not None:
        plane, zoom = plane.half, zoom / 2
        matrix, centre = matrix / 2, centre / 2
    centre = np.clip(centre, 0, np.array(plane.image.shape) - 1)
    image = sample_crop(plane.image, centre, matrix, size, 1)
    if plane.labels is None:
        return image, np.zeros(image.shape, np.int64)
    return image, sample_crop(plane.labels, centre, matrix, size, 0)


def _choose(
    planes: list[SourcePlane], n_support: int, n_queries: int, rng: np.random.Generator
) -> list[SourcePlane]:
    """Choose planes for support and queries, different ones if there are as many."""
    order = rng.permutation(len(planes))
    n_apart = min(n_queries, len(planes) - 1)
    queries = order[:n_apart] if n_apart else order
    others = order[n_apart:]
    chosen = [
        *(others[i % len(others)] for i in range(n_support)),
        *(queries[i % len(queries)] for i in range(n_queries)),
    ]
    return [planes[i] for i in chosen]


def _edges(mask: np.ndarray, width: int) -> np.ndarray:
    grown = ndimage.binary_dilation(mask, iterations=width)
    edges: np.ndarray = grown & ~ndimage.binary_erosion(mask, iterations=width, border_value=1)
    return edges
