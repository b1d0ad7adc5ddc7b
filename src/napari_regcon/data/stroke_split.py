"""Which strokes are learnt from, and which are kept back to judge what was learnt.

Pixels of one stroke are alike, so a stroke is never on both sides. A stroke that was given its
side keeps it while more are painted. Nothing here knows what is trained.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_regcon.types import Box

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_regcon.data.support import SupportExample, SupportSet

HELD_SHARE = 0.2
"""Share of the strokes of a class that is kept back."""
FEWEST = 4
"""Strokes of a class from which on one is kept back; with fewer, all are learnt from."""

_EIGHT = np.ones((3, 3), int)


@dataclass(frozen=True, eq=False)
class Stroke:
    """Connected pixels of one class on one plane, or all that is said in a complete part.

    Parameters
    ----------
    example : int
        Index of the example of the support set.
    values : tuple of int
        Classes that occur, 0-based.
    box : Box
        Y, X, the smallest around it; its origin is that of the labels of the example.
    mask : numpy.ndarray
        ``(y, x)`` bool, of its pixels in the box.
    key : int
        The same for the same pixels of the same plane, whatever else is painted.
    """

    example: int
    values: tuple[int, ...]
    box: Box
    mask: np.ndarray
    key: int


class StrokeSplit:
    """Sides of strokes, remembered.

    Parameters
    ----------
    held : dict of int to bool, optional
        Whether a stroke is kept back, by its key: :attr:`held` of an earlier one.
    """

    def __init__(self, held: dict[int, bool] | None = None) -> None:
        self.held = dict(held or {})

    def divide(self, support: SupportSet) -> tuple[list[Stroke], list[Stroke]]:
        """Return the strokes to learn from, and those kept back.

        Parameters
        ----------
        support : SupportSet
            All that is painted now.

        Returns
        -------
        learnt, held : list of Stroke
            ``held`` has a fifth of the strokes of each class that has at least four.
        """
        strokes = list(_strokes(support))
        for value in range(len(support.classes)):
            of_class = [s for s in strokes if value in s.values]
            wanted = 0
            if len(of_class) >= FEWEST:
                wanted = max(1, math.floor(HELD_SHARE * len(of_class)))
            missing = wanted - sum(self.held.get(s.key, False) for s in of_class)
            # By their key, which is as good as at random and does not depend on their order.
            new = sorted((s for s in of_class if s.key not in self.held), key=lambda s: s.key)
            for rank, stroke in enumerate(new):
                self.held[stroke.key] = rank < missing
        held = [s for s in strokes if self.held.get(s.key, False)]
        return [s for s in strokes if not self.held.get(s.key, False)], held


def folds(strokes: Sequence[Stroke]) -> list[tuple[list[Stroke], list[Stroke]]]:
    """Return two halves of some strokes, each with those that a judgement of it may learn from.

    What was fitted on a stroke is too good there. So each half is judged by what was fitted on the
    other one, and where that lacks a class, on all strokes of the class.

    Parameters
    ----------
    strokes : sequence of Stroke
        Strokes.

    Returns
    -------
    list of (list of Stroke, list of Stroke)
        The two halves; may be empty where there are too few. Then what to fit on for it.
    """
    halves: tuple[list[Stroke], list[Stroke]] = ([], [])
    for values in sorted({s.values for s in strokes}):
        alike = sorted((s for s in strokes if s.values == values), key=lambda s: s.key)
        for i, stroke in enumerate(alike):
            halves[i % 2].append(stroke)
    found = []
    for half, other in (halves, halves[::-1]):
        have = {value for stroke in other for value in stroke.values}
        fitted = [s for s in strokes if s in other or not have.issuperset(s.values)]
        found.append((half, fitted))
    return found


def _strokes(support: SupportSet) -> list[Stroke]:
    found = []
    for index, example in enumerate(support.examples):
        if example.complete:
            values = tuple(int(v) - 1 for v in np.unique(example.labels) if v)
            whole = Box((0, 0), example.labels.shape)
            found.append(_stroke(example, index, values, whole, example.labels > 0))
            continue
        for value in np.unique(example.labels[example.labels > 0]):
            parts, _ = ndimage.label(example.labels == value, structure=_EIGHT)
            for part, around in enumerate(ndimage.find_objects(parts), 1):
                box = Box(tuple(s.start for s in around), tuple(s.stop for s in around))
                mask = parts[around] == part
                found.append(_stroke(example, index, (int(value) - 1,), box, mask))
    return found


def _stroke(
    example: SupportExample, index: int, values: tuple[int, ...], box: Box, mask: np.ndarray
) -> Stroke:
    first = np.array(np.unravel_index(mask.argmax(), mask.shape)) + box.start
    in_plane = tuple((first + example.box.start[-2:]).tolist())
    place = (example.volume.name, example.box.start[:-2], in_plane, values)
    return Stroke(index, values, box, mask, zlib.crc32(repr(place).encode()))
