"""Items of napari's paint history, which come in two forms, as planes and pixels.

Strokes, fills and polygons are a box with a mask; ``data_setitem`` gives lists of indices. Both
are in the axes of the layer.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_regcon.session.geometry import Geometry
    from napari_regcon.session.painted import Prefix


def planes_of(atom: Any, geometry: Geometry) -> Iterator[Prefix]:
    """Iterate over the planes that an item of the history touches.

    Parameters
    ----------
    atom : object
        One of the items of ``Labels.events.paint``.
    geometry : Geometry
        Axes of the image.
    """
    outer = geometry.order[:-2]
    if hasattr(atom, "slice_key"):
        lengths = geometry.layer_shape
        ranges = [range(*atom.slice_key[s].indices(lengths[s])) for s in outer]
        yield from itertools.product(*ranges)
    elif not outer:
        yield ()
    else:
        rows = np.unique(_index_table(atom, geometry)[:, :-2], axis=0)
        yield from (tuple(int(i) for i in row) for row in rows)


def pixels_of(
    atom: Any, geometry: Geometry
) -> Iterator[tuple[Prefix, tuple[int, int], np.ndarray]]:
    """Iterate over the pixels that an item of the history touches, plane by plane.

    Parameters
    ----------
    atom, geometry
        As in :func:`planes_of`.

    Yields
    ------
    tuple of int, tuple of int, numpy.ndarray
        The plane, Y and X of a box on it, and the ``(y, x)`` bool mask of touched pixels.
    """
    if hasattr(atom, "slice_key"):
        spans = [
            slice(*k.indices(n)) for k, n in zip(atom.slice_key, geometry.layer_shape, strict=True)
        ]
        shape = tuple(s.stop - s.start for s in spans)
        mask = np.ones(shape, bool) if atom.mask is None else np.broadcast_to(atom.mask, shape)
        volume = _without_channel(mask, geometry)
        starts = [spans[s].start for s in geometry.order]
        for offset in np.ndindex(volume.shape[:-2]):
            prefix = tuple(a + i for a, i in zip(starts, offset, strict=False))
            yield prefix, (starts[-2], starts[-1]), volume[offset]
        return
    table = _index_table(atom, geometry)
    for prefix in planes_of(atom, geometry):
        rows = table[(table[:, :-2] == prefix).all(axis=1)][:, -2:]
        (y, x), (bottom, right) = rows.min(axis=0), rows.max(axis=0)
        mask = np.zeros((bottom - y + 1, right - x + 1), dtype=bool)
        mask[rows[:, 0] - y, rows[:, 1] - x] = True
        yield prefix, (int(y), int(x)), mask


def _index_table(atom: Any, geometry: Geometry) -> np.ndarray:
    """Return the indices as rows of (outer axes, y, x)."""
    columns = [np.atleast_1d(np.asarray(atom[0][s])) for s in geometry.order]
    return np.stack(np.broadcast_arrays(*columns), axis=1)


def _without_channel(mask: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Bring the axes of a layer into the order of a label volume."""
    channel = [geometry.letters.index("C")] if "C" in geometry.letters else []
    ordered = mask.transpose([*geometry.order, *channel])
    return ordered[..., 0] if channel else ordered
