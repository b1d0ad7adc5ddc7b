"""Keep the parts of a compressed file that were decoded last.

Small tiles are read one after the other from large compressed parts, such as a page of a TIFF;
decoding the whole part again for every tile would take most of the time. Nothing here knows a
file format.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

from napari_regcon.data.tiling import TileGrid
from napari_regcon.types import Box

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_regcon.types import LazyArray

KEPT_BYTES = 256 * 1024**2
"""Decoded parts that are kept for each file; one request may take a quarter of it, or one part."""


class DecodedParts:
    """An array that reads whole stored parts of another one and remembers the last ones.

    Parameters
    ----------
    array : LazyArray
        Can be cut by a tuple of slices.
    part_shape : tuple of int
        Shape of the parts that are decoded as a whole.
    """

    def __init__(self, array: LazyArray, part_shape: tuple[int, ...]) -> None:
        self._array = array
        self._grid = TileGrid(tuple(array.shape), part_shape, (0,) * array.ndim)
        self._part_bytes = math.prod(part_shape) * array.dtype.itemsize
        self._kept: OrderedDict[Box, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()
        self.shape = tuple(array.shape)
        self.dtype = array.dtype
        self.ndim = len(self.shape)

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        """Read a box.

        Parameters
        ----------
        key : tuple of slice
            One per axis, with steps above 0.

        Returns
        -------
        numpy.ndarray
            A new array.
        """
        bounds = [part.indices(n) for part, n in zip(key, self.shape, strict=True)]
        box = Box(tuple(b[0] for b in bounds), tuple(b[1] for b in bounds))
        parts = list(self._grid.touching(box))
        if len(parts) * self._part_bytes > (KEPT_BYTES if len(parts) == 1 else KEPT_BYTES // 4):
            return np.asarray(self._array[key])
        result = np.empty(box.shape, self.dtype)
        for part, values in self._values(parts):
            common = part.intersect(box)
            result[_inside(common, box)] = values[_inside(common, part)]
        return result[tuple(slice(None, None, step) for _, _, step in bounds)]

    def _values(self, parts: Sequence[Box]) -> Iterator[tuple[Box, np.ndarray]]:
        """Iterate over some parts, remembered or decoded now."""
        with self._lock:
            known = {part: self._kept[part] for part in parts if part in self._kept}
            for part in known:
                self._kept.move_to_end(part)
        yield from known.items()
        missing = [part for part in parts if part not in known]
        if missing and not known:
            # In one go, as some formats decode many parts at a time.
            whole = Box(missing[0].start, missing[-1].stop)
            region = np.asarray(self._array[whole.slices])
            for part in missing:
                yield part, self._remembered(part, region[_inside(part, whole)])
        else:
            for part in missing:
                yield part, self._remembered(part, np.asarray(self._array[part.slices]))

    def _remembered(self, part: Box, values: np.ndarray) -> np.ndarray:
        values = values.copy()  # a view would keep its neighbours in memory
        with self._lock:
            self._kept[part] = values
            while len(self._kept) * self._part_bytes > KEPT_BYTES:
                self._kept.popitem(last=False)
        return values


def _inside(part: Box, whole: Box) -> tuple[slice, ...]:
    """Return the slices that cut a part out of an array that covers the whole."""
    return part.shift(tuple(-i for i in whole.start)).slices
