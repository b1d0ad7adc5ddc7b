"""Boxes of a plane, and the same boxes in the volume that the plane is of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_regcon.types import Box

if TYPE_CHECKING:
    from collections.abc import Sequence


def padded(
    labels: np.ndarray, origin: tuple[int, int], boxes: Sequence[Box]
) -> tuple[np.ndarray, tuple[int, int]]:
    """Return labels enlarged by 0 so that they cover some boxes, and their new origin."""
    patch = Box(origin, (origin[0] + labels.shape[0], origin[1] + labels.shape[1]))
    parts = [*boxes, patch] if labels.size else boxes
    whole = parts[0].around(*parts)
    y, x = whole.start
    larger = np.zeros(whole.shape, dtype=labels.dtype)
    if labels.size:
        larger[patch.shift((-y, -x)).slices] = labels
    return larger, (y, x)


def lift(box: Box, prefix: tuple[int, ...]) -> Box:
    """Return a Y, X box of a plane as a box in the label axes of its volume."""
    return Box((*prefix, *box.start), (*(i + 1 for i in prefix), *box.stop))


def in_plane(box: Box, prefix: tuple[int, ...]) -> Box | None:
    """Return the Y, X part of a box if it contains the plane, else None."""
    n = len(prefix)
    inside = all(a <= i < b for a, i, b in zip(box.start, prefix, box.stop, strict=False))
    return Box(box.start[n:], box.stop[n:]) if inside else None
