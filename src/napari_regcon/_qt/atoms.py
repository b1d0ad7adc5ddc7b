"""Items of napari's paint history, which come in two forms, as planes and what changed on them.

Strokes, fills and polygons are a box with a mask; ``data_setitem`` gives lists of indices. Both
are in the axes of the layer.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_regcon.session.corrections import PlaneChange
from napari_regcon.types import Box

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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


def boxes_of(atom: Any, geometry: Geometry) -> Iterator[tuple[Prefix, Box]]:
    """Iterate over the planes that an item of the history touches, with the Y, X box on each.

    Parameters
    ----------
    atom, geometry
        As in :func:`planes_of`.
    """
    if hasattr(atom, "slice_key"):
        spans = [atom.slice_key[s].indices(geometry.layer_shape[s]) for s in geometry.order[-2:]]
        box = Box(tuple(start for start, _, _ in spans), tuple(stop for _, stop, _ in spans))
        yield from ((prefix, box) for prefix in planes_of(atom, geometry))
        return
    table = _index_table(atom, geometry)
    for prefix in planes_of(atom, geometry):
        rows = table[(table[:, :-2] == prefix).all(axis=1)][:, -2:]
        yield prefix, Box(tuple(rows.min(axis=0).tolist()), tuple((rows.max(axis=0) + 1).tolist()))


def changes_of(item: Iterable[Any], geometry: Geometry) -> Iterator[PlaneChange]:
    """Iterate over what one step of the history has changed, plane by plane.

    Parameters
    ----------
    item : iterable
        ``Labels.events.paint``'s value: the items that belong to one stroke or fill.
    geometry : Geometry
        As in :func:`planes_of`.
    """
    parts: dict[Prefix, list[PlaneChange]] = {}
    for atom in item:
        found = _of_box(atom, geometry) if hasattr(atom, "slice_key") else _of_list(atom, geometry)
        for part in found:
            parts.setdefault(part.prefix, []).append(part)
    for several in parts.values():
        yield several[0] if len(several) == 1 else PlaneChange.together(several)


def _of_box(atom: Any, geometry: Geometry) -> Iterator[PlaneChange]:
    spans = [
        slice(*k.indices(n)) for k, n in zip(atom.slice_key, geometry.layer_shape, strict=True)
    ]
    shape = tuple(s.stop - s.start for s in spans)
    mask = np.ones(shape, bool) if atom.mask is None else np.broadcast_to(atom.mask, shape)
    old = np.asarray(atom.old_values)
    before = np.full(shape, atom.new_value, dtype=old.dtype)
    before[mask] = old if atom.mask is not None else old.ravel()
    before = _without_channel(before, geometry)
    starts = [spans[s].start for s in geometry.order]
    for offset in np.ndindex(before.shape[:-2]):
        prefix = tuple(a + i for a, i in zip(starts, offset, strict=False))
        after = np.full_like(before[offset], atom.new_value)
        yield PlaneChange(prefix, (starts[-2], starts[-1]), before[offset], after)


def _of_list(atom: Any, geometry: Geometry) -> Iterator[PlaneChange]:
    table = _index_table(atom, geometry)
    old, new = (np.broadcast_to(np.asarray(values), len(table)) for values in atom[1:3])
    for prefix in planes_of(atom, geometry):
        here = (table[:, :-2] == prefix).all(axis=1)
        rows = table[here][:, -2:]
        (y, x), (bottom, right) = rows.min(axis=0), rows.max(axis=0)
        before = np.zeros((bottom - y + 1, right - x + 1), dtype=old.dtype)
        after = np.zeros_like(before)
        place = (rows[:, 0] - y, rows[:, 1] - x)
        before[place], after[place] = old[here], new[here]
        yield PlaneChange(prefix, (int(y), int(x)), before, after)


def _index_table(atom: Any, geometry: Geometry) -> np.ndarray:
    """Return the indices as rows of (outer axes, y, x)."""
    columns = []
    for s in geometry.order:
        column = np.atleast_1d(np.asarray(atom[0][s], dtype=np.intp))
        columns.append(np.where(column < 0, column + geometry.layer_shape[s], column))
    return np.stack(np.broadcast_arrays(*columns), axis=1)


def _without_channel(mask: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Bring the axes of a layer into the order of a label volume."""
    channel = [geometry.letters.index("C")] if "C" in geometry.letters else []
    ordered = mask.transpose([*geometry.order, *channel])
    return ordered[..., 0] if channel else ordered
