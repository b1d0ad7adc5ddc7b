"""NPY and MRC: a header, then the pixels in one piece, which are memory-mapped.

Nothing here knows volumes.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_regcon.data.axes import guess_axes, pixel_sizes
from napari_regcon.data.source import Source
from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

_MRC_HEADER_BYTES = 1024
_IMOD_STAMP = b"IMOD"


def read_npy(path: Path) -> Source:
    """Read a numpy file. Pickled objects are refused.

    Raises
    ------
    InputError
        If the elements are objects, or the file is cut off.
    """
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            header = np.lib.format.read_array_header_1_0(file)
        else:
            header = np.lib.format.read_array_header_2_0(file)
        offset = file.tell()
    shape, in_columns, dtype = header
    array = _mapped(path, dtype, shape, offset, order="F" if in_columns else "C")
    return Source(array, guess_axes(shape))


def read_mrc(path: Path) -> Source:
    """Read an MRC file; the voxel size in Angstrom becomes nanometres.

    The origin is left out, because programs do not agree on its sign.

    Raises
    ------
    InputError
        If the file is cut off.
    """
    import mrcfile

    with warnings.catch_warnings():
        # Many programs write headers that bend the standard; what matters is checked below.
        warnings.simplefilter("ignore")
        with mrcfile.open(path, header_only=True, permissive=True) as file:
            header = file.header
            shape = mrcfile.utils.data_shape_from_header(header)
            dtype = mrcfile.utils.data_dtype_from_header(header)
            offset = _MRC_HEADER_BYTES + int(header.nsymbt)
            cell = [float(header.cella[axis]) / 10 for axis in "xyz"]
            steps = [int(header[name]) for name in ("mx", "my", "mz")]
            in_order = [int(header[name]) for name in ("mapc", "mapr", "maps")] == [1, 2, 3]
            stamp, flags = header.extra2.tobytes()[40:44], header.extra2.tobytes()[44:48]
    if dtype == np.int8 and stamp in (_IMOD_STAMP, _IMOD_STAMP[::-1]):
        # Old IMOD files hold bytes from 0 to 255 in the mode that is signed by the standard.
        lowest = flags[-1] if stamp == _IMOD_STAMP else flags[0]
        if not lowest & 1:
            dtype = np.dtype(np.uint8)
    sizes: dict[str, tuple[object, object]] = {}
    if in_order:
        sizes = {
            axis: (length / n if n else 0, "nm")
            for axis, length, n in zip("XYZ", cell, steps, strict=True)
        }
    array = _mapped(path, dtype, shape, offset)
    return Source(array, "TZYX"[-array.ndim :], scale=pixel_sizes(sizes))


def _mapped(
    path: Path, dtype: np.dtype[Any], shape: tuple[int, ...], offset: int, *, order: str = "C"
) -> np.ndarray:
    """Map the pixels of a file behind its header."""
    if dtype.hasobject or dtype.itemsize == 0:
        raise InputError(
            f"{str(path)!r} holds Python objects, not numbers.",
            expected="Expected an array of numbers.",
        )
    needed, size = offset + math.prod(shape) * dtype.itemsize, path.stat().st_size
    if needed > size:
        raise InputError(
            f"{str(path)!r} is cut off: it has {size:,} bytes, but its header speaks of "
            f"{needed:,}.",
            next_step="Copy or export the file again.",
        )
    if not math.prod(shape):
        raise InputError(f"{str(path)!r} is empty: its shape is {shape}.")
    return np.memmap(path, dtype, "r", offset, shape, order)  # type: ignore[call-overload,no-any-return]
