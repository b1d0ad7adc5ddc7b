"""The same number for a region from slice to slice.

A region goes on in the next slice as the one it overlaps most, if that one overlaps it most too.
All others get numbers never used before. Only the slice before is kept.
"""

from __future__ import annotations

import numpy as np


class RegionLinks:
    """Numbers the regions of slice after slice."""

    def __init__(self) -> None:
        self._next = 1
        self._before: np.ndarray | None = None
        self._names = np.zeros(0, dtype=np.uint32)

    def break_off(self) -> None:
        """Let the next slice share no number with those before."""
        self._before = None

    def number(self, labels: np.ndarray) -> np.ndarray:
        """Return the numbers of the regions of the next slice.

        Parameters
        ----------
        labels : numpy.ndarray
            int ``(Y, X)``, 1..n, each of them used; of the same shape as the slice before.

        Returns
        -------
        numpy.ndarray
            uint32 ``(Y, X)``.
        """
        index = labels - 1
        names = np.zeros(int(labels.max()), dtype=np.uint32)
        if self._before is not None:
            here, there = _partners(index, self._before)
            names[here] = self._names[there]
        new = names == 0
        names[new] = np.arange(self._next, self._next + new.sum(), dtype=np.uint32)
        self._next += int(new.sum())
        self._before, self._names = index, names
        numbers: np.ndarray = names[index]
        return numbers


def _partners(here: np.ndarray, there: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of regions that overlap each other most; the lower number where equal."""
    n = int(there.max()) + 1
    pairs, shared = np.unique(here.ravel().astype(np.int64) * n + there.ravel(), return_counts=True)
    a, b = pairs // n, pairs % n
    best_of_a = _first_of_each(a, np.lexsort((b, -shared, a)))
    best_of_b = _first_of_each(b, np.lexsort((a, -shared, b)))
    mutual = np.intersect1d(best_of_a, best_of_b, assume_unique=True)
    return a[mutual], b[mutual]


def _first_of_each(groups: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return where, in an order sorted by group, each group comes first."""
    first: np.ndarray = order[np.flatnonzero(np.diff(groups[order], prepend=-1))]
    return first
