"""Merging a prediction into the final labels, without touching what is locked.

Where a person painted, what was painted is taken in place of what is predicted. The work goes
plane by plane and can stop after each. Nothing is written here: a thread may work out what changes
while a person paints, and who writes it looks at each pixel again. It knows arrays, not layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_regcon.errors import InputError
from napari_regcon.session.history import BoxChange, Edit, plane_changes

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    from napari_regcon.session.locks import Locks
    from napari_regcon.session.painted import PaintedPlanes, Prefix
    from napari_regcon.types import LazyArray

LARGEST_OBJECT_VOXELS = 2**30
"""In larger volumes an object is followed on its slice only."""


@dataclass(frozen=True, eq=False)
class Scope:
    """Which part of a prediction is accepted.

    Parameters
    ----------
    title : str
        What to call it in the undo list.
    planes : iterable of tuple of int
        Which planes.
    value : int or None
        Only this class, where given.
    mask : numpy.ndarray or mapping or None
        Only where the ``(Y, X)`` bool mask that this holds for a plane is set, where given.
    """

    title: str
    planes: Iterable[Prefix]
    value: int | None = None
    mask: np.ndarray | Mapping[Prefix, np.ndarray] | None = None

    @property
    def is_whole(self) -> bool:
        """Whether everything on the planes is meant."""
        return self.value is None and self.mask is None

    def on_plane(self, prefix: Prefix, predicted: np.ndarray) -> np.ndarray:
        """Return which pixels of a plane are meant, ``(Y, X)`` bool."""
        wanted = predicted != 0 if self.value is None else predicted == self.value
        return np.asarray(wanted if self.mask is None else wanted & self.mask[prefix])


def accept(
    prediction: LazyArray,
    final: LazyArray,
    painted: PaintedPlanes,
    locks: Locks,
    scope: Scope,
) -> Generator[BoxChange | None, None, Edit]:
    """Work out how a prediction changes the final labels.

    Parameters
    ----------
    prediction : array
        Label volume; 0 = not predicted, which changes nothing.
    final : array
        Label volume of the same shape.
    painted : PaintedPlanes
        What a person painted; written as it is wherever the scope reaches.
    locks : Locks
        What must not change.
    scope : Scope
        Which part.

    Yields
    ------
    BoxChange or None
        The next change, to be written with :meth:`BoxChange.apply` before it goes on; None after
        a plane.

    Returns
    -------
    Edit
        All changes, as the value of the finished generator.
    """
    changes: list[BoxChange] = []
    for prefix in scope.planes:
        predicted = np.asarray(prediction[prefix])
        before = np.array(final[prefix])
        said = np.zeros_like(predicted)
        painted.patch(prefix).paint_on(said)
        wanted = scope.on_plane(prefix, predicted)
        if scope.is_whole:
            wanted |= said != 0
        wanted &= ~locks.locked(prefix, before)
        after = before.copy()
        source = np.where(said != 0, said, predicted)
        np.copyto(after, source.astype(after.dtype, copy=False), where=wanted)
        for change in plane_changes(prefix, before, after):
            changes.append(change)
            yield change
        yield None
    return Edit(scope.title, tuple(changes))


def object_planes(labels: LazyArray, place: tuple[int, ...]) -> dict[Prefix, np.ndarray]:
    """Return the connected object that covers a pixel, plane by plane.

    Parameters
    ----------
    labels : array
        Label volume.
    place : tuple of int
        Index of a pixel.

    Returns
    -------
    dict
        For each plane that it reaches its ``(Y, X)`` bool mask; only the one plane where the volume
        is very large.

    Raises
    ------
    InputError
        If nothing is there.
    """
    prefix = place[:-2]
    if int(np.prod(labels.shape)) > LARGEST_OBJECT_VOXELS:
        return {prefix: object_at(labels[prefix], place[-2:])}
    mask = object_at(labels, place)
    planes = (tuple(int(i) for i in p) for p in np.argwhere(mask.any(axis=(-2, -1))))
    return {p: mask[p] for p in planes}


def object_at(array: LazyArray, place: tuple[int, ...]) -> np.ndarray:
    """Return the connected object that covers a pixel.

    Parameters
    ----------
    array : array
        Label volume.
    place : tuple of int
        Index of a pixel.

    Returns
    -------
    numpy.ndarray
        bool, of the shape of the volume.

    Raises
    ------
    InputError
        If nothing is there.
    """
    from skimage.segmentation import flood

    labels = np.asarray(array)
    if not labels[place]:
        raise InputError(
            "There is no object at this place.",
            next_step="Point at one and use the key again.",
        )
    return np.asarray(flood(labels, place, connectivity=1))
