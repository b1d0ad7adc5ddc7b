"""How arrays travel between the window and the engine: by name, by path, or compressed."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class SharedArray:
    """An array in a named shared-memory segment that the window owns.

    Parameters
    ----------
    name : str
        Name of the segment.
    shape : tuple of int
        Shape of the array.
    dtype : str
        numpy type string.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class FileArray:
    """An array in a file that :func:`napari_regcon.open_volume` opens on either side.

    Parameters
    ----------
    path : pathlib.Path
        TIFF, zarr, NPY, MRC or PNG.
    """

    path: Path


ArraySource: TypeAlias = SharedArray | FileArray


@dataclass(frozen=True, eq=False)
class PackedArray:
    """A small or sparse array that is compressed while it travels.

    Parameters
    ----------
    array : numpy.ndarray
        Painted labels of a box.
    """

    array: np.ndarray

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as compressed bytes."""
        array = np.ascontiguousarray(self.array)
        return (_unpack, (zlib.compress(array.data, 1), array.shape, array.dtype.str))


def _unpack(data: bytes, shape: tuple[int, ...], dtype: str) -> PackedArray:
    return PackedArray(np.frombuffer(zlib.decompress(data), dtype).reshape(shape).copy())
