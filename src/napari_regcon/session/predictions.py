"""Which parts of a prediction are there, and how new they are.

Previews and whole-volume work write into the same prediction. A plane that was previewed after
the whole-volume work began holds newer knowledge, so that work must not overwrite it. Only
generation numbers and boxes are kept here, no pixels.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from napari_regcon.session.painted import Prefix
    from napari_regcon.types import Box


def planes_of(box: Box) -> Iterator[Prefix]:
    """Iterate over the planes that a box of a label volume touches."""
    ranges = zip(box.start[:-2], box.stop[:-2], strict=True)
    return itertools.product(*(range(a, b) for a, b in ranges))


class PredictionBook:
    """Bookkeeping of one image's prediction.

    Parameters
    ----------
    label_shape : tuple of int
        Shape of a label volume of the image.
    """

    def __init__(self, label_shape: tuple[int, ...]) -> None:
        self._shape = label_shape
        self._newest: dict[Prefix, int] = {}
        self._done: list[Box] = []
        self._pixels_done = np.zeros(label_shape[:-2], dtype=np.int64)
        self.has_volume = False

    def preview_done(self, prefix: Prefix, generation: int) -> None:
        """Note that a preview of this generation is on a plane."""
        self._newest[prefix] = max(generation, self._newest.get(prefix, 0))

    @property
    def is_empty(self) -> bool:
        """Whether nothing was predicted yet."""
        return not self._newest and not self._done

    def may_write(self, prefix: Prefix, generation: int) -> bool:
        """Tell whether an answer of a generation is not older than what is on a plane."""
        return generation >= self._newest.get(prefix, 0)

    def planes(self) -> list[Prefix]:
        """Return the planes that hold anything, as far as is known."""
        found = dict.fromkeys(self._newest)
        found |= dict.fromkeys(prefix for box in self._done for prefix in planes_of(box))
        return list(found)

    def done_planes(self) -> list[Prefix]:
        """Return the planes that whole-volume work has written to."""
        return list(dict.fromkeys(prefix for box in self._done for prefix in planes_of(box)))

    def forget_volume(self) -> None:
        """Take the whole-volume work as not begun, because it was undone."""
        self._done.clear()
        self._pixels_done[...] = 0
        self.has_volume = False

    def start_volume(self, *, resume: bool) -> tuple[Box, ...]:
        """Begin whole-volume work; return the parts that are done already."""
        if not resume:
            self._done.clear()
            self._pixels_done[...] = 0
        self.has_volume = True
        return tuple(self._done)

    def block_done(self, box: Box) -> None:
        """Note that a block of the whole volume is there."""
        self._done.append(box)
        height, width = box.shape[-2:]
        self._pixels_done[tuple(box.slices[:-2])] += height * width

    def missing(self) -> list[Prefix]:
        """Return the planes that the whole-volume work has not finished."""
        area = self._shape[-2] * self._shape[-1]
        return [tuple(int(i) for i in index) for index in np.argwhere(self._pixels_done < area)]

    @property
    def can_resume(self) -> bool:
        """Whether whole-volume work was begun and is not finished."""
        return self.has_volume and bool(self._done) and bool(self.missing())

    def describe_missing(self) -> str:
        """Say in words which slices are missing; empty if none."""
        missing = self.missing()
        if not missing:
            return ""
        total = self._pixels_done.size
        if len(missing) == total:
            return "All slices are missing."
        done = f"{total - len(missing)} of {total} slices are done."
        if len(self._shape) != 3:
            return f"{done} Missing: {len(missing)}."
        return f"{done} Missing: {', '.join(_ranges(index[0] for index in missing))}."


def _ranges(numbers: Iterable[int]) -> list[str]:
    """Write ascending numbers as ranges: 1, 2, 3, 7 as "1–3", "7"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return [str(a) if a == b else f"{a}–{b}" for a, b in runs]
