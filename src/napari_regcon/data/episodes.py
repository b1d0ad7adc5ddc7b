"""Small segmentation tasks and view pairs, drawn from many images for training features.

An episode is two crops of one task with truth and simulated strokes on the first; a view pair is
two geometrically known views of one place. Tasks come from labelled classes, from boundaries of
instances, and from superpixels grouped by their look on images without labels. All draws are
seeded by the caller. This module does not know what is trained.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_regcon.config import param, validate
from napari_regcon.data.crops import (
    coordinates_between,
    degrade,
    draw_centre,
    draw_intensity,
    draw_matrix,
    recolour,
    sample_crop,
)
from napari_regcon.data.source_planes import MOST_TRIES, PlaneGroups, shows_too_little
from napari_regcon.data.tasks import random_task, superpixel_task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_regcon.data.source_planes import SourcePlane


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
    """How episodes are drawn."""

    crop_px: int = param(128, "Crop (px)", "Side of a crop.", minimum=16, maximum=1024)
    zoom: tuple[float, float] = param(
        (0.5, 2.5),
        "Zoom",
        "Smallest and largest number of source pixels per crop pixel.",
        minimum=0.05,
        maximum=50.0,
        ordered=True,
    )
    pseudo_share: float = param(
        0.3,
        "Pseudo share",
        "Share of episodes whose task comes from superpixels although there may be labels.",
        minimum=0.0,
        maximum=1.0,
    )

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, eq=False)
class EpisodeSource:
    """Draws episodes and view pairs from planes.

    Parameters
    ----------
    planes : sequence of SourcePlane
        All planes; a group is drawn first, then a plane of it, so small data sets count.
    config : EpisodeConfig
        How to draw.
    shares : mapping of str to float
        How often a family of groups is drawn, relative to the others; 1 where not given.
    """

    planes: Sequence[SourcePlane]
    config: EpisodeConfig = field(default_factory=EpisodeConfig)
    shares: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def _groups(self) -> PlaneGroups:
        return PlaneGroups(self.planes, self.shares)

    def episode(self, rng: np.random.Generator) -> Episode:
        """Draw one episode; tries until every class can be painted.

        Raises
        ------
        InputError
            If the images show too little for that.
        """
        for _ in range(MOST_TRIES):
            group = self._groups.draw(rng)
            labelled = [(p, p.labels) for p in group if p.labels is not None]
            zoom = float(np.exp(rng.uniform(*np.log(self.config.zoom))))
            if labelled and rng.random() >= self.config.pseudo_share:
                drawn = self._labelled(labelled, zoom, rng)
            else:
                drawn = self._pseudo(group[rng.integers(len(group))], zoom, rng)
            if drawn is not None:
                return drawn
        raise shows_too_little()

    def view_pair(self, rng: np.random.Generator) -> ViewPair:
        """Draw two views that overlap, with different scale, turn and intensity."""
        group = self._groups.draw(rng)
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

    def picture(self, size: int) -> np.ndarray:
        """Return the middle of a plane at half its size, float32 ``(size, size)``, to look at."""
        planes = self._groups.all[0]
        image = planes[len(planes) // 2].image
        centre = (np.array(image.shape) - 1) / 2
        return sample_crop(image, centre, 2 * np.eye(2), size, 1).astype(np.float32)

    def _labelled(
        self,
        planes: list[tuple[SourcePlane, np.ndarray]],
        zoom: float,
        rng: np.random.Generator,
    ) -> Episode | None:
        task = random_task(planes[0][0].values, rng, instances=planes[0][0].instances)
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
        return _finish(images, superpixel_task(images, rng), rng)


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
