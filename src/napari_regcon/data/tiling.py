"""A fixed grid of overlapping tiles over a view, and the weights that blend them.

The grid follows from the shape of the view, the shape of the tiles and their overlap alone, so
whichever part of a view is asked for, the same tiles are computed. It does not know what is
computed in a tile.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np

from napari_regcon.types import Box

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_Span = tuple[int, int]
_start, _stop = itemgetter(0), itemgetter(1)


@dataclass(frozen=True)
class TileGrid:
    """Tiles that cover a view.

    Along an axis without overlap the tiles stand side by side and the last one is cut at the
    border, or reaches to it if that makes it at most a quarter longer: what a tile needs around it
    would be most of the work for a narrow one. Along an axis with overlap all tiles have the same
    length, and the last one is moved back to end at the border. A tile longer than the view is as
    long as the view.

    Parameters
    ----------
    shape : tuple of int
        Spatial shape of the view.
    tile_shape : tuple of int
        Wanted length of a tile along each axis, at least 1.
    overlap : tuple of int
        Pixels that neighbouring tiles share, from 0 to ``tile_shape - 1``.

    Raises
    ------
    ValueError
        If the three differ in length or a value is out of range.
    """

    shape: tuple[int, ...]
    tile_shape: tuple[int, ...]
    overlap: tuple[int, ...]

    def __post_init__(self) -> None:
        if not len(self.shape) == len(self.tile_shape) == len(self.overlap):
            raise ValueError(f"{self} mixes different numbers of axes")
        if not all(0 <= o < t for t, o in zip(self.tile_shape, self.overlap, strict=True)):
            raise ValueError(f"{self} needs 0 <= overlap < tile along every axis")

    @cached_property
    def _spans(self) -> tuple[tuple[_Span, ...], ...]:
        """First pixel and one past the last of the tiles along each axis."""
        lines = zip(self.shape, self.tile_shape, self.overlap, strict=True)
        return tuple(tuple(_line(*line)) for line in lines)

    @property
    def n_tiles(self) -> int:
        """Number of tiles."""
        return math.prod(len(spans) for spans in self._spans)

    def tiles(self) -> Iterator[Box]:
        """Iterate over all tiles in the order of the axes, the last one fastest."""
        return _boxes(self._spans)

    def touching(self, box: Box) -> Iterator[Box]:
        """Iterate over the tiles that share at least one pixel with a box, in the same order."""
        if not box.size:
            return iter(())
        return _boxes(
            spans[bisect_right(spans, start, key=_stop) : bisect_left(spans, stop, key=_start)]
            for spans, start, stop in zip(self._spans, box.start, box.stop, strict=True)
        )


def blend_weights(grid: TileGrid, tile: Box) -> np.ndarray:
    """Return how much each pixel of a tile counts where tiles overlap.

    The weight rises as a squared sine over the overlap at every side that has a neighbour, so
    that two regular neighbours add up to 1 and the seam is smooth. It is 1 at the borders of
    the view.

    Parameters
    ----------
    grid : TileGrid
        The grid.
    tile : Box
        One of its tiles.

    Returns
    -------
    numpy.ndarray
        float32 of ``tile.shape``, above 0 and at most 1; 1 everywhere without overlap.
    """
    weights = np.ones(tile.shape, dtype=np.float32)
    for axis, (start, stop) in enumerate(zip(tile.start, tile.stop, strict=True)):
        length, overlap = stop - start, grid.overlap[axis]
        ramp = np.sin(0.5 * np.pi * (np.arange(overlap) + 0.5) / max(overlap, 1)) ** 2
        line = np.ones(length)
        if start > 0:
            line[:overlap] *= ramp
        if stop < grid.shape[axis]:
            line[length - overlap :] *= ramp[::-1]
        shape = [length if i == axis else 1 for i in range(weights.ndim)]
        weights *= line.reshape(shape).astype(np.float32)
    return weights


def _line(size: int, tile: int, overlap: int) -> Iterator[_Span]:
    """Iterate over the tiles along one axis."""
    start = 0
    most = tile if overlap else tile + tile // 4
    while start + most < size:
        yield start, start + tile
        start += tile - overlap
    if size:
        start = max(0, size - tile) if overlap else start
        yield start, size


def _boxes(spans: Iterable[tuple[_Span, ...]]) -> Iterator[Box]:
    for part in itertools.product(*spans):
        yield Box(tuple(a for a, _ in part), tuple(b for _, b in part))
