"""What the writers of results have in common: a description, and a file that is filled.

A file is filled block by block in any order, so that the whole result is never in memory. It
does not know where it will finally be: :mod:`napari_regcon.data.export` gives it its name once
it is complete.
"""

from __future__ import annotations

import abc
import contextlib
import errno
import math
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_regcon.types import Box, Volume


@runtime_checkable
class WritableArray(Protocol):
    """An array that blocks can be written into: numpy, shared memory, an open zarr array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the elements."""
        ...

    def __setitem__(self, key: Any, value: Any) -> None:
        """Replace a part."""
        ...


@dataclass(frozen=True)
class ResultSpec:
    """What a result looks like, whatever it is written to.

    Parameters
    ----------
    axes : str
        Axes of the labels, a subsequence of ``"TZYX"``.
    shape : tuple of int
        Length of each of them.
    scale, translate : tuple of float
        Pixel size and position of the first pixel along each.
    units : tuple of str
        Units of both, such as ``"nanometer"``.
    dtype : numpy.dtype
        Type of the stored numbers. uint8 probabilities are 255 times the probability.
    classes : tuple of (int, str)
        Value and name of each class.
    name : str
        What the result is called inside the file.
    is_probability : bool
        False: one label per pixel. True: one probability per class and pixel.
    chunk_shape : tuple of int
        Shape of a zarr chunk along ``axes``.
    """

    axes: str
    shape: tuple[int, ...]
    scale: tuple[float, ...]
    units: tuple[str, ...]
    translate: tuple[float, ...]
    dtype: np.dtype[Any]
    classes: tuple[tuple[int, str], ...]
    name: str
    is_probability: bool
    chunk_shape: tuple[int, ...]

    @classmethod
    def like(
        cls,
        volume: Volume,
        dtype: np.dtype[Any] | type,
        classes: tuple[tuple[int, str], ...],
        *,
        name: str,
        is_probability: bool = False,
        chunk_shape: tuple[int, ...] | None = None,
    ) -> ResultSpec:
        """Describe a result that lies on the pixels of ``volume``."""
        n = len(volume.label_axes)
        shape = volume.label_shape
        chunk = chunk_shape or (1,) * (n - 2) + tuple(min(1024, size) for size in shape[-2:])
        return cls(
            volume.label_axes,
            shape,
            volume.scale[:n],
            volume.units[:n],
            volume.translate[:n],
            np.dtype(dtype),
            classes,
            name,
            is_probability,
            chunk,
        )

    @property
    def n_bytes(self) -> int:
        """Size of the result, uncompressed."""
        n_channels = len(self.classes) if self.is_probability else 1
        return math.prod(self.shape) * n_channels * self.dtype.itemsize


def check_array(array: WritableArray, spec: ResultSpec) -> None:
    """Check that an array can take a result.

    Raises
    ------
    InputError
        If its shape or type does not fit.
    """
    shape = (len(spec.classes), *spec.shape) if spec.is_probability else spec.shape
    if tuple(array.shape) != shape:
        raise InputError(
            f"The array for the result has shape {tuple(array.shape)}.",
            expected=f"Expected {shape}.",
        )
    if isinstance(array, np.ndarray) and not array.flags.writeable:
        raise InputError("The array for the result is read-only.")
    kind = np.dtype(array.dtype)
    if spec.is_probability:
        fits = kind == np.uint8 or np.issubdtype(kind, np.floating)
        expected = "Expected uint8 or a floating-point type."
    else:
        # Where no classes are named, any number that a file would hold can come.
        highest = max((value for value, _ in spec.classes), default=np.iinfo(spec.dtype).max)
        fits = np.issubdtype(kind, np.integer) and highest <= np.iinfo(kind).max
        expected = f"Expected a whole-number type that can hold {highest}."
    if not fits:
        raise InputError(f"The array for the result is of type {kind}.", expected=expected)


class FileOutput(abc.ABC):
    """A result file that is being filled.

    Parameters
    ----------
    path : pathlib.Path
        Where to write; nothing may be there yet.
    spec : ResultSpec
        What is written.
    """

    space_share = 1.0
    """Free disk space needed, as a share of the uncompressed size."""

    channel_after = ""
    """The channel axis comes right after these axes."""

    def __init__(self, path: Path, spec: ResultSpec) -> None:
        self.path = path
        self.spec = spec
        outer = [i for i, axis in enumerate(spec.axes) if axis in self.channel_after]
        self.channel_axis = len(outer)
        n = self.channel_axis
        if spec.is_probability:
            self.axes = spec.axes[:n] + "C" + spec.axes[n:]
            self.shape = (*spec.shape[:n], len(spec.classes), *spec.shape[n:])
        else:
            self.axes, self.shape = spec.axes, spec.shape

    @abc.abstractmethod
    def create(self) -> None:
        """Create the file, with zeros everywhere."""

    @abc.abstractmethod
    def write(self, box: Box, values: np.ndarray) -> None:
        """Write a block.

        Parameters
        ----------
        box : Box
            Where, in the label axes.
        values : numpy.ndarray
            ``box.shape``, or ``(C, *box.shape)`` for probabilities.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of the file. Nothing is written afterwards."""

    def discard(self) -> None:
        """Close and delete the file."""
        with contextlib.suppress(OSError):  # what did not fit on the disk is not wanted any more
            self.close()
        if self.path.is_dir():
            # An interrupted write may go on for a moment in a thread of the zarr library.
            shutil.rmtree(self.path, ignore_errors=True)
            if self.path.exists():
                time.sleep(0.2)
                shutil.rmtree(self.path)
        else:
            self.path.unlink(missing_ok=True)

    def in_file_order(self, box: Box, values: np.ndarray) -> tuple[tuple[slice, ...], np.ndarray]:
        """Return where a block lies in the file's axes, and the block in these axes."""
        slices = box.slices
        if self.spec.is_probability:
            n = self.channel_axis
            values = np.moveaxis(values, 0, n)
            slices = (*slices[:n], slice(0, values.shape[n]), *slices[n:])
        return slices, values


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn a failure to write into an error that says what to do.

    Raises
    ------
    InputError
        Instead of the ``OSError`` that happened inside.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
            raise InputError(
                f"The disk is full: {str(path)!r} could not be written to its end.",
                next_step="Free some space or choose another disk, and start again. The "
                "incomplete file is removed.",
            ) from error
        raise InputError(
            f"{str(path)!r} cannot be written: {error.strerror or error}.",
            next_step="Choose a folder you may write to.",
        ) from error
