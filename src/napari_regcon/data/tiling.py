"""Tile grids over a view, and the weights that blend overlapping tiles.

A grid is fixed by the shape of the view, the tile and the overlap alone. The last tile along an
axis is moved back so that it ends at the border; a view smaller than a tile is one tile. This
module does not know what is computed in a tile.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_regcon.types import Box

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class TileGrid:
    """Tiles that cover a shape.

    Parameters
    ----------
    shape : tuple of int
        Spatial shape to cover, all at least 1.
    tile_shape : tuple of int
        Shape of a tile; cut to ``shape`` where that is smaller.
    overlap : tuple of int
        Pixels by which neighbours overlap, less than the tile.

    Raises
    ------
    ValueError
        If lengths differ, a side is not positive, or the overlap is not smaller than the tile.
    """

    shape: tuple[int, ...]
    tile_shape: tuple[int, ...]
    overlap: tuple[int, ...]

    def __post_init__(self) -> None:
        if not len(self.shape) == len(self.tile_shape) == len(self.overlap):
            raise ValueError(f"{self} mixes different numbers of axes")
        for n, tile, overlap in zip(self.shape, self.tile_shape, self.overlap, strict=True):
            if n < 1 or tile < 1 or not 0 <= overlap < tile:
                raise ValueError(f"{self} is not a grid: need shape, tile >= 1, overlap < tile")

    @property
    def n_tiles(self) -> int:
        """Number of tiles."""
        return math.prod(len(self._starts(axis)) for axis in range(len(self.shape)))

    def tiles(self) -> Iterator[Box]:
        """Iterate over all tiles, last axis fastest."""
        return self.touching(Box.of_shape(self.shape))

    def touching(self, box: Box) -> Iterator[Box]:
        """Iterate over the tiles that have a pixel in common with a box."""
        axes = []
        for axis, (a, b) in enumerate(zip(box.start, box.stop, strict=True)):
            side = self._side(axis)
            axes.append([s for s in self._starts(axis) if s < b and s + side > a])
        for start in itertools.product(*axes):
            stop = tuple(s + self._side(axis) for axis, s in enumerate(start))
            yield Box(start, stop)

    def _side(self, axis: int) -> int:
        return min(self.tile_shape[axis], self.shape[axis])

    def _starts(self, axis: int) -> list[int]:
        n, side = self.shape[axis], self._side(axis)
        step = self.tile_shape[axis] - self.overlap[axis]
        starts = list(range(0, max(1, n - side + 1), step))
        if starts[-1] + side < n:
            starts.append(n - side)
        return starts


def blend_weights(grid: TileGrid, tile: Box) -> np.ndarray:
    """Return how much each pixel of a tile counts, falling smoothly towards its neighbours.

    Parameters
    ----------
    grid : TileGrid
        The grid the tile belongs to.
    tile : Box
        One of its tiles.

    Returns
    -------
    numpy.ndarray
        float32 of ``tile.shape``, in (0, 1]; 1 everywhere where the overlap is 0. Sides at the
        border of the view do not fall.
    """
    weights = np.ones(tile.shape, np.float32)
    for axis, (a, b) in enumerate(zip(tile.start, tile.stop, strict=True)):
        overlap = min(grid.overlap[axis], b - a)
        ramp = np.ones(b - a, np.float32)
        if overlap:
            rise = np.sin(np.pi / 2 * (np.arange(overlap) + 0.5) / overlap) ** 2
            rise = np.maximum(rise, 1e-3).astype(np.float32)
            if a > 0:
                ramp[:overlap] *= rise
            if b < grid.shape[axis]:
                ramp[-overlap:] *= rise[::-1]
        weights *= ramp.reshape([-1 if i == axis else 1 for i in range(weights.ndim)])
    return weights
