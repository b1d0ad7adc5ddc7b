"""What the axes of a file mean: letters, units, pixel sizes.

Files name axes and units in many ways; here they become the letters T, Z, Y, X, C and full
words such as ``"nanometer"``. What a file does not say is guessed in one place.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_regcon.errors import InputError
from napari_regcon.types import CANONICAL_AXES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

UNKNOWN = "?"
"""Letter of an axis that a file has but does not name."""

_WORDS = {
    "angstrom": "angstrom å a ångström",
    "nanometer": "nm nanometre",
    "micrometer": "um µm μm \\u00b5m micron micrometre",
    "millimeter": "mm millimetre",
    "centimeter": "cm centimetre",
    "meter": "m metre",
    "nanosecond": "ns",
    "microsecond": "us µs μs",
    "millisecond": "ms msec",
    "second": "s sec",
    "minute": "min",
    "hour": "h hr",
}
_UNITS = {name: unit for unit, names in _WORDS.items() for name in (unit, *names.split())}
_TIME = {"nanosecond", "microsecond", "millisecond", "second", "minute", "hour"}
_INCH_MM = 25.4


def pixel_size(size: object, unit: object, axis: str) -> tuple[float, str] | None:
    """Return a pixel size and its unit as a full word, or None if either makes no sense.

    Parameters
    ----------
    size : object
        A number, or text that is one.
    unit : object
        A name or symbol of a unit of length, or of time for the axis T; in any number or case.
    axis : str
        Letter of the axis.
    """
    try:
        value = float(f"{float(size):.9g}")  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    name = str(unit).strip().strip("\x00").lower()
    if name in ("inch", "inches", "in"):
        value, name = value * _INCH_MM, "millimeter"
    word = _UNITS.get(name) or _UNITS.get(name.removesuffix("s"))
    if word is None or not (math.isfinite(value) and value > 0) or (word in _TIME) != (axis == "T"):
        return None
    return value, word


def pixel_sizes(
    sizes: Mapping[str, tuple[object, object]],
) -> dict[str, tuple[float, str]]:
    """Return those sizes and units by axis that make sense."""
    found = {axis: pixel_size(size, unit, axis) for axis, (size, unit) in sizes.items()}
    return {axis: known for axis, known in found.items() if known is not None}


def guess_axes(shape: tuple[int, ...]) -> str:
    """Return axes for an array without any names.

    Two axes are ``YX``, three ``ZYX``, four ``TZYX``; a last axis of 3 or 4 behind larger ones
    is one of colours.
    """
    colours = len(shape) > 2 and shape[-1] in (3, 4) and min(shape[-3:-1]) > 4
    n = len(shape) - colours
    return UNKNOWN * (n - 2) + "YX"[-n:] + "C" * colours


def assign_axes(stored: str, shape: tuple[int, ...], wanted: str | None, path: Path) -> list[str]:
    """Return a letter for each stored axis, "" for those of length 1 that are left out.

    Parameters
    ----------
    stored : str
        What the file says, one letter per axis, ``?`` = not known.
    shape : tuple of int
        Length of each axis.
    wanted : str, optional
        What the user says: one letter per axis, or per axis longer than 1.
    path : pathlib.Path
        For messages.

    Raises
    ------
    InputError
        If ``wanted`` does not fit, or the file does not say enough.
    """
    letters = list(stored)
    kept = [i for i, n in enumerate(shape) if n > 1 or letters[i] in ("Y", "X")]
    if wanted is not None:
        wanted = checked_axes(wanted)
        if len(wanted) == len(shape):
            kept = [i for i, n in enumerate(shape) if n > 1 or wanted[i] in "YX"]
            letters = list(wanted)
        elif len(wanted) == len(kept):
            for i, letter in zip(kept, wanted, strict=True):
                letters[i] = letter
        else:
            raise InputError(
                f"The axes {wanted!r} do not fit {str(path)!r}, which has the shape "
                f"{tuple(shape[i] for i in kept)}.",
                expected=f"Expected {len(kept)} letters.",
            )
    else:
        _name_unknown(letters, kept, shape, path)
    found = [letters[i] for i in kept]
    if len(set(found)) < len(found) or not {"Y", "X"} <= set(found):
        raise InputError(
            f"The axes of {str(path)!r} are {''.join(found)!r} (shape {shape}).",
            expected=f"Expected each of {CANONICAL_AXES} at most once, with Y and X among them.",
            next_step="Say what the axes are, for example axes='ZYX'.",
        )
    return [letter if i in kept else "" for i, letter in enumerate(letters)]


def checked_axes(axes: str) -> str:
    """Return axes as the user typed them, in capitals.

    Raises
    ------
    InputError
        If a letter is unknown or doubled, or Y or X is missing.
    """
    upper = axes.strip().upper().replace("S", "C")
    if (
        not set(upper) <= set(CANONICAL_AXES)
        or len(set(upper)) < len(upper)
        or not {"Y", "X"} <= set(upper)
    ):
        raise InputError(
            f"The axes {axes!r} are not usable.",
            expected="Expected one letter per axis in the order of the file, each of T, Z, Y, X, "
            "C at most once, with Y and X among them; for example 'ZYX'.",
        )
    return upper


def _name_unknown(letters: list[str], kept: list[int], shape: tuple[int, ...], path: Path) -> None:
    """Call axes without a name depth, or time and depth where there are two."""
    unknown = [i for i in kept if letters[i] == UNKNOWN]
    known = {letters[i] for i in kept}
    free = [axis for axis in "TZ" if axis not in known]
    if len(unknown) > len(free):
        raise InputError(
            f"It is not clear what the axes of {str(path)!r} are; its shape is {shape}.",
            next_step="Say what they are, for example axes='TZCYX'.",
        )
    for i, axis in zip(unknown, free[len(free) - len(unknown) :], strict=True):
        letters[i] = axis
