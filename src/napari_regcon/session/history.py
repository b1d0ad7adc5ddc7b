"""Edits the tool made to a label volume, as values that can be undone and done again.

An edit holds only the boxes that changed, before and after, compressed. The history forgets its
oldest edits when a bound in bytes is reached. Pixels that changed since, or are locked by now, are
left alone. It knows neither layers nor who made an edit.
"""

from __future__ import annotations

import zlib
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_regcon.types import Box, LazyArray

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_regcon.session.locks import Locks

DEFAULT_BYTES = 256 * 1024**2


@dataclass(frozen=True)
class BoxChange:
    """What a box held before and after an edit.

    Parameters
    ----------
    box : Box
        Where.
    before, after : bytes
        Its pixels, compressed.
    dtype : str
        numpy type string of the pixels.
    """

    box: Box
    before: bytes
    after: bytes
    dtype: str

    @classmethod
    def between(cls, origin: tuple[int, ...], before: np.ndarray, after: np.ndarray) -> BoxChange:
        """Compare two arrays of the same shape and keep the box in which they differ.

        Parameters
        ----------
        origin : tuple of int
            Index of the first pixel of both.
        before, after : numpy.ndarray
            They must differ somewhere.
        """
        differs = before != after
        start, stop = [], []
        for axis in range(differs.ndim):
            others = tuple(i for i in range(differs.ndim) if i != axis)
            index = np.flatnonzero(differs.any(axis=others))
            start.append(int(index[0]))
            stop.append(int(index[-1]) + 1)
        inner = Box(tuple(start), tuple(stop))
        return cls(
            inner.shift(origin),
            _pack(before[inner.slices]),
            _pack(after[inner.slices]),
            before.dtype.str,
        )

    def pixels(self, *, forward: bool) -> np.ndarray:
        """Return the pixels after (forward) or before the edit."""
        raw = zlib.decompress(self.after if forward else self.before)
        return np.frombuffer(raw, self.dtype).reshape(self.box.shape)

    @property
    def nbytes(self) -> int:
        """Memory it takes."""
        return len(self.before) + len(self.after)


@dataclass(frozen=True)
class Edit:
    """One step a user can undo.

    Parameters
    ----------
    title : str
        What was done, for a tooltip: "accept slice 12".
    changes : tuple of BoxChange
        Boxes that do not overlap, each on one plane.
    target : str
        Which labels it changed: ``"final"`` or ``"prediction"``.
    """

    title: str
    changes: tuple[BoxChange, ...]
    target: str = "final"

    @property
    def nbytes(self) -> int:
        """Memory it takes."""
        return sum(change.nbytes for change in self.changes)

    def apply(
        self, array: LazyArray, *, forward: bool, locks: Locks | None = None
    ) -> Iterator[Box]:
        """Write the edit into an array, box after box.

        Pixels that are not as the edit left them stay: somebody painted there since.

        Parameters
        ----------
        array : array
            The label volume; anything that can be assigned to by slices.
        forward : bool
            True does it (again), False undoes it.
        locks : Locks, optional
            What must not change.

        Yields
        ------
        Box
            Each box after it is written.
        """
        for change in self.changes:
            box = change.box
            here = np.asarray(array[box.slices])
            wanted = here == change.pixels(forward=not forward)
            if locks is not None:
                prefix = box.start[:-2]
                locked = locks.locked(prefix, np.asarray(array[prefix]))
                wanted &= ~locked[box.slices[-2:]]
            new = np.where(wanted, change.pixels(forward=forward), here)
            array[box.slices] = new  # type: ignore[index]
            yield box


class History:
    """Edits that can be undone and redone, in bounded memory.

    Parameters
    ----------
    max_bytes : int
        Bound on what all edits take together.
    """

    def __init__(self, max_bytes: int = DEFAULT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._done: deque[Edit] = deque()
        self._undone: list[Edit] = []

    @property
    def nbytes(self) -> int:
        """Memory all edits take."""
        return sum(e.nbytes for e in self._done) + sum(e.nbytes for e in self._undone)

    def __len__(self) -> int:
        """Return how many steps can be undone."""
        return len(self._done)

    @property
    def next_undo(self) -> Edit | None:
        """The edit that :meth:`undo` would give."""
        return self._done[-1] if self._done else None

    @property
    def next_redo(self) -> Edit | None:
        """The edit that :meth:`redo` would give."""
        return self._undone[-1] if self._undone else None

    def push(self, edit: Edit) -> bool:
        """Remember an edit that was done just now.

        Returns
        -------
        bool
            False if it alone is larger than the bound, so that it cannot be undone. What came
            before it cannot be undone either, as it would no longer fit.
        """
        self._undone.clear()
        self._done.append(edit)
        while self.nbytes > self._max_bytes:
            self._done.popleft()
        return bool(self._done)

    def undo(self) -> Edit | None:
        """Move one step back and return the edit to apply backward, if there is one."""
        if not self._done:
            return None
        self._undone.append(self._done.pop())
        return self._undone[-1]

    def redo(self) -> Edit | None:
        """Move one step forward and return the edit to apply forward, if there is one."""
        if not self._undone:
            return None
        self._done.append(self._undone.pop())
        return self._done[-1]

    def clear(self) -> None:
        """Forget everything."""
        self._done.clear()
        self._undone.clear()


def _pack(array: np.ndarray) -> bytes:
    return zlib.compress(np.ascontiguousarray(array).data, 1)
