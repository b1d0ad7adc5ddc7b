"""Crops around what is painted, changed as microscopes change images, to train a network on.

Images are read where a crop lies and nowhere else, so planes of any size will do. All draws are
seeded by the caller. Nothing here knows what is trained.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from scipy import ndimage
from scipy.interpolate import make_interp_spline

from napari_regcon.data.crops import degrade, draw_intensity, draw_loss, draw_matrix, recolour
from napari_regcon.types import NOT_SAID, Box

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_regcon.data.stroke_split import Stroke
    from napari_regcon.data.support import SupportExample, SupportSet

    Opinion: TypeAlias = Callable[[SupportExample, Box], np.ndarray]
    """Float32 probabilities ``(K, y, x)`` in a window of the plane of an example; 0 for all
    classes where nothing is known."""

_ELASTIC_PX = 3.0
"""Standard deviation of the largest elastic shift, in crop pixels."""
_KNOTS = 5
"""Places along a side where a shift is drawn; a spline goes through them."""


@dataclass(frozen=True, eq=False)
class Crop:
    """A crop with the labels of some strokes.

    Parameters
    ----------
    image : numpy.ndarray
        ``(C, H, W)`` float32, about [0, 1]; C with the channels of neighbouring slices.
    clean : numpy.ndarray
        The same without changes of intensity.
    labels : numpy.ndarray
        ``(H, W)`` int64, 0 to n - 1, -1 = not said.
    opinion : numpy.ndarray
        ``(K, H, W)`` float32 probabilities that another method gives; 0 for all classes where
        there are none, and K = 0 where there is no such method.
    """

    image: np.ndarray
    clean: np.ndarray
    labels: np.ndarray
    opinion: np.ndarray


class StrokeCrops:
    """Draws crops around strokes, each class as often as any other.

    Parameters
    ----------
    support : SupportSet
        What is painted.
    strokes : sequence of Stroke
        Those whose labels are shown; at least one.
    crop_px : int
        Side of a crop.
    downscale : float
        Source pixels per crop pixel, on average.
    opinion : callable, optional
        What another method thinks of the pixels of a window.
    missing : float
        Share of the crops drawn of which a part is missing.
    neighbours : int
        Slices above and below that are shown as channels, too.
    """

    def __init__(
        self,
        support: SupportSet,
        strokes: Sequence[Stroke],
        crop_px: int,
        downscale: float,
        opinion: Opinion | None = None,
        missing: float = 0.0,
        neighbours: int = 0,
    ) -> None:
        self._opinion = opinion
        self._missing = missing
        self._neighbours = neighbours
        self._examples = support.examples
        self._crop_px = crop_px
        self._downscale = downscale
        self._said = {i: np.zeros(e.labels.shape, bool) for i, e in enumerate(self._examples)}
        self._places: dict[int, list[tuple[int, np.ndarray]]] = {}
        for stroke in strokes:
            self._said[stroke.example][stroke.box.slices] |= stroke.mask
            labels = self._examples[stroke.example].labels[stroke.box.slices]
            for value in stroke.values:
                places = np.argwhere(stroke.mask & (labels == value + 1)) + stroke.box.start
                self._places.setdefault(value, []).append((stroke.example, places))

    @property
    def n_strokes(self) -> int:
        """Strokes there are to draw from, those of several classes counted for each."""
        return sum(len(found) for found in self._places.values())

    def draw(self, rng: np.random.Generator) -> Crop:
        """Draw a crop: a class, a stroke of it, a pixel of that; then turn, stretch and so on."""
        values = sorted(self._places)
        of_class = self._places[values[rng.integers(len(values))]]
        index, places = of_class[rng.integers(len(of_class))]
        zoom = self._downscale * float(np.exp(rng.uniform(-0.3, 0.3)))
        centre = places[rng.integers(len(places))] + rng.uniform(-0.35, 0.35, 2) * (
            self._crop_px * zoom
        )
        shift = _elastic(self._crop_px, rng)
        clean, labels, opinion = self._sample(index, centre, draw_matrix(zoom, rng), shift)
        lost = draw_loss(self._crop_px, self._missing, rng)
        if lost is not None:
            clean[:, lost] = rng.uniform(0, 1)
            labels[lost] = NOT_SAID
            opinion[:, lost] = 0
        gamma, contrast, brightness, _ = draw_intensity(rng)
        image = degrade(recolour(clean, (gamma, contrast, brightness, False)), rng)
        return Crop(image.astype(np.float32), clean, labels, opinion)

    def straight(self) -> list[Crop]:
        """Return one unchanged crop for each stroke, around its middle."""
        # Between two pixels, so that those of the crop are those of the image, not blends.
        found = []
        matrix = np.eye(2) * self._downscale
        for of_class in self._places.values():
            for index, places in of_class:
                middle = places[np.abs(places - places.mean(0)).sum(1).argmin()] + 0.5
                clean, labels, opinion = self._sample(index, middle, matrix, None)
                found.append(Crop(clean, clean, labels, opinion))
        return found

    def _sample(
        self, index: int, centre: np.ndarray, matrix: np.ndarray, shift: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sample image, labels and opinion at a place in the box of an example."""
        example = self._examples[index]
        size = self._crop_px
        pixels = np.stack(np.meshgrid(*[np.arange(size) - (size - 1) / 2] * 2, indexing="ij"))
        moved = pixels if shift is None else pixels + shift
        source = np.tensordot(matrix, moved, 1) + (centre + example.box.start[-2:])[:, None, None]
        lowest = np.floor(source.min((1, 2))).astype(int) - 2
        highest = np.ceil(source.max((1, 2))).astype(int) + 3
        window = Box(tuple(lowest.tolist()), tuple(highest.tolist()))
        local = source - lowest[:, None, None]
        patch = _read(example, window, self._neighbours)
        zoom = float(np.sqrt(abs(np.linalg.det(matrix))))
        if zoom > 1:
            patch = ndimage.gaussian_filter(patch, 0.4 * zoom, axes=(1, 2))
        channels = [ndimage.map_coordinates(c, local, order=1, mode="mirror") for c in patch]
        labels = ndimage.map_coordinates(
            self._labels(example, window), local, order=0, mode="constant", cval=NOT_SAID
        )
        known = (
            np.empty((0, *window.shape))
            if self._opinion is None
            else (self._opinion(example, window))
        )
        opinion = np.empty((len(known), size, size), np.float32)
        for of_class, out in zip(known, opinion, strict=True):
            ndimage.map_coordinates(of_class, local, out, order=1, mode="constant")
        return np.stack(channels).astype(np.float32), labels, opinion

    def _labels(self, example: SupportExample, window: Box) -> np.ndarray:
        """Return what is said in a window of the plane of an example, from all its examples."""
        labels = np.full(window.shape, NOT_SAID, np.int64)
        for index, other in enumerate(self._examples):
            if other.volume is not example.volume or other.box.start[:-2] != example.box.start[:-2]:
                continue
            box = Box(other.box.start[-2:], other.box.stop[-2:])
            common = window.intersect(box)
            if common.size:
                here = common.shift(tuple(-i for i in box.start)).slices
                there = common.shift(tuple(-i for i in window.start)).slices
                said = self._said[index][here]
                labels[there][said] = other.labels[here][said].astype(np.int64) - 1
        return labels


def _read(example: SupportExample, window: Box, neighbours: int) -> np.ndarray:
    """Read a window that may reach beyond the plane, ``(C, y, x)``, mirrored outside."""
    view = example.view(2)
    inside = window.intersect(view.box)  # never empty: a painted pixel is in every crop
    halo = tuple(
        max(a - b, d - c, 0)
        for a, b, c, d in zip(inside.start, window.start, inside.stop, window.stop, strict=True)
    )
    grown = inside.grow(halo)
    pixels = view.read(inside, halo, neighbours)
    return pixels[:, *window.shift(tuple(-i for i in grown.start)).slices]


def _elastic(side: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a smooth field of shifts ``(2, side, side)`` in pixels."""
    coarse = rng.normal(0, rng.uniform(0, _ELASTIC_PX), (2, _KNOTS, _KNOTS))
    spline = _spline(side)
    shift: np.ndarray = spline @ coarse @ spline.T
    return shift


@functools.cache
def _spline(side: int) -> np.ndarray:
    """Return what a cubic spline makes of each knot, ``(side, knots)``."""
    knots = np.arange(_KNOTS)
    at = np.linspace(0, _KNOTS - 1, side)
    found: np.ndarray = make_interp_spline(knots, np.eye(_KNOTS), k=3)(at)
    return found
