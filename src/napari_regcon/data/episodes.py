"""Small segmentation tasks and view pairs, drawn from many images for training features.

An episode is two crops of one task with truth and simulated strokes on the first; a view pair is
two geometrically known views of one place. Tasks come from labelled classes, from boundaries of
instances, and from superpixels grouped by their look on images without labels. All draws are
seeded by the caller. This module does not know what is trained.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage.segmentation import felzenszwalb, find_boundaries

from napari_regcon.data.crops import (
    coordinates_between,
    degrade,
    draw_centre,
    draw_intensity,
    draw_matrix,
    recolour,
    sample_crop,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, eq=False)
class SourcePlane:
    """A grey plane that episodes are drawn from.

    Parameters
    ----------
    image : numpy.ndarray
        ``(Y, X)`` float32, about [0, 1].
    labels : numpy.ndarray or None
        ``(Y, X)`` integers, 0 = background; None where there are none.
    instances : bool
        Whether a label value is one object rather than a class.
    group : str
        Planes of one group show the same classes in the same way.
    """

    image: np.ndarray
    labels: np.ndarray | None
    instances: bool
    group: str

    @cached_property
    def values(self) -> np.ndarray:
        """Label values that occur."""
        return np.unique(self.labels) if self.labels is not None else np.empty(0, np.int64)

    @cached_property
    def places(self) -> dict[int, np.ndarray]:
        """Some places ``(N, 2)`` of each label value of a class image; of any, for instances."""
        if self.labels is None:
            return {}
        if self.instances:
            return {0: np.argwhere(np.ones_like(self.labels))[::101]}
        found = {}
        for value in self.values:
            places = np.argwhere(self.labels == value)
            found[int(value)] = places[:: max(1, len(places) // 2000)]
        return found


@dataclass(frozen=True, eq=False)
class Episode:
    """Two crops of one task.

    Parameters
    ----------
    images : numpy.ndarray
        ``(2, H, W)`` float32.
    labels : numpy.ndarray
        ``(2, H, W)`` int64, 0 to ``classes - 1``, -1 = not known.
    strokes : numpy.ndarray
        ``(2, H, W)`` bool; only the first crop is painted.
    classes : int
        Number of classes, each with strokes.
    """

    images: np.ndarray
    labels: np.ndarray
    strokes: np.ndarray
    classes: int


@dataclass(frozen=True, eq=False)
class ViewPair:
    """Two views of one place.

    Parameters
    ----------
    images : numpy.ndarray
        ``(2, H, W)`` float32.
    grid : numpy.ndarray
        ``(H, W, 2)`` float32: for each pixel of the second view its place in the first, x then y,
        -1 to 1 from border to border (as ``grid_sample`` with ``align_corners=False`` has it).
    """

    images: np.ndarray
    grid: np.ndarray


@dataclass(frozen=True)
class EpisodeConfig:
    """How episodes are drawn.

    Parameters
    ----------
    crop_px : int
        Side of a crop.
    zoom : tuple of float
        Smallest and largest number of source pixels per crop pixel.
    pseudo_share : float
        Share of episodes whose task comes from superpixels although there may be labels.
    """

    crop_px: int = 128
    zoom: tuple[float, float] = (0.5, 2.5)
    pseudo_share: float = 0.3


@dataclass(frozen=True, eq=False)
class EpisodeSource:
    """Draws episodes and view pairs from planes.

    Parameters
    ----------
    planes : sequence of SourcePlane
        All planes; a group is drawn first, then a plane of it, so small data sets count.
    config : EpisodeConfig
        How to draw.
    """

    planes: Sequence[SourcePlane]
    config: EpisodeConfig = field(default_factory=EpisodeConfig)

    @cached_property
    def _groups(self) -> list[list[SourcePlane]]:
        groups: dict[str, list[SourcePlane]] = {}
        for plane in self.planes:
            groups.setdefault(plane.group, []).append(plane)
        return list(groups.values())

    def episode(self, rng: np.random.Generator) -> Episode:
        """Draw one episode; tries until every class can be painted."""
        while True:
            group = self._groups[rng.integers(len(self._groups))]
            labelled = [(p, p.labels) for p in group if p.labels is not None]
            zoom = float(np.exp(rng.uniform(*np.log(self.config.zoom))))
            if labelled and rng.random() >= self.config.pseudo_share:
                drawn = self._labelled(labelled, zoom, rng)
            else:
                drawn = self._pseudo(group[rng.integers(len(group))], zoom, rng)
            if drawn is not None:
                return drawn

    def view_pair(self, rng: np.random.Generator) -> ViewPair:
        """Draw two views that overlap, with different scale, turn and intensity."""
        group = self._groups[rng.integers(len(self._groups))]
        plane = group[rng.integers(len(group))]
        zoom = float(np.exp(rng.uniform(*np.log(self.config.zoom))))
        centre = draw_centre(plane.image.shape, self.config.crop_px * zoom, rng)
        matrices, centres, images = [], [], []
        for _ in range(2):
            shift = rng.uniform(-0.25, 0.25, 2) * self.config.crop_px * zoom
            matrix = draw_matrix(zoom * float(np.exp(rng.uniform(-0.35, 0.35))), rng)
            image = sample_crop(plane.image, centre + shift, matrix, self.config.crop_px, 1)
            images.append(degrade(recolour(image, draw_intensity(rng)), rng))
            matrices.append(matrix)
            centres.append(centre + shift)
        grid = coordinates_between(matrices, centres, self.config.crop_px)
        return ViewPair(np.stack(images), grid)

    def _labelled(
        self,
        planes: list[tuple[SourcePlane, np.ndarray]],
        zoom: float,
        rng: np.random.Generator,
    ) -> Episode | None:
        task = _random_task(planes[0][0], rng)
        images, labels = [], []
        for _ in range(2):
            plane, truth = planes[rng.integers(len(planes))]
            # Centre near a pixel of a random class, so that rare classes are seen.
            wanted = plane.places[int(rng.choice(list(plane.places)))]
            centre = wanted[rng.integers(len(wanted))].astype(float)
            centre += rng.uniform(-0.3, 0.3, 2) * self.config.crop_px * zoom
            matrix = draw_matrix(zoom, rng)
            images.append(sample_crop(plane.image, centre, matrix, self.config.crop_px, 1))
            labels.append(task(sample_crop(truth, centre, matrix, self.config.crop_px, 0)))
        return _finish(images, labels, rng)

    def _pseudo(self, plane: SourcePlane, zoom: float, rng: np.random.Generator) -> Episode | None:
        size = self.config.crop_px
        images = []
        for _ in range(2):
            centre = draw_centre(plane.image.shape, size * zoom, rng)
            images.append(sample_crop(plane.image, centre, draw_matrix(zoom, rng), size, 1))
        labels = _superpixel_task(images, rng)
        return None if labels is None else _finish(images, labels, rng)


def _random_task(
    plane: SourcePlane, rng: np.random.Generator
) -> Callable[[np.ndarray], np.ndarray]:
    """Draw a rule that turns labels into classes 0 to n - 1."""
    if plane.instances:
        return partial(_objects_or_edges, kind=int(rng.integers(3)), width=int(rng.integers(1, 4)))
    groups = min(len(plane.values), int(rng.integers(2, 5)))
    table = np.zeros(int(plane.values.max()) + 1, np.int64)
    table[plane.values] = rng.permutation(np.arange(len(plane.values)) % groups)
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


def _superpixel_task(images: list[np.ndarray], rng: np.random.Generator) -> list[np.ndarray] | None:
    """Group the superpixels of both crops by a random direction in their look."""
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
    first = len(looks[0])
    return [group[:first][segments[0]], group[first:][segments[1]]]


def _finish(
    images: list[np.ndarray], labels: list[np.ndarray], rng: np.random.Generator
) -> Episode | None:
    """Make an episode: number the classes of the first crop, paint it, change intensities."""
    found, counts = np.unique(labels[0], return_counts=True)
    found = found[counts >= 30]
    if len(found) < 2:
        return None
    table = np.full(int(max(a.max() for a in labels)) + 1, -1, np.int64)
    table[found] = np.arange(len(found))
    renamed = np.stack([table[a] for a in labels])
    strokes = np.zeros(renamed.shape, bool)
    n_strokes = int(rng.integers(1, 5))
    for index in range(len(found)):
        strokes[0] |= _paint(renamed[0] == index, n_strokes, rng)
    change = draw_intensity(rng)
    changed = [degrade(recolour(image, change), rng) for image in images]
    return Episode(np.stack(changed), renamed, strokes, len(found))


def _paint(mask: np.ndarray, n_strokes: int, rng: np.random.Generator) -> np.ndarray:
    """Paint quick wandering strokes inside a mask."""
    inner = ndimage.binary_erosion(mask)
    inner = inner if inner.sum() > 20 else mask
    places = np.argwhere(inner)
    painted = np.zeros(mask.shape, bool)
    for _ in range(n_strokes):
        y, x = places[rng.integers(len(places))].astype(float)
        heading = rng.uniform(0, 2 * np.pi)
        bends = rng.normal(0, 0.25, int(rng.integers(5, 40)))
        for bend in bends:
            painted[int(y), int(x)] = True
            heading += bend
            ny, nx = y + np.sin(heading), x + np.cos(heading)
            within = 0 <= ny < mask.shape[0] and 0 <= nx < mask.shape[1]
            if not (within and inner[int(ny), int(nx)]):
                heading += rng.uniform(0.5, 1.5) * np.pi
                continue
            y, x = ny, nx
    if rng.random() < 0.7:
        painted = ndimage.binary_dilation(painted) & mask
    return painted
