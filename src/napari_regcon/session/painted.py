"""What is painted on each plane, and which planes changed since the engine was told.

Only the box around what is painted is kept of a plane, so memory follows the strokes and not
the image. A plane is compared with what is known of it; how anybody noticed that it may have
changed (a stroke, an undo, new data) does not matter here.
"""

from __future__ import annotations

from collections import Counter
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
    counted : dict of int to int, optional
        :attr:`counts`, where somebody has counted already.
    """

    origin: tuple[int, int]
    labels: np.ndarray
    counted: dict[int, int] | None = None

    @property
    def box(self) -> Box:
        """Where it lies on the plane."""
        y, x = self.origin
        height, width = self.labels.shape
        return Box((y, x), (y + height, x + width))

    @cached_property
    def counts(self) -> dict[int, int]:
        """Number of pixels of each label value that occurs."""
        return _counts(self.labels) if self.counted is None else self.counted

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
    return Patch((y, x), _as_labels(plane[y : y + height, x : x + width]))


def patched(known: Patch, plane: np.ndarray, box: Box) -> Patch:
    """Return :func:`crop` of a plane of which only a box may not be as it was.

    The box alone is looked at, which on a large plane takes a hundredth of the time.

    Parameters
    ----------
    known : Patch
        What was painted before; returned where nothing has changed.
    plane : numpy.ndarray
        ``(Y, X)`` labels now.
    box : Box
        Y, X; what lies beyond the plane does not count.

    Raises
    ------
    InputError
        As for :func:`crop`.
    """
    box = box.intersect(Box.of_shape(plane.shape))
    if not box.size:
        return known
    said, before = _as_labels(plane[box.slices]), known.within(box)
    if np.array_equal(said, before):
        return known
    inner = known.box.grow((-1, -1))
    if ((before != 0) & (said == 0)).any() and box.intersect(inner) != box:
        return crop(plane)  # less may be painted at the border of what was
    here = crop(said)
    new = here.box.shift(box.start) if here.labels.size else known.box
    old = known.box if known.labels.size else new
    whole = old.around(new)
    y, x = whole.start
    labels = known.labels.copy() if whole == old and known.labels.size else known.within(whole)
    common = box.intersect(whole)
    inside = common.shift(tuple(-i for i in box.start)).slices
    labels[common.shift((-y, -x)).slices] = said[inside]
    counts = Counter(known.counts)
    counts.subtract(_counts(before))
    counts.update(_counts(said))
    counted = {value: counts[value] for value in sorted(counts) if counts[value]}
    return Patch((y, x), labels, counted)


def _counts(labels: np.ndarray) -> dict[int, int]:
    """Return the number of pixels of each label value that occurs."""
    counts = np.bincount(labels[labels != 0], minlength=1)
    return {int(v): int(counts[v]) for v in np.flatnonzero(counts)}


def _as_labels(part: np.ndarray) -> np.ndarray:
    """Return a copy as uint8, or raise where a value cannot be a class label."""
    if part.size and part.dtype != np.uint8 and (part.max() > MAX_CLASSES or part.min() < 0):
        raise InputError(
            f"The labels hold the value {int(part.max() if part.max() > 0 else part.min())}.",
            expected=f"Expected class labels from 0 (not said) to {MAX_CLASSES}.",
            next_step="A layer in which every object has its own number can be opened with "
            "'Correct an existing layer'.",
        )
    return part.astype(np.uint8)


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

    def update(self, prefix: Prefix, plane: np.ndarray, box: Box | None = None) -> bool:
        """Compare a plane with what is known, remember it, and tell whether it changed.

        Parameters
        ----------
        prefix : tuple of int
            Which plane.
        plane : numpy.ndarray
            ``(Y, X)`` labels.
        box : Box, optional
            Where it may have changed; anywhere if not given.

        Raises
        ------
        InputError
            If a value cannot be a class label.
        """
        if box is None:
            return self.put(prefix, crop(plane))
        known = self.patch(prefix)
        patch = patched(known, plane, box)
        if patch is known:
            return False
        self._take(prefix, patch)
        return True

    def put(self, prefix: Prefix, patch: Patch) -> bool:
        """Take a patch as what is painted on a plane now, and tell whether that is new."""
        if self._patches.get(prefix, EMPTY).same(patch):
            return False
        self._take(prefix, patch)
        return True

    def _take(self, prefix: Prefix, patch: Patch) -> None:
        if patch.labels.size:
            self._patches[prefix] = patch
        else:
            self._patches.pop(prefix, None)
        self._seen[prefix] = None
        self.touch(prefix)

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
