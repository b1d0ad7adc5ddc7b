"""Errors written for the person at the microscope.

Every error the tool raises on purpose says what was wrong, what was expected and what to do
next. Nothing here knows how an error is shown; the dock, the command line and scripts all
print ``str(error)``.
"""

from __future__ import annotations


class RegconError(Exception):
    """An error with a sentence for each question a user has.

    Parameters
    ----------
    what : str
        What was wrong, with the offending value.
    expected : str, optional
        What was expected, with the choices where there are some.
    next_step : str, optional
        What the user can do about it.
    """

    def __init__(self, what: str, *, expected: str = "", next_step: str = "") -> None:
        self.what = what
        self.expected = expected
        self.next_step = next_step
        super().__init__(" ".join(part for part in (what, expected, next_step) if part))

    def __reduce__(self) -> tuple[object, ...]:
        """Keep all three parts when the error crosses a process boundary."""
        return (_rebuild, (type(self), self.what, self.expected, self.next_step))


def _rebuild(cls: type[RegconError], what: str, expected: str, next_step: str) -> RegconError:
    return cls(what, expected=expected, next_step=next_step)


class InputError(RegconError):
    """A file, image, label or parameter that cannot be used as it is."""


class WeightsError(RegconError):
    """Weights that are missing, damaged, foreign, or not yet allowed to be used."""


class DeviceError(RegconError):
    """A compute device that is missing or out of memory even for the smallest tile."""


class EngineError(RegconError):
    """The engine process could not start, or ended before it answered."""
