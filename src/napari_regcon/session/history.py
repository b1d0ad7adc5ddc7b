"""Edits the tool made to a label volume, as values that can be undone and done again.

An edit holds only the boxes that changed, before and after, compressed. The history forgets its
oldest edits when a bound in bytes is reached. Pixels that changed since, or are locked by now, are
left alone. It knows neither layers nor who made an edit.
"""

from __future__ import annotations

import zlib
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import numpy as np

from napari_regcon.types import Box, LazyArray

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_regcon.session.locks import Locks
    from napari_regcon.session.painted import Prefix

DEFAULT_BYTES = 256 * 1024**2
WRITTEN_PX = 2**20
"""What is written at once, for which the window has to wait."""


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

    @classmethod
    def on_plane(
        cls, prefix: Prefix, origin: tuple[int, int], before: np.ndarray, after: np.ndarray
    ) -> BoxChange:
        """Compare two ``(y, x)`` parts of a plane; the rest as :meth:`between`."""
        thick = (*(1 for _ in prefix), *before.shape)
        return cls.between((*prefix, *origin), before.reshape(thick), after.reshape(thick))

    def pixels(self, *, forward: bool) -> np.ndarray:
        """Return the pixels after (forward) or before the edit."""
        raw = zlib.decompress(self.after if forward else self.before)
        return np.frombuffer(raw, self.dtype).reshape(self.box.shape)

    @property
    def nbytes(self) -> int:
        """Memory it takes."""
        return len(self.before) + len(self.after)

    def is_in(self, array: LazyArray, *, forward: bool) -> bool:
        """Tell whether an array is as after the edit (forward), or as before it, in every pixel."""
        old, new = self.pixels(forward=not forward), self.pixels(forward=forward)
        here = np.asarray(array[self.box.slices])
        return bool(((here == new) | (old == new)).all())

    def apply(self, array: LazyArray, *, forward: bool, locks: Locks | None = None) -> Box:
        """Write the edit into an array, or take it back, and return where.

        Pixels that are not as the edit left them stay: somebody painted there since.

        Parameters
        ----------
        array : array
            The label volume; anything that can be assigned to by slices.
        forward : bool
            True does it (again), False undoes it.
        locks : Locks, optional
            What must not change.
        """
        here = np.asarray(array[self.box.slices])
        wanted = here == self.pixels(forward=not forward)
        if locks is not None:
            y, x = self.box.start[-2:]
            plane = here.reshape(self.box.shape[-2:])
            wanted &= ~locks.locked(self.box.start[:-2], plane, (y, x))
        array[self.box.slices] = np.where(wanted, self.pixels(forward=forward), here)  # type: ignore[index]
        return self.box


def plane_changes(prefix: Prefix, before: np.ndarray, after: np.ndarray) -> Iterator[BoxChange]:
    """Iterate over the changes of a ``(Y, X)`` plane, some rows at a time."""
    n_rows = max(1, WRITTEN_PX // before.shape[1])
    for y in range(0, len(before), n_rows):
        old, new = before[y : y + n_rows], after[y : y + n_rows]
        if not np.array_equal(old, new):
            yield BoxChange.on_plane(prefix, (y, 0), old, new)


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


E = TypeVar("E", bound="_Sized")


class _Sized(Protocol):
    @property
    def nbytes(self) -> int: ...


class History(Generic[E]):
    """Edits that can be undone and redone, in bounded memory.

    Parameters
    ----------
    max_bytes : int
        Bound on what all edits take together.
    """

    def __init__(self, max_bytes: int = DEFAULT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._done: deque[E] = deque()
        self._undone: list[E] = []

    @property
    def nbytes(self) -> int:
        """Memory all edits take."""
        return sum(e.nbytes for e in self._done) + sum(e.nbytes for e in self._undone)

    def __len__(self) -> int:
        """Return how many steps can be undone."""
        return len(self._done)

    @property
    def next_undo(self) -> E | None:
        """The edit that :meth:`undo` would give."""
        return self._done[-1] if self._done else None

    @property
    def next_redo(self) -> E | None:
        """The edit that :meth:`redo` would give."""
        return self._undone[-1] if self._undone else None

    def push(self, edit: E) -> bool:
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

    def undo(self) -> E | None:
        """Move one step back and return the edit to apply backward, if there is one."""
        if not self._done:
            return None
        self._undone.append(self._done.pop())
        return self._undone[-1]

    def redo(self) -> E | None:
        """Move one step forward and return the edit to apply forward, if there is one."""
        if not self._undone:
            return None
        self._done.append(self._undone.pop())
        return self._done[-1]

    def done(self) -> Iterator[E]:
        """Iterate over what can be undone, the oldest first."""
        return iter(self._done)

    def forget_undone(self) -> None:
        """Forget what can be redone."""
        self._undone.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._done.clear()
        self._undone.clear()


def _pack(array: np.ndarray) -> bytes:
    return zlib.compress(np.ascontiguousarray(array).data, 1)
