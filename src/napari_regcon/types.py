"""Values that every layer of the house shares.

A :class:`Volume` is an image that need not be in memory, with the meaning of its axes. A
:class:`Box` is a part of it. The event classes are what long work yields. Nothing here reads
files, imports torch or knows napari.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np

CANONICAL_AXES = "TZYXC"
"""Order in which a volume keeps its axes: time, depth, rows, columns, channels."""

NOT_SAID = -1
"""Class index of a pixel that nothing is known of, where networks are trained."""


class LazyArray(Protocol):
    """What is asked of an array that may live on disk: numpy, memory map or dask."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the elements."""
        ...

    @property
    def ndim(self) -> int:
        """Number of axes."""
        ...

    def __getitem__(self, key: Any) -> Any:
        """Return a part; ``numpy.asarray`` of it reads it."""
        ...


@dataclass(frozen=True)
class Box:
    """An axis-aligned box of pixels, ``start`` included and ``stop`` excluded.

    Parameters
    ----------
    start, stop : tuple of int
        First index, and one past the last index, along each axis.

    Raises
    ------
    ValueError
        If the two differ in length.
    """

    start: tuple[int, ...]
    stop: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.start) != len(self.stop):
            raise ValueError(f"start {self.start} and stop {self.stop} differ in length")

    @classmethod
    def of_shape(cls, shape: tuple[int, ...]) -> Box:
        """Return the box that covers an array of this shape."""
        return cls((0,) * len(shape), tuple(shape))

    @property
    def shape(self) -> tuple[int, ...]:
        """Length along each axis, never negative."""
        return tuple(max(0, b - a) for a, b in zip(self.start, self.stop, strict=True))

    @property
    def size(self) -> int:
        """Number of pixels."""
        return math.prod(self.shape)

    @property
    def slices(self) -> tuple[slice, ...]:
        """Slices that cut this box out of an array."""
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))

    def intersect(self, other: Box) -> Box:
        """Return the common part; its ``size`` is 0 where there is none."""
        return Box(
            tuple(max(a, b) for a, b in zip(self.start, other.start, strict=True)),
            tuple(min(a, b) for a, b in zip(self.stop, other.stop, strict=True)),
        )

    def around(self, *others: Box) -> Box:
        """Return the smallest box that holds this one and others."""
        starts, stops = zip(*((box.start, box.stop) for box in (self, *others)), strict=True)
        lowest = (min(axis) for axis in zip(*starts, strict=True))
        highest = (max(axis) for axis in zip(*stops, strict=True))
        return Box(tuple(lowest), tuple(highest))

    def grow(self, margin: tuple[int, ...]) -> Box:
        """Return the box enlarged by ``margin`` pixels on both sides of each axis."""
        return Box(
            tuple(a - m for a, m in zip(self.start, margin, strict=True)),
            tuple(b + m for b, m in zip(self.stop, margin, strict=True)),
        )

    def shift(self, offset: tuple[int, ...]) -> Box:
        """Return the box moved by ``offset`` pixels."""
        return Box(
            tuple(a + o for a, o in zip(self.start, offset, strict=True)),
            tuple(b + o for b, o in zip(self.stop, offset, strict=True)),
        )


@dataclass(frozen=True, eq=False)
class Volume:
    """An image or label volume in canonical axis order, read only where it is asked for.

    Parameters
    ----------
    data : numpy.ndarray or dask.array.Array
        Pixels, with axes as ``axes`` says. Memory maps stay on disk.
    axes : str
        A subsequence of ``"TZYXC"`` that holds ``Y`` and ``X``, one letter per axis.
    scale : tuple of float
        Size of a pixel along each axis, in ``units``; 1.0 where unknown.
    units : tuple of str
        Unit of ``scale`` along each axis, such as ``"nanometer"``; ``"pixel"`` where unknown.
    translate : tuple of float, optional
        Position of the first pixel along each axis, in ``units``.
    name : str, optional
        What to call it in messages and layers.
    source : pathlib.Path, optional
        The file it can be opened again from, if any.

    Raises
    ------
    InputError
        If axes, scale, units and data do not fit each other.
    """

    data: LazyArray
    axes: str
    scale: tuple[float, ...] = ()
    units: tuple[str, ...] = ()
    translate: tuple[float, ...] = ()
    name: str = "image"
    source: Path | None = None

    def __post_init__(self) -> None:
        canonical = [a for a in CANONICAL_AXES if a in self.axes]
        if list(self.axes) != canonical or "Y" not in self.axes or "X" not in self.axes:
            raise InputError(
                f"The axes {self.axes!r} of {self.name!r} are not usable.",
                expected="Expected some of T, Z, Y, X, C in this order, with Y and X among them.",
            )
        if len(self.axes) != self.data.ndim:
            raise InputError(
                f"{self.name!r} has {self.data.ndim} axes (shape {tuple(self.data.shape)}), "
                f"but {len(self.axes)} axis letters were given ({self.axes!r})."
            )
        for field, default in (("scale", 1.0), ("units", "pixel"), ("translate", 0.0)):
            value = getattr(self, field) or (default,) * len(self.axes)
            if len(value) != len(self.axes):
                raise InputError(
                    f"{field} of {self.name!r} has {len(value)} values for the axes {self.axes!r}."
                )
            object.__setattr__(self, field, tuple(value))

    @property
    def has_channels(self) -> bool:
        """Whether the last axis is a channel axis."""
        return self.axes.endswith("C")

    @property
    def n_channels(self) -> int:
        """Number of channels, 1 where there is no channel axis."""
        return self.data.shape[-1] if self.has_channels else 1

    @property
    def label_axes(self) -> str:
        """The axes that a label volume for this image has: all but the channels."""
        return self.axes.removesuffix("C")

    @property
    def label_shape(self) -> tuple[int, ...]:
        """Shape that a label volume for this image has."""
        return tuple(self.data.shape[: len(self.label_axes)])

    def spatial_ndim(self, preferred: int) -> int:
        """Return 3 if ``preferred`` is 3 and there is a depth axis, else 2."""
        return 3 if preferred == 3 and "Z" in self.axes else 2

    def prefixes(self, spatial_ndim: int) -> Iterator[tuple[int, ...]]:
        """Iterate over the indices in front of the last ``spatial_ndim`` label axes.

        For a ``TZYX`` volume and 2 these are ``(t, z)``, one per plane; for 3, ``(t,)``.
        """
        import itertools

        outer = self.label_shape[: len(self.label_shape) - spatial_ndim]
        return itertools.product(*(range(n) for n in outer))


@dataclass(frozen=True)
class Progress:
    """How far long work has come.

    Parameters
    ----------
    done, total : int
        Steps finished and steps in all.
    what : str
        What a step is, for people ("slices", "blocks").
    elapsed_s : float
        Seconds since the work began.
    """

    done: int
    total: int
    what: str
    elapsed_s: float

    @property
    def remaining_s(self) -> float | None:
        """Seconds left at the present pace; None before the first step."""
        if self.done == 0:
            return None
        return self.elapsed_s / self.done * (self.total - self.done)


@dataclass(frozen=True)
class BlockDone:
    """A block of the result is written.

    Parameters
    ----------
    box : Box
        Where, in the label axes of the volume.
    """

    box: Box


@dataclass(frozen=True)
class Note:
    """Something the user should know that is not an error.

    Parameters
    ----------
    text : str
        One or two sentences.
    """

    text: str


@dataclass(frozen=True)
class Finished:
    """Long work has ended well.

    Parameters
    ----------
    elapsed_s : float
        Seconds it took.
    outputs : tuple of pathlib.Path
        What was written.
    """

    elapsed_s: float
    outputs: tuple[Path, ...] = ()


Event: TypeAlias = Progress | BlockDone | Note | Finished
