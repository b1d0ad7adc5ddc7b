"""Painting on a label layer for the user, as one step that napari can undo, in bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_regcon.session.geometry import Geometry
    from napari_regcon.session.painted import Prefix

UNDO_BYTES = 256 * 1024**2
"""What napari's undo of a layer may take."""


def paint_free(layer: Labels, geometry: Geometry, prefix: Prefix, values: np.ndarray) -> None:
    """Paint values where nothing is painted yet on a plane.

    Parameters
    ----------
    layer : Labels
        The layer that is painted on.
    geometry : Geometry
        Its axes.
    prefix : tuple of int
        The plane.
    values : numpy.ndarray
        ``(Y, X)`` labels; 0 paints nothing.
    """
    plane = np.asarray(geometry.label_array(layer.data)[prefix])
    rows, columns = np.nonzero((plane == 0) & (values != 0))
    paint_pixels(layer, geometry, prefix, rows, columns, values[rows, columns])


def paint_pixels(
    layer: Labels,
    geometry: Geometry,
    prefix: Prefix,
    rows: np.ndarray,
    columns: np.ndarray,
    values: np.ndarray | int,
) -> None:
    """Paint some pixels of a plane.

    Parameters
    ----------
    layer, geometry, prefix
        As in :func:`paint_free`.
    rows, columns : numpy.ndarray
        Y and X of the pixels, ``(n,)``.
    values : numpy.ndarray or int
        Their labels.
    """
    places = dict(zip(geometry.order, (*prefix, rows, columns), strict=True))
    # napari keeps the index for its undo, so it is no wider than it has to be; arrays that are
    # not numpy's may know no other than the usual one.
    in_memory = isinstance(layer.data, np.ndarray)
    index = []
    for axis, length in enumerate(geometry.layer_shape):
        kind = np.min_scalar_type(length - 1) if in_memory else np.dtype(np.intp)
        place = np.asarray(places.get(axis, 0), dtype=kind)
        index.append(np.broadcast_to(place, rows.shape))
    layer.data_setitem(tuple(index), values)
    _bound_undo(layer)


def _bound_undo(layer: Labels) -> None:
    """Forget the oldest steps that napari could undo where all take too much memory.

    napari bounds their number, but a step may be as large as a slice.
    """
    history: Any = getattr(layer, "_undo_history", ())  # napari has no public name for it
    sizes = [sum(_nbytes(atom) for atom in item) for item in history]
    while len(sizes) > 1 and sum(sizes) > UNDO_BYTES:
        history.popleft()
        del sizes[0]


def _nbytes(atom: tuple[object, ...]) -> int:
    """Return the memory of an item of napari's paint history."""
    index = atom[0] if isinstance(atom[0], tuple) else ()
    return sum(part.nbytes for part in (*index, *atom[1:]) if isinstance(part, np.ndarray))
