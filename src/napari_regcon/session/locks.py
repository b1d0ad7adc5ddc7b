"""Pixels of the final labels that the tool must not change.

Whatever a person painted is locked by itself; slices, classes and single objects can be locked
on top. Of single pixels only the box around them is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_regcon.session.painted import Patch
from napari_regcon.types import Box

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari_regcon.session.painted import Prefix


_PLURALS = {
    "slice": "slices",
    "class": "classes",
    "slice with single pixels": "slices with single pixels",
}


class Locks:
    """What is locked in one label volume."""

    def __init__(self) -> None:
        self.slices: set[Prefix] = set()
        self.classes: set[int] = set()
        self._pixels: dict[Prefix, Patch] = {}

    def lock_pixels(self, prefix: Prefix, origin: tuple[int, int], mask: np.ndarray) -> np.ndarray:
        """Lock the pixels of a plane where a mask, placed at ``origin``, is set.

        Returns
        -------
        numpy.ndarray
            Which of them were not locked one by one before, of the shape of the mask.
        """
        new = Patch(origin, np.asarray(mask, dtype=np.uint8))
        old = self._pixels.get(prefix)
        fresh: np.ndarray = new.labels != 0
        if old is not None:
            fresh &= old.within(new.box) == 0
            both = new.box.around(old.box)
            merged = old.within(both) | new.within(both)
            new = Patch((both.start[0], both.start[1]), merged)
        self._pixels[prefix] = new
        return fresh

    def unlock(self, prefix: Prefix, origin: tuple[int, int], mask: np.ndarray) -> None:
        """Unlock the pixels of a plane where a mask, placed at ``origin``, is set."""
        old = self._pixels.get(prefix)
        if old is None:
            return
        taken = Patch(origin, np.asarray(mask, dtype=np.uint8)).within(old.box)
        left = Patch(old.origin, np.where(taken != 0, 0, old.labels).astype(np.uint8))
        if left.labels.any():
            self._pixels[prefix] = left
        else:
            del self._pixels[prefix]

    def pixels(self) -> dict[Prefix, Patch]:
        """Return the locked pixels of each plane, 1 = locked."""
        return dict(self._pixels)

    def restore(
        self, slices: Iterable[Prefix], classes: Iterable[int], pixels: Mapping[Prefix, Patch]
    ) -> None:
        """Lock exactly this, as when a saved session is opened."""
        self.slices, self.classes = set(slices), set(classes)
        self._pixels = dict(pixels)

    def unlock_pixels(self, prefix: Prefix) -> None:
        """Unlock all single pixels of a plane."""
        self._pixels.pop(prefix, None)

    def clear(self) -> None:
        """Unlock everything."""
        self.slices.clear()
        self.classes.clear()
        self._pixels.clear()

    def describe(self) -> str:
        """Say in words what is locked, apart from what is painted."""
        parts = []
        for n, word in (
            (len(self.slices), "slice"),
            (len(self.classes), "class"),
            (len(self._pixels), "slice with single pixels"),
        ):
            if n:
                parts.append(f"{n} {word if n == 1 else _PLURALS[word]}")
        return ", ".join(parts)

    @property
    def n_pixel_planes(self) -> int:
        """Number of planes on which single pixels are locked."""
        return len(self._pixels)

    def locked(
        self, prefix: Prefix, final: np.ndarray, origin: tuple[int, int] = (0, 0)
    ) -> np.ndarray:
        """Return which pixels of a plane, or of a part of it, are locked.

        Parameters
        ----------
        prefix : tuple of int
            Which plane.
        final : numpy.ndarray
            ``(y, x)`` labels that are there now.
        origin : tuple of int
            Y and X of the first of them.

        Returns
        -------
        numpy.ndarray
            ``(y, x)`` bool.
        """
        if prefix in self.slices:
            return np.ones(final.shape, dtype=bool)
        mask = np.isin(final, sorted(self.classes)) if self.classes else np.zeros(final.shape, bool)
        patch = self._pixels.get(prefix)
        if patch is not None:
            mask |= patch.within(Box.of_shape(final.shape).shift(origin)) != 0
        return mask
