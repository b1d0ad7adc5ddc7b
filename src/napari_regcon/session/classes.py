"""Classes a user paints: a label value, a name and a colour each.

A label value never changes its meaning while a session lasts. When a class is removed its value
stays free until a new class takes it, so that no painted pixel ever has to be renumbered. The
table does not know where a value is painted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_regcon.data.support import BACKGROUND
from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_CLASSES = 254
"""Label values travel as one byte, and 0 means "not said"."""

PALETTE = (
    "#3f7fc0",
    "#f5a31a",
    "#2fbf8f",
    "#e0559a",
    "#8d6be8",
    "#e8593b",
    "#7fc93c",
    "#30c3dd",
    "#d9c52b",
)
"""Colours of the first classes; told apart on grey micrographs and by colour-blind eyes."""

_HEX = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class LabelClass:
    """One class.

    Parameters
    ----------
    value : int
        Label value it is painted with, 1 to 254.
    name : str
        What the user calls it.
    color : str
        ``"#rrggbb"``.
    """

    value: int
    name: str
    color: str


def default_classes() -> tuple[LabelClass, ...]:
    """Return the two classes a new session starts with."""
    return (LabelClass(1, BACKGROUND, PALETTE[0]), LabelClass(2, "object", PALETTE[1]))


class ClassTable:
    """The classes of a session, in the order of their label values.

    Parameters
    ----------
    classes : iterable of LabelClass, optional
        Background and one object class where not given.

    Raises
    ------
    InputError
        If there are fewer than two classes, or values, names or colours cannot be used.
    """

    def __init__(self, classes: Iterable[LabelClass] | None = None) -> None:
        self._classes: dict[int, LabelClass] = {}
        for item in default_classes() if classes is None else classes:
            self._put(item, new=True)
        if len(self._classes) < 2:
            raise InputError(
                f"There is only {len(self._classes)} class.", expected="Expected at least two."
            )

    def __iter__(self) -> Iterator[LabelClass]:
        return iter(sorted(self._classes.values(), key=lambda item: item.value))

    def __len__(self) -> int:
        return len(self._classes)

    def __contains__(self, value: int) -> bool:
        return value in self._classes

    def __getitem__(self, value: int) -> LabelClass:
        return self._classes[value]

    @property
    def background(self) -> int | None:
        """Label value of the class called "background", or None."""
        return next((c.value for c in self if c.name == BACKGROUND), None)

    def add(self, name: str = "", color: str = "", value: int | None = None) -> LabelClass:
        """Add a class; name, colour and value are chosen where not given.

        Raises
        ------
        InputError
            If the name is taken or there are too many classes.
        """
        if value is None:
            value = next(v for v in range(1, MAX_CLASSES + 2) if v not in self._classes)
        color = color or PALETTE[(value - 1) % len(PALETTE)]
        item = LabelClass(value, name.strip() or self._free_name(value), color)
        self._put(item, new=True)
        return item

    def rename(self, value: int, name: str) -> None:
        """Give a class another name.

        Raises
        ------
        InputError
            If the name is empty or belongs to another class.
        """
        self._put(replace(self._classes[value], name=name.strip()))

    def recolor(self, value: int, color: str) -> None:
        """Give a class another colour, ``"#rrggbb"``."""
        self._put(replace(self._classes[value], color=color))

    def remove(self, value: int) -> None:
        """Remove a class.

        Raises
        ------
        InputError
            If only two are left.
        """
        if len(self._classes) <= 2:
            raise InputError(
                "These are the last two classes.",
                expected="At least two are needed to tell one thing from another.",
                next_step="Rename one instead.",
            )
        del self._classes[value]

    def engine_names(self) -> tuple[str, ...]:
        """Return one name per label value 1..n, with a stand-in where a class was removed."""
        return tuple(
            self._classes[v].name if v in self._classes else f"(removed {v})"
            for v in range(1, max(self._classes) + 1)
        )

    def colors(self) -> dict[int, str]:
        """Return the colour of each label value."""
        return {item.value: item.color for item in self}

    def _free_name(self, value: int) -> str:
        taken = {item.name for item in self._classes.values()}
        names = (f"class {n}" for n in range(value, value + len(taken) + 1))
        return next(name for name in names if name not in taken)

    def _put(self, item: LabelClass, *, new: bool = False) -> None:
        if not 1 <= item.value <= MAX_CLASSES:
            raise InputError(
                f"A class cannot have the label value {item.value}.",
                expected=f"Expected 1 to {MAX_CLASSES}.",
            )
        if new and item.value in self._classes:
            raise InputError(f"The label value {item.value} belongs to another class.")
        others = {c.name.casefold() for c in self._classes.values() if c.value != item.value}
        if not item.name or item.name.startswith("(removed ") or item.name.casefold() in others:
            raise InputError(
                f"A class cannot be called {item.name!r}.",
                expected="Expected a name that no other class has.",
            )
        if not _HEX.fullmatch(item.color):
            raise InputError(f"{item.color!r} is not a colour.", expected="Expected '#rrggbb'.")
        self._classes[item.value] = item
