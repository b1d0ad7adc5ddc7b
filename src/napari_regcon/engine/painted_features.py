"""Features of painted pixels, which every fit needs, kept apart from the tiles they come from.

They are few, while the tiles of a large plane do not all fit in memory: without them, a stroke in
one corner would be looked up anew whenever something is painted in another. Nothing here knows how
features are computed.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari_regcon.data.support import SupportExample

CAPACITY_BYTES = 256 * 2**20
"""Bound on the features of pixels by tile; the tiles not asked for longest go first."""

_Pixels = tuple["weakref.ref[Any]", np.ndarray, np.ndarray]
"""Image array, flat places in the tile in ascending order, and float16 or float32 features."""


class PaintedFeatures:
    """Features of painted pixels: of whole examples, and by tile where an example changes.

    Attributes
    ----------
    examples : WeakKeyDictionary
        What a caller wants to remember of an example, as long as that is there.
    usage_bytes : int
        Size of what is kept by tile.
    """

    def __init__(self) -> None:
        self.examples: weakref.WeakKeyDictionary[SupportExample, Any] = weakref.WeakKeyDictionary()
        self._tiles: OrderedDict[tuple[Any, ...], _Pixels] = OrderedDict()
        self.usage_bytes = 0

    def find(self, key: tuple[Any, ...], array: object, flat: np.ndarray) -> np.ndarray | None:
        """Return the features of some pixels of a tile, or None if not all of them are known.

        Parameters
        ----------
        key : tuple
            What the tile is computed from.
        array : object
            The image array.
        flat : numpy.ndarray
            ``(n,)`` places in the flattened tile.
        """
        if key not in self._tiles or self._tiles[key][0]() is not array:
            return None
        self._tiles.move_to_end(key)
        _, places, values = self._tiles[key]
        rows = np.minimum(np.searchsorted(places, flat), len(places) - 1)
        return values[rows] if np.array_equal(places[rows], flat) else None

    def keep(
        self, key: tuple[Any, ...], array: object, flat: np.ndarray, values: np.ndarray
    ) -> None:
        """Keep the features ``(n, n_features)`` of some pixels of a tile, beside those known."""
        known = self._tiles.get(key)
        if known is not None and known[0]() is array:
            flat = np.concatenate([known[1], flat])
            values = np.concatenate([known[2], values])
        self._drop(key)
        places, rows = np.unique(flat, return_index=True)
        self._tiles[key] = (weakref.ref(array), places, values[rows])
        self.usage_bytes += _n_bytes(self._tiles[key])
        while self.usage_bytes > CAPACITY_BYTES:
            self._drop(next(iter(self._tiles)))

    def forget(self, data: object) -> None:
        """Drop what was gathered from an image array, or from arrays that no longer exist."""
        for key, (array, _, _) in list(self._tiles.items()):
            if array() is None or array() is data:
                self._drop(key)
        for example in list(self.examples):
            if example.volume.data is data:
                del self.examples[example]

    def clear(self) -> None:
        """Drop everything."""
        self.examples.clear()
        self._tiles.clear()
        self.usage_bytes = 0

    def _drop(self, key: tuple[Any, ...]) -> None:
        if key in self._tiles:
            self.usage_bytes -= _n_bytes(self._tiles.pop(key))


def _n_bytes(pixels: _Pixels) -> int:
    return pixels[1].nbytes + pixels[2].nbytes
