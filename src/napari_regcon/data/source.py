"""Pixels as a file stores them, and the way from there to a volume.

A reader returns a :class:`Source`: an array with the axes in the order of the file. Here it is
checked, and its axes are brought into canonical order without reading a pixel. Nothing here
knows a file format.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_regcon.data.axes import assign_axes
from napari_regcon.data.decoded import DecodedParts
from napari_regcon.errors import InputError, RegconError
from napari_regcon.types import CANONICAL_AXES, LazyArray, Volume

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_BYTES = 2**50
"""An image that claims to be larger than this (1 PiB) is taken for a damaged file."""

MOST_CHUNK_BYTES = 2**31
"""Compressed pixels are decoded in chunks; larger ones would fill the memory."""

_DASK_CHUNK_PX = 512
"""Stored chunks are read in groups of up to this many rows and columns."""


@dataclass(frozen=True, eq=False)
class Source:
    """Pixels and what a file says of them.

    Parameters
    ----------
    array : LazyArray
        A memory map, or anything else that can be cut by a tuple of slices.
    axes : str
        One letter per axis in the order of the file: T, Z, Y, X, C, or ``?`` where the file
        does not say.
    chunks : tuple of int, optional
        Shape of the parts that are decoded as a whole. None: the pixels are not compressed, or
        can only be decoded all at once.
    scale : dict of str to (float, str)
        Pixel size and its unit, by axis letter.
    translate : dict of str to float
        Position of the first pixel in the same unit, by axis letter.
    n_channels : int, optional
        How many of the channels are colours; those behind (transparency) are left out.
    """

    array: LazyArray
    axes: str
    chunks: tuple[int, ...] | None = None
    scale: dict[str, tuple[float, str]] = field(default_factory=dict)
    translate: dict[str, float] = field(default_factory=dict)
    n_channels: int | None = None


def volume_of(source: Source, *, axes: str | None, name: str, path: Path) -> Volume:
    """Return a volume with canonical axes, without axes of length 1 in front of Y and X.

    Parameters
    ----------
    source : Source
        From a reader.
    axes : str, optional
        Axes in the order of the file, in place of what the file says.
    name : str
        Name of the volume.
    path : pathlib.Path
        The file.

    Raises
    ------
    InputError
        If the type, the size or the axes cannot be used.
    """
    _check_kind(source.array.dtype, path)
    _check_size(source, path)
    letters = assign_axes(source.axes, tuple(source.array.shape), axes, path)
    kept = [axis for axis in CANONICAL_AXES if axis in letters]
    order = tuple(letters.index(axis) for axis in kept)
    n_channels = source.n_channels if "C" in kept else None
    data: LazyArray
    if source.chunks is None:
        # Memory maps stay on disk; the others are single pictures.
        data = Reordered(source.array, order, n_channels)[(slice(None),) * len(order)]
    else:
        data = _dask(source, source.chunks, order, n_channels, kept)
    scale = [source.scale.get(axis, (1.0, "pixel")) for axis in kept]
    return Volume(
        data,
        "".join(kept),
        tuple(size for size, _ in scale),
        tuple(unit for _, unit in scale),
        tuple(source.translate.get(axis, 0.0) for axis in kept),
        name,
        path,
    )


def _dask(
    source: Source,
    chunks: tuple[int, ...],
    order: tuple[int, ...],
    n_channels: int | None,
    axes: list[str],
) -> LazyArray:
    import dask.array as da

    view = Reordered(DecodedParts(source.array, chunks), order, n_channels)
    grouped = [
        _grouped(chunks[i], n, axis) for i, n, axis in zip(order, view.shape, axes, strict=True)
    ]
    lazy: LazyArray = da.from_array(
        view, chunks=tuple(grouped), name=False, meta=np.empty((0,) * view.ndim, view.dtype)
    )
    return lazy


class Reordered:
    """An array with its axes in another order and those of length 1 left out.

    Cutting it reads only the part asked for, which dask's own transposition does not.

    Parameters
    ----------
    array : LazyArray
        Can be cut by a tuple of slices.
    order : tuple of int
        Axes of ``array`` in the new order; the others have length 1.
    n_channels : int, optional
        Entries of the last axis to keep.
    """

    def __init__(self, array: LazyArray, order: tuple[int, ...], n_channels: int | None) -> None:
        self._array = array
        self._order = order
        shape = [array.shape[i] for i in order]
        if n_channels is not None:
            shape[-1] = min(shape[-1], n_channels)
        self.shape = tuple(shape)
        self.dtype = array.dtype
        self.ndim = len(order)

    def __getitem__(self, key: tuple[slice | int, ...]) -> np.ndarray:
        stored = [slice(0, 1)] * self._array.ndim
        for i, part, n in zip(self._order, key, self.shape, strict=True):
            stored[i] = (
                slice(*part.indices(n)) if isinstance(part, slice) else slice(part, part + 1)
            )
        values = self._array[tuple(stored)]
        left = [i for i in range(values.ndim) if i not in self._order]
        values = values.transpose(*left, *self._order)[(0,) * len(left)]
        cut: np.ndarray = values[tuple(slice(None) if isinstance(p, slice) else 0 for p in key)]
        return cut


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn whatever a library says of a damaged file into an error for the user.

    Raises
    ------
    InputError
        Instead of any other error that happened inside.
    """
    try:
        yield
    except RegconError:
        raise
    except PermissionError as error:
        raise InputError(
            f"{str(path)!r} may not be read.", next_step="Ask for the permission to read it."
        ) from error
    except Exception as error:
        raise InputError(
            f"{str(path)!r} cannot be read: {error!r}.",
            next_step="The file may be damaged, or of another format than its name says.",
        ) from error


def _check_kind(dtype: np.dtype[Any], path: Path) -> None:
    if dtype.kind == "c":
        raise InputError(
            f"{str(path)!r} holds complex numbers.",
            expected="Expected one real number per pixel.",
            next_step="Save the magnitude as an image first.",
        )
    if dtype.kind not in "buif":
        raise InputError(
            f"{str(path)!r} holds elements of type {dtype}.",
            expected="Expected whole numbers, floating-point numbers or true/false.",
        )


def _check_size(source: Source, path: Path) -> None:
    shape = tuple(source.array.shape)
    if len(shape) < 2:
        raise InputError(
            f"{str(path)!r} has {len(shape)} axes (shape {shape}).",
            expected="Expected an image with at least rows and columns.",
        )
    if not all(shape):
        raise InputError(f"{str(path)!r} is empty: its shape is {shape}.")
    itemsize = source.array.dtype.itemsize
    if math.prod(shape) * itemsize > MOST_BYTES:
        raise InputError(
            f"{str(path)!r} claims to have the shape {shape}, which is more than any disk holds.",
            next_step="The file is probably damaged; copy or export it again.",
        )
    chunk = math.prod(source.chunks or (0,)) * itemsize
    if chunk > MOST_CHUNK_BYTES:
        raise InputError(
            f"{str(path)!r} is compressed in parts of {source.chunks} px, each of which takes "
            f"{chunk / 2**30:.0f} GiB of memory.",
            next_step="Save it as OME-Zarr or as a tiled or uncompressed TIFF.",
        )


def _grouped(chunk: int, length: int, axis: str) -> int:
    """Return a multiple of a chunk, so that a plane is read in few steps."""
    if axis in "YX" and chunk < _DASK_CHUNK_PX:
        chunk *= _DASK_CHUNK_PX // chunk
    return min(chunk, length)
