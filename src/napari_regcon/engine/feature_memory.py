"""Feature tiles that are kept in memory: which are there, and which go first when room is short.

Knows neither how features are computed nor how they are read from disk.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import weakref
    from collections.abc import Callable

    from torch import Tensor

PASSING_BYTES = 192 * 2**20
"""Bound on the tiles in memory of a volume that does not fit there as a whole."""


@dataclass(eq=False)
class KeptTile:
    """Features of a tile, the image array they are of, their name on disk, and how long to stay.

    Parameters
    ----------
    array : weakref.ref
        The image array.
    features : torch.Tensor
        ``(n_features, *tile)``.
    name : str
        What the tile is called on disk; empty where it is not there.
    in_passing : bool
        Whether it is of a volume whose tiles are asked for once, and that does not fit.
    where : tuple of slice
        Which pixels were picked, along each spatial axis of the tile.
    sample : torch.Tensor or None
        Their features.
    """

    array: weakref.ref[Any]
    features: Tensor
    name: str
    in_passing: bool
    where: tuple[slice, ...] = ()
    sample: Tensor | None = None

    @property
    def n_bytes(self) -> int:
        """Size of the features, and of those of some pixels that are kept beside them."""
        return self.features.nbytes + (0 if self.sample is None else self.sample.nbytes)


class FeatureMemory:
    """Feature tiles by what they were computed from, as long as there is room.

    Parameters
    ----------
    capacity_bytes : int
        Bound on what is kept; the tiles not asked for longest go first.
    let_go : callable
        Receives each tile that goes.

    Attributes
    ----------
    usage_bytes : int
        Size of what is kept.
    """

    def __init__(self, capacity_bytes: int, let_go: Callable[[KeptTile], None]) -> None:
        self.capacity_bytes = capacity_bytes
        self.usage_bytes = 0
        self._let_go = let_go
        self._tiles: OrderedDict[tuple[Any, ...], KeptTile] = OrderedDict()

    def has(self, key: tuple[Any, ...], array: object) -> bool:
        """Return whether a tile of this image array is there."""
        found = self._tiles.get(key)
        return found is not None and found.array() is array

    def find(self, key: tuple[Any, ...], array: object, *, touch: bool = True) -> KeptTile | None:
        """Return a tile that is there, and let it count as the one asked for last, if wanted."""
        if not self.has(key, array):
            return None
        if touch:
            self._tiles.move_to_end(key)
        return self._tiles[key]

    def keep(self, key: tuple[Any, ...], tile: KeptTile, *, yields: bool = False) -> None:
        """Keep a tile instead of one that was computed from the same, if there can be room.

        Parameters
        ----------
        key : tuple
            What it was computed from: the view it lies in, the tile, and all else.
        tile : KeptTile
            The tile.
        yields : bool
            Do not keep it where another one of the same view, computed alike, would have to go.
        """
        if key in self._tiles:
            self._drop(key)
        if tile.n_bytes > self.capacity_bytes - (self._beside(key) if yields else 0):
            return
        self._tiles[key] = tile
        self.usage_bytes += tile.n_bytes
        passing = [key for key, kept in self._tiles.items() if kept.in_passing]
        self._shrink(passing, PASSING_BYTES)
        if yields:
            others = [other for other in self._tiles if not _is_beside(other, key)]
            self._shrink(others, self.capacity_bytes - self._beside(key))
        self._drop_samples(self.capacity_bytes)
        self._shrink(list(self._tiles), self.capacity_bytes)

    def sample(self, tile: KeptTile, where: tuple[slice, ...]) -> Tensor:
        """Return the features of some pixels of a tile that is kept.

        They stay beside the tile until others are asked for, or there is no room: to pick every
        few pixels out of all takes several times longer than what is done with them.
        """
        if tile.sample is not None and tile.where == where:
            return tile.sample
        self._drop_sample(tile)
        sample = tile.features[:, *where].contiguous()
        self._drop_samples(self.capacity_bytes - sample.nbytes)
        # No tile has to go for what is quick to pick again.
        if self.usage_bytes + sample.nbytes <= self.capacity_bytes:
            tile.where, tile.sample = where, sample
            self.usage_bytes += sample.nbytes
        return sample

    def forget(self, data: object) -> None:
        """Drop what was computed from an image array, or from arrays that no longer exist."""
        for key, kept in list(self._tiles.items()):
            if kept.array() is None or kept.array() is data:
                self._drop(key)

    def clear(self) -> None:
        """Drop everything."""
        for key in list(self._tiles):
            self._drop(key)

    def _beside(self, key: tuple[Any, ...]) -> int:
        """Return the size of the tiles of the same view that are computed alike."""
        return sum(kept.n_bytes for other, kept in self._tiles.items() if _is_beside(other, key))

    def _drop_samples(self, limit_bytes: int) -> None:
        """Drop what was picked, least recent tiles first, until all is below a limit, if it can."""
        for kept in self._tiles.values():
            if self.usage_bytes <= limit_bytes:
                break
            self._drop_sample(kept)

    def _drop_sample(self, kept: KeptTile) -> None:
        self.usage_bytes -= kept.n_bytes
        kept.where, kept.sample = (), None
        self.usage_bytes += kept.n_bytes

    def _shrink(self, keys: list[tuple[Any, ...]], limit_bytes: int) -> None:
        """Drop the first of some tiles until the others fit."""
        total = sum(self._tiles[key].n_bytes for key in keys)
        for key in keys:
            if total <= limit_bytes:
                break
            total -= self._tiles[key].n_bytes
            self._drop(key)

    def _drop(self, key: tuple[Any, ...]) -> None:
        kept = self._tiles.pop(key)
        self.usage_bytes -= kept.n_bytes
        self._let_go(kept)


def _is_beside(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Return whether two tiles differ in nothing but their place in a view."""
    return (one[0], *one[2:]) == (other[0], *other[2:])
