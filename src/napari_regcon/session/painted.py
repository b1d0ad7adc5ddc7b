"""What is painted on each plane, and which planes changed since the engine was told.

Only the box around what is painted is kept of a plane, so memory follows the strokes and not
the image. A plane is compared with what is known of it; how anybody noticed that it may have
changed (a stroke, an undo, new data) does not matter here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_regcon.errors import InputError
from napari_regcon.session.classes import MAX_CLASSES
from napari_regcon.types import Box
from napari_regcon.worker.protocol import PackedArray, PaintedPlane

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from napari_regcon.session.marks import CompleteMarks

Prefix = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Patch:
    """The painted part of a plane.

    Parameters
    ----------
    origin : tuple of int
        Y and X of its first pixel.
    labels : numpy.ndarray
        ``(y, x)`` uint8, 0 = not said; everything outside is 0 too.
    """

    origin: tuple[int, int]
    labels: np.ndarray

    @property
    def box(self) -> Box:
        """Where it lies on the plane."""
        y, x = self.origin
        height, width = self.labels.shape
        return Box((y, x), (y + height, x + width))

    @cached_property
    def counts(self) -> dict[int, int]:
        """Number of pixels of each label value that occurs."""
        counts = np.bincount(self.labels[self.labels != 0], minlength=1)
        return {int(v): int(counts[v]) for v in np.flatnonzero(counts)}

    def same(self, other: Patch) -> bool:
        """Tell whether both say the same."""
        return self.origin == other.origin and np.array_equal(self.labels, other.labels)

    def within(self, box: Box) -> np.ndarray:
        """Return what is painted in a box of the plane, ``(y, x)`` uint8."""
        out = np.zeros(box.shape, dtype=np.uint8)
        common = self.box.intersect(box)
        if common.size:
            there = self.labels[common.shift((-self.origin[0], -self.origin[1])).slices]
            out[common.shift((-box.start[0], -box.start[1])).slices] = there
        return out

    def paint_on(self, plane: np.ndarray) -> None:
        """Write the painted pixels onto a plane, in place."""
        target = plane[self.box.slices]
        np.copyto(target, self.labels.astype(plane.dtype, copy=False), where=self.labels != 0)


EMPTY = Patch((0, 0), np.zeros((0, 0), dtype=np.uint8))


def crop(plane: np.ndarray) -> Patch:
    """Return the painted part of a plane as a copy.

    Raises
    ------
    InputError
        If a value is negative or above 254.
    """
    rows = np.flatnonzero(plane.any(axis=1))
    if not rows.size:
        return EMPTY
    y, height = int(rows[0]), int(rows[-1]) + 1 - int(rows[0])
    columns = np.flatnonzero(plane[y : y + height].any(axis=0))
    x, width = int(columns[0]), int(columns[-1]) + 1 - int(columns[0])
    part = plane[y : y + height, x : x + width]
    if part.dtype != np.uint8 and (part.max() > MAX_CLASSES or part.min() < 0):
        raise InputError(
            f"The labels hold the value {int(part.max() if part.max() > 0 else part.min())}.",
            expected=f"Expected class labels from 0 (not said) to {MAX_CLASSES}.",
            next_step="A layer in which every object has its own number can be opened with "
            "'Correct an existing layer'.",
        )
    return Patch((y, x), part.astype(np.uint8))


class PaintedPlanes:
    """What is painted on an image, plane by plane.

    Parameters
    ----------
    marks : CompleteMarks
        The complete parts; they travel with the planes.
    """

    def __init__(self, marks: CompleteMarks) -> None:
        self._marks = marks
        self._patches: dict[Prefix, Patch] = {}
        self._seen: dict[Prefix, None] = {}
        self._changed: dict[Prefix, None] = {}

    def update(self, prefix: Prefix, plane: np.ndarray) -> bool:
        """Compare a plane with what is known, remember it, and tell whether it changed.

        Parameters
        ----------
        prefix : tuple of int
            Which plane.
        plane : numpy.ndarray
            ``(Y, X)`` labels.

        Raises
        ------
        InputError
            If a value cannot be a class label.
        """
        return self.put(prefix, crop(plane))

    def put(self, prefix: Prefix, patch: Patch) -> bool:
        """Take a patch as what is painted on a plane now, and tell whether that is new."""
        if self._patches.get(prefix, EMPTY).same(patch):
            return False
        if patch.labels.size:
            self._patches[prefix] = patch
        else:
            del self._patches[prefix]
        self._seen[prefix] = None
        self.touch(prefix)
        return True

    def touch(self, prefix: Prefix) -> None:
        """Send this plane again with the next changes, for example because of a mark."""
        self._changed[prefix] = None

    def touch_all(self) -> None:
        """Send everything with the next changes, for example to an engine that started anew."""
        self._changed |= dict.fromkeys(self._patches)
        self._changed |= dict.fromkeys(m.prefix for m in self._marks)

    def clear(self) -> None:
        """Take every plane as unpainted; the next changes say so."""
        self._changed |= dict.fromkeys(self._patches)
        self._patches.clear()

    @property
    def has_changes(self) -> bool:
        """Whether the engine has something to be told."""
        return bool(self._changed)

    def take_changes(self) -> tuple[PaintedPlane, ...]:
        """Return the planes that changed since the last call."""
        changed, self._changed = list(self._changed), {}
        return tuple(self._message(prefix) for prefix in changed)

    def patch(self, prefix: Prefix) -> Patch:
        """Return what is painted on a plane; an empty patch where nothing is."""
        return self._patches.get(prefix, EMPTY)

    def items(self) -> Iterable[tuple[Prefix, Patch]]:
        """Return all painted planes."""
        return self._patches.items()

    def seen(self) -> Iterator[Prefix]:
        """Iterate over planes that are or were painted, the last ones first."""
        return reversed(list(self._seen))

    def counts(self) -> dict[int, int]:
        """Return how many pixels are painted with each label value that occurs."""
        total: dict[int, int] = {}
        for patch in self._patches.values():
            for value, n in patch.counts.items():
                total[value] = total.get(value, 0) + n
        return total

    def _message(self, prefix: Prefix) -> PaintedPlane:
        patch = self.patch(prefix)
        complete = self._marks.on_plane(prefix)
        return PaintedPlane(prefix, patch.origin, PackedArray(patch.labels), complete)
