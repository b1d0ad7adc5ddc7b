"""What a person changed in the final labels by hand, and what that says to the model.

A painted pixel says its class; an erased one says background, where something else stood. It is
said in the labels, and only where nothing is painted there, or where an earlier correction has
said what is there. What is undone is taken back, with its lock. Nothing here knows layers, or how
anybody notices an undo.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_regcon.session.classes import MAX_CLASSES
from napari_regcon.session.history import BoxChange, History
from napari_regcon.types import Box

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_regcon.session.locks import Locks
    from napari_regcon.session.painted import Prefix
    from napari_regcon.types import LazyArray

MEMORY_BYTES = 64 * 1024**2


@dataclass(frozen=True, eq=False)
class PlaneChange:
    """What a stroke has changed on a plane.

    Parameters
    ----------
    prefix : tuple of int
        The plane.
    origin : tuple of int
        Y and X of the first pixel.
    before, after : numpy.ndarray
        ``(y, x)`` labels; where they are equal, nothing was changed.
    """

    prefix: Prefix
    origin: tuple[int, int]
    before: np.ndarray
    after: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """Which pixels were changed, ``(y, x)`` bool."""
        return np.asarray(self.before != self.after)

    @property
    def box(self) -> Box:
        """Where it lies on the plane."""
        return Box.of_shape(self.before.shape).shift(self.origin)

    @classmethod
    def together(cls, parts: Sequence[PlaneChange]) -> PlaneChange:
        """Return what several changes of a plane, the first one first, come to."""
        whole = parts[0].box.around(*(part.box for part in parts))
        y, x = whole.start
        before = np.zeros(whole.shape, dtype=parts[0].before.dtype)
        after, seen = np.zeros_like(before), np.zeros(before.shape, dtype=bool)
        for part in parts:
            view, mask = part.box.shift((-y, -x)).slices, part.mask
            np.copyto(before[view], part.before, where=mask & ~seen[view])
            np.copyto(after[view], part.after, where=mask)
            seen[view] |= mask
        return cls(parts[0].prefix, (y, x), before, after)

    def means(self, background: int) -> np.ndarray:
        """Return what it says, ``(y, x)`` uint8; 0 is nothing.

        Parameters
        ----------
        background : int
            The class that erased pixels say; 0 if there is none.
        """
        erased = (self.after == 0) & (self.before != background)
        said = np.where(erased, background, self.after)
        return np.where(self.mask & (said <= MAX_CLASSES), said, 0).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class _Correction:
    """What a stroke has changed in the final labels, in the labels, and in the locks."""

    made: tuple[BoxChange, ...]
    said: tuple[BoxChange, ...]
    locked: tuple[BoxChange, ...]

    @property
    def nbytes(self) -> int:
        return sum(c.nbytes for changes in (self.made, self.said, self.locked) for c in changes)


class Corrections:
    """The corrections of one image, as far as they can be taken back.

    Parameters
    ----------
    max_bytes : int
        Memory they may take; the oldest are then as if painted into the labels.
    """

    def __init__(self, max_bytes: int = MEMORY_BYTES) -> None:
        self._history: History[_Correction] = History(max_bytes)

    def add(
        self,
        changes: Iterable[PlaneChange],
        labels: LazyArray | None,
        background: int,
        locks: Locks,
    ) -> tuple[list[Prefix], int]:
        """Lock what a person has changed, and say it in the labels.

        Parameters
        ----------
        changes : iterable of PlaneChange
            One for each plane.
        labels : array or None
            Label volume, written in place; None to say nothing.
        background : int
            The class that erased pixels say; 0 if there is none.
        locks : Locks
            Of the final labels.

        Returns
        -------
        list of tuple of int
            Planes on which something was said.
        int
            Number of pixels where the labels say something else, and still do.
        """
        made, said, locked, n_kept = [], [], [], 0
        for change in changes:
            new = locks.lock_pixels(change.prefix, change.origin, change.mask)
            if new.any():
                locked.append(_on(change, np.zeros_like(new), new))
            if change.mask.any():
                made.append(_on(change, change.before, change.after))
            if labels is not None:
                here = np.array(labels[change.prefix][change.box.slices])
                free = (here == 0) | (here == self._said_on(change.prefix, change.box))
                wanted = change.means(background)
                after = np.where(free & change.mask, wanted, here).astype(here.dtype)
                n_kept += int(np.count_nonzero(~free & (wanted != 0) & (wanted != here)))
                if not np.array_equal(here, after):
                    said.append(_on(change, here, after))
        self._history.push(_Correction(tuple(made), tuple(said), tuple(locked)))
        return (_apply(said, labels, forward=True) if labels is not None else []), n_kept

    def follow(
        self, final: LazyArray, labels: LazyArray | None, locks: Locks
    ) -> tuple[bool, list[Prefix]]:
        """Take back what was undone in the final labels, and say again what was redone.

        Parameters
        ----------
        final, labels : array
            Label volumes; ``labels`` is written in place.
        locks : Locks
            Of the final labels.

        Returns
        -------
        bool
            Whether anything was undone or redone.
        list of tuple of int
            Planes whose labels have changed.
        """
        is_new, planes = False, []
        for forward in (False, True):
            step = self._history.redo if forward else self._history.undo
            while (found := self._next(forward)) is not None and _is_in(final, found, forward):
                step()
                is_new = True
                for change in found.locked:
                    mask = change.pixels(forward=True)[_plane(change)]
                    y, x = change.box.start[-2:]
                    if forward:
                        locks.lock_pixels(change.box.start[:-2], (y, x), mask)
                    else:
                        locks.unlock(change.box.start[:-2], (y, x), mask)
                if labels is not None:
                    planes += _apply(found.said, labels, forward=forward)
        return is_new, planes

    def forget_undone(self) -> None:
        """Say nothing again: the tool wrote since, and what looks like a redo may be its work."""
        self._history.forget_undone()

    def _next(self, forward: bool) -> _Correction | None:
        return self._history.next_redo if forward else self._history.next_undo

    def _said_on(self, prefix: Prefix, box: Box) -> np.ndarray:
        """Return what corrections say in a box of a plane, -1 where nothing."""
        found = np.full(box.shape, -1, dtype=np.int64)
        for correction in self._history.done():
            for change in correction.said:
                common = _on_plane(change).intersect(box)
                if change.box.start[:-2] != prefix or not common.size:
                    continue
                inner = common.shift(tuple(-i for i in _on_plane(change).start)).slices
                before, after = (
                    change.pixels(forward=way)[_plane(change)][inner] for way in (False, True)
                )
                outer = common.shift(tuple(-i for i in box.start)).slices
                np.copyto(found[outer], np.where(after == 0, -1, after), where=before != after)
        return found


def _on(change: PlaneChange, before: np.ndarray, after: np.ndarray) -> BoxChange:
    return BoxChange.on_plane(change.prefix, change.origin, before, after)


def _plane(change: BoxChange) -> tuple[int, ...]:
    """Return the index of the one plane that a change holds."""
    return (0,) * (len(change.box.shape) - 2)


def _on_plane(change: BoxChange) -> Box:
    return Box(change.box.start[-2:], change.box.stop[-2:])


def _is_in(final: LazyArray, found: _Correction, forward: bool) -> bool:
    """Tell whether all pixels of a correction are as after it (forward), or as before it."""
    return bool(found.made) and all(change.is_in(final, forward=forward) for change in found.made)


def _apply(changes: Iterable[BoxChange], labels: LazyArray, *, forward: bool) -> list[Prefix]:
    """Write changes into labels where they are not other by now; return the planes."""
    return [change.apply(labels, forward=forward).start[:-2] for change in changes]
