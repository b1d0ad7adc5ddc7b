"""Taking labels from another tool as final labels to correct.

Such labels may hold the values of the session's classes, or a number per object. Numbered
objects all become one class; what they leave free becomes background.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_regcon.session.accept import Scope, accept

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from napari_regcon.session.history import BoxChange, Edit
    from napari_regcon.session.locks import Locks
    from napari_regcon.session.painted import PaintedPlanes, Prefix
    from napari_regcon.types import LazyArray


class _AsClasses:
    """Labels of another tool, read as class labels plane by plane."""

    def __init__(
        self, labels: LazyArray, values: set[int], objects: int, background: int, are_classes: bool
    ) -> None:
        self._labels = labels
        self._values = values
        self._objects = objects
        self._background = background
        self._are_classes = are_classes
        self.shape = labels.shape
        self.dtype = np.dtype(np.uint8)
        self.ndim = labels.ndim

    def __getitem__(self, prefix: Prefix) -> np.ndarray:
        plane = np.asarray(self._labels[prefix])
        if self._are_classes:
            named = plane.astype(np.uint8)
        else:
            named = np.where(plane != 0, np.uint8(self._objects), np.uint8(0))
        return np.where(named == 0, np.uint8(self._background), named)


def copy_labels(
    labels: LazyArray,
    final: LazyArray,
    planes: Iterable[Prefix],
    values: set[int],
    objects: int,
    background: int,
    painted: PaintedPlanes,
    locks: Locks,
) -> Generator[BoxChange | None, None, Edit]:
    """Work out how the final labels become a copy of other labels, as one edit.

    Parameters
    ----------
    labels : array
        Labels of any whole numbers, of the shape of ``final``.
    final : array
        Label volume that changes.
    planes : iterable of tuple of int
        All planes.
    values : set of int
        Label values of the classes. If every value of ``labels`` is one of them, they are
        taken as classes; otherwise as numbered objects.
    objects : int
        Class that numbered objects become.
    background : int
        Class of what is 0 in ``labels``; 0 if there is no such class.
    painted, locks
        What must not change, as in :func:`napari_regcon.session.accept.accept`.

    Yields
    ------
    BoxChange or None
        As in :func:`napari_regcon.session.accept.accept`.
    """
    planes = list(planes)
    are_classes = True
    for prefix in planes:
        found = np.unique(np.asarray(labels[prefix]))
        if not set(found.tolist()) <= values | {0}:
            are_classes = False
            break
    source = _AsClasses(labels, values, objects, background, are_classes)
    scope = Scope("start from other labels", planes)
    edit = yield from accept(source, final, painted, locks, scope)
    return edit
