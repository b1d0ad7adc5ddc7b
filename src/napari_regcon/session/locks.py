"""Pixels of the final labels that the tool must not change.

Whatever a person painted is locked by itself; slices, classes and single objects can be locked
on top. Single pixels are kept as packed bits of a box, so locks stay small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_regcon.types import Box

if TYPE_CHECKING:
    from napari_regcon.session.painted import Prefix


@dataclass(frozen=True, eq=False)
class _Bits:
    box: Box
    packed: np.ndarray

    def mask(self) -> np.ndarray:
        bits = np.unpackbits(self.packed, count=self.box.size)
        return bits.astype(bool).reshape(self.box.shape)


class Locks:
    """What is locked in one label volume."""

    def __init__(self) -> None:
        self.slices: set[Prefix] = set()
        self.classes: set[int] = set()
        self._pixels: dict[Prefix, _Bits] = {}

    def lock_pixels(self, prefix: Prefix, origin: tuple[int, int], mask: np.ndarray) -> None:
        """Lock the pixels of a plane where a mask, placed at ``origin``, is set."""
        box = Box(origin, (origin[0] + mask.shape[0], origin[1] + mask.shape[1]))
        old = self._pixels.get(prefix)
        if old is not None:
            starts = zip(box.start, old.box.start, strict=True)
            stops = zip(box.stop, old.box.stop, strict=True)
            both = Box(tuple(min(p) for p in starts), tuple(max(p) for p in stops))
            merged = np.zeros(both.shape, dtype=bool)
            back = tuple(-i for i in both.start)
            merged[old.box.shift(back).slices] = old.mask()
            merged[box.shift(back).slices] |= mask
            box, mask = both, merged
        self._pixels[prefix] = _Bits(box, np.packbits(mask))

    def unlock_pixels(self, prefix: Prefix) -> None:
        """Unlock all single pixels of a plane."""
        self._pixels.pop(prefix, None)

    def clear(self) -> None:
        """Unlock everything."""
        self.slices.clear()
        self.classes.clear()
        self._pixels.clear()

    @property
    def n_pixel_planes(self) -> int:
        """Number of planes on which single pixels are locked."""
        return len(self._pixels)

    def locked(self, prefix: Prefix, final: np.ndarray) -> np.ndarray:
        """Return which pixels of a plane are locked.

        Parameters
        ----------
        prefix : tuple of int
            Which plane.
        final : numpy.ndarray
            ``(Y, X)`` labels that are there now.

        Returns
        -------
        numpy.ndarray
            ``(Y, X)`` bool.
        """
        if prefix in self.slices:
            return np.ones(final.shape, dtype=bool)
        mask = np.isin(final, sorted(self.classes)) if self.classes else np.zeros(final.shape, bool)
        bits = self._pixels.get(prefix)
        if bits is not None:
            mask[bits.box.slices] |= bits.mask()
        return mask
