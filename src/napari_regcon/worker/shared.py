"""Arrays in shared memory, so that pixels never travel through a pipe.

The window creates segments, owns them and removes them; the engine only looks in. The
operating system's bookkeeping is arranged so that a segment outlives a crash of the engine
and never a crash of the window. Nothing here knows what the arrays mean.
"""

from __future__ import annotations

import errno
import math
import os
import sys
import threading
from contextlib import suppress
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_regcon.errors import InputError
from napari_regcon.worker.protocol import SharedArray

if TYPE_CHECKING:
    from types import TracebackType

    from napari_regcon.types import LazyArray

_COPY_BYTES = 64 * 1024**2
"""Bytes that are copied at once from a lazy array."""

_CANNOT_PROMISE = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""What systems answer that do not claim memory ahead of time."""

_tracking = threading.RLock()


class SharedBuffer:
    """An array in a shared-memory segment, made by :meth:`create` or :meth:`attach`.

    Attributes
    ----------
    array : numpy.ndarray
        The pixels; empty after :meth:`close`. Views taken before stay readable, and the memory
        is given back once they are gone.
    handle : SharedArray
        What the other process needs to attach it.
    """

    def __init__(self, segment: SharedMemory, handle: SharedArray, *, owner: bool) -> None:
        self.handle = handle
        if min(handle.shape, default=0) < 0:
            raise ValueError("negative dimensions")
        assert segment.buf is not None  # noqa: S101 - open, for the type checker
        # frombuffer keeps the memory mapped for as long as views of it live; ndarray does not.
        flat = np.frombuffer(segment.buf, handle.dtype, count=math.prod(handle.shape))
        self.array: np.ndarray = flat.reshape(handle.shape)
        self._segment: SharedMemory | None = segment
        self._owner = owner

    @classmethod
    def create(cls, shape: tuple[int, ...], dtype: Any) -> SharedBuffer:
        """Make a new segment, filled with 0; the caller has to close it.

        Parameters
        ----------
        shape : tuple of int
            Shape of the array.
        dtype : dtype-like
            Type of its elements; no Python objects.

        Raises
        ------
        InputError
            If the type cannot be shared, or there is not enough shared memory.
        """
        kind = np.dtype(dtype)
        if kind.hasobject:
            raise InputError(
                f"An array of type {kind} cannot be shared with the engine.",
                expected="Expected whole or floating-point numbers.",
            )
        shape = tuple(int(n) for n in shape)
        n_bytes = max(1, math.prod(shape) * kind.itemsize)
        sweep()
        with _tracking:
            try:
                segment = _Segment(create=True, size=n_bytes)
            except OSError as error:
                raise _too_big(n_bytes, error) from error
        try:
            _reserve(segment, n_bytes)
        except OSError as error:
            segment.unlink()
            segment.close()
            raise _too_big(n_bytes, error) from error
        return cls(segment, SharedArray(segment.name, shape, kind.str), owner=True)

    @classmethod
    def from_array(cls, array: LazyArray) -> SharedBuffer:
        """Copy an array into a new segment, part by part, so that a lazy one fits too.

        Raises
        ------
        InputError
            As :meth:`create` does.
        """
        buffer = cls.create(tuple(array.shape), array.dtype)
        try:
            for part in _parts(buffer.array.shape, buffer.array.itemsize):
                buffer.array[part] = np.asarray(array[part])
        except BaseException:
            buffer.close()
            raise
        return buffer

    @classmethod
    def attach(cls, handle: SharedArray) -> SharedBuffer:
        """Look into a segment of the other process.

        Raises
        ------
        InputError
            If the segment is gone, or smaller than the handle says.
        """
        sweep()
        try:
            segment = _attach_untracked(handle.name)
        except (OSError, ValueError) as error:
            raise InputError(
                f"The shared memory {handle.name!r} is gone: {error}.",
                next_step="The layer it belonged to was probably closed; try again.",
            ) from error
        try:
            return cls(segment, handle, owner=False)
        except (TypeError, ValueError) as error:
            segment.close()
            raise InputError(
                f"The shared memory {handle.name!r} does not hold an array of shape "
                f"{handle.shape} and type {handle.dtype}: {error}."
            ) from error

    def close(self) -> None:
        """Give the segment up; the side that created it removes it. Can be called twice."""
        segment, self._segment = self._segment, None
        if segment is None:
            return
        self.array = np.zeros((0,) * self.array.ndim, self.array.dtype)
        if self._owner:
            # Some systems clear /dev/shm on their own, for example when the user logs out.
            with _tracking, suppress(FileNotFoundError):
                segment.unlink()
        segment.close()
        sweep()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def sweep() -> None:
    """Give back the memory of closed buffers whose last view has gone since."""
    waiting = list(_Segment.waiting)
    _Segment.waiting.clear()
    for segment in waiting:
        segment.close()


class _Segment(SharedMemory):
    """Shared memory that waits with its release until no numpy view needs it any more."""

    waiting: list[_Segment] = []  # noqa: RUF012 - shared on purpose

    def close(self) -> None:
        """Release the memory, or remember to do so where views of it are left."""
        try:
            super().close()
        except BufferError:
            self.waiting.append(self)


def _attach_untracked(name: str) -> SharedMemory:
    """Attach without telling the resource tracker, which would remove the segment at our exit."""
    if sys.version_info >= (3, 13):
        return _Segment(name, track=False)
    with _tracking:
        register = resource_tracker.register
        resource_tracker.register = lambda *_: None
        try:
            return _Segment(name)
        finally:
            resource_tracker.register = register


def _reserve(segment: SharedMemory, n_bytes: int) -> None:
    """Claim the memory now: where it runs out later, Linux ends the process without a word."""
    path = Path("/dev/shm") / segment.name  # noqa: S108 - where Linux keeps the segment
    if sys.platform == "linux" and path.exists():
        descriptor = os.open(path, os.O_RDWR)
        try:
            os.posix_fallocate(descriptor, 0, n_bytes)
        except OSError as error:
            if error.errno not in _CANNOT_PROMISE:
                raise
        finally:
            os.close(descriptor)


def _too_big(n_bytes: int, error: OSError) -> InputError:
    return InputError(
        f"There is no room for {n_bytes / 1024**2:.0f} MiB of shared memory ({error.strerror}).",
        next_step="Close other images, or save this one as a file (zarr or TIFF) and open it from "
        "there: files are read in parts and need no shared memory.",
    )


def _parts(shape: tuple[int, ...], itemsize: int) -> list[tuple[slice, ...]]:
    """Cut an array into parts of a bounded size along its first axes."""
    if math.prod(shape) * itemsize <= _COPY_BYTES or not shape:
        return [tuple(slice(0, n) for n in shape)]
    row = math.prod(shape[1:]) * itemsize
    step = max(1, _COPY_BYTES // max(1, row))
    inner = _parts(shape[1:], itemsize) if row > _COPY_BYTES else [()]
    outer = [slice(a, min(a + step, shape[0])) for a in range(0, shape[0], step)]
    return [(first, *rest) for first in outer for rest in inner]
