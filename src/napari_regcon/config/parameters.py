"""How a parameter describes itself: a dataclass field with label, help and range.

Nothing here knows which parameters there are.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Parameter:
    """What a form or command line needs to know about one configuration field."""

    name: str
    default: Any
    label: str
    help: str
    minimum: float | None
    maximum: float | None
    choices: tuple[Any, ...]
    advanced: bool
    ordered: bool


def param(
    default: Any,
    label: str,
    help: str,  # noqa: A002 - the word users of argparse and typer know
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[Any, ...] = (),
    advanced: bool = False,
    ordered: bool = False,
) -> Any:
    """Return a dataclass field that carries its own description.

    Parameters
    ----------
    default : Any
        Value where the user says nothing.
    label : str
        A few words for a form.
    help : str
        One or two sentences for a tooltip or ``--help``.
    minimum, maximum : float, optional
        Range, both ends included.
    choices : tuple, optional
        The only values allowed.
    advanced : bool
        Whether a form hides it until asked.
    ordered : bool
        Whether the two values are the ends of a range, the smaller first.
    """
    return field(
        default=default,
        metadata={
            "label": label,
            "help": help,
            "minimum": minimum,
            "maximum": maximum,
            "choices": choices,
            "advanced": advanced,
            "ordered": ordered,
        },
    )


def parameters(config: type | object) -> Iterator[Parameter]:
    """Iterate over the described fields of a configuration class or instance."""
    for item in fields(config):  # type: ignore[arg-type]
        if "label" in item.metadata:
            default = None if item.default is MISSING else item.default
            yield Parameter(name=item.name, default=default, **item.metadata)


def validate(config: object) -> None:
    """Check every described field against its kind and its range or choices.

    Raises
    ------
    InputError
        Names the parameter, its value and what is allowed.
    """
    for item in parameters(config):
        value = getattr(config, item.name)
        if item.choices and value not in item.choices:
            allowed = ", ".join(repr(choice) for choice in item.choices)
            raise InputError(f"{item.label} is {value!r}.", expected=f"Expected one of {allowed}.")
        if not _is_like(value, item.default):
            kind = _kind(item.default)
            raise InputError(f"{item.label} is {value!r}.", expected=f"Expected {kind}.")
        low = -float("inf") if item.minimum is None else item.minimum
        high = float("inf") if item.maximum is None else item.maximum
        numbers = value if isinstance(value, tuple) else (value,)
        if not all(low <= number <= high for number in numbers if _is_like(number, 0.0)):
            span = f"at least {low}" if item.maximum is None else f"a value from {low} to {high}"
            raise InputError(f"{item.label} is {value!r}.", expected=f"Expected {span}.")
        if item.ordered and list(value) != sorted(value):
            raise InputError(
                f"{item.label} is {value!r}.", expected="Expected the smaller of the two first."
            )


def _is_like(value: object, default: object) -> bool:
    """Return whether a value is of the kind of a default; a whole number is a number, too."""
    if isinstance(default, tuple):
        same_length = isinstance(value, tuple) and len(value) == len(default)
        return same_length and all(map(_is_like, value, default))  # type: ignore[call-overload]
    if isinstance(default, int | float):
        kind = Integral if isinstance(default, int) else Real
        return isinstance(value, kind) and not isinstance(value, bool)
    return isinstance(value, type(default))


def _kind(default: object) -> str:
    """Return the kind of a default in words."""
    if isinstance(default, tuple):
        return f"{len(default)} values, each {_kind(default[0])}"
    words = {int: "a whole number", float: "a number", str: "text"}
    return words[type(default)]
