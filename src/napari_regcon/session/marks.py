"""Parts of an image that the user has marked complete.

In a complete part every pixel is said: what is not painted there is background. A mark is a box
in the label axes, one plane thick along all but Y and X. Nothing here knows what is painted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_regcon.errors import InputError
from napari_regcon.types import Box

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True)
class Mark:
    """One part that is complete.

    Parameters
    ----------
    prefix : tuple of int
        The plane, as an index in front of Y and X.
    box : Box
        Y, X box on that plane.
    whole : bool
        Whether it is the whole plane.
    """

    prefix: tuple[int, ...]
    box: Box
    whole: bool

    def describe(self) -> str:
        """Return a few words for a list."""
        where = "slice " + ", ".join(str(i) for i in self.prefix) if self.prefix else "image"
        if self.whole:
            return where if self.prefix else "whole image"
        (y, x), (height, width) = self.box.start, self.box.shape
        return f"{where}: box {width} × {height} px at x {x}, y {y}"


class CompleteMarks:
    """The complete parts of one image.

    Parameters
    ----------
    label_shape : tuple of int
        Shape of a label volume of the image.
    """

    def __init__(self, label_shape: tuple[int, ...]) -> None:
        self._shape = label_shape
        self._marks: list[Mark] = []

    def __iter__(self) -> Iterator[Mark]:
        return iter(self._marks)

    def __len__(self) -> int:
        return len(self._marks)

    def add_slice(self, prefix: tuple[int, ...]) -> Mark:
        """Mark a whole plane; boxes on it are no longer needed and go."""
        mark = Mark(prefix, Box.of_shape(self._shape[-2:]), whole=True)
        self._marks = [m for m in self._marks if m.prefix != prefix]
        self._marks.append(mark)
        return mark

    def add_box(self, prefix: tuple[int, ...], box: Box) -> Mark:
        """Mark a box on a plane; what of it lies outside of the image is cut off.

        Raises
        ------
        InputError
            If nothing of the box is inside, or the plane is complete already.
        """
        box = box.intersect(Box.of_shape(self._shape[-2:]))
        if not box.size:
            raise InputError(
                "The box lies outside of the image.",
                next_step="Draw it on the image.",
            )
        if any(m.whole for m in self._marks if m.prefix == prefix):
            raise InputError("This slice is marked complete already.")
        mark = Mark(prefix, box, whole=False)
        if mark not in self._marks:
            self._marks.append(mark)
        return mark

    def remove(self, mark: Mark) -> None:
        """Take a mark away; one that is not there is ignored."""
        self._marks = [m for m in self._marks if m != mark]

    def replace_all(self, marks: Iterable[Mark]) -> None:
        """Forget all marks and take these, as when a saved session is opened."""
        self._marks = list(marks)

    def on_plane(self, prefix: tuple[int, ...]) -> tuple[Box, ...]:
        """Return the Y, X boxes that are complete on a plane."""
        return tuple(m.box for m in self._marks if m.prefix == prefix)

    def slices(self) -> set[tuple[int, ...]]:
        """Return the planes that are complete as a whole."""
        return {m.prefix for m in self._marks if m.whole}
