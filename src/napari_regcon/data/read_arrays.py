"""NPY and MRC: a header, then the pixels in one piece, which are memory-mapped.

Nothing here knows volumes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_regcon.data.axes import guess_axes, pixel_sizes
from napari_regcon.data.source import Source
from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

_MRC_HEADER_BYTES = 1024
_IMOD_STAMP = b"IMOD"
_BIG_ENDIAN = 0x11


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

    The origin is left out, because programs do not agree on its sign. See Cheng et al.,
    J. Struct. Biol. 2015, for the format.

    Raises
    ------
    InputError
        If the file is cut off.
    """
    from mrcfile import utils

    header = _mrc_header(path)
    shape = utils.data_shape_from_header(header)
    dtype = utils.data_dtype_from_header(header)
    if dtype == np.int8 and _has_unsigned_bytes(header):
        dtype = np.dtype(np.uint8)
    offset = _MRC_HEADER_BYTES + max(0, int(header.nsymbt))
    array = _mapped(path, dtype, shape, offset)
    sizes: dict[str, tuple[object, object]] = {}
    if (int(header.mapc), int(header.mapr), int(header.maps)) == (1, 2, 3):
        for axis in "xyz":
            length_nm, n = float(header.cella[axis]) / 10, int(header[f"m{axis}"])
            sizes[axis.upper()] = (length_nm / n if n else 0, "nm")
    return Source(array, "TZYX"[-array.ndim :], scale=pixel_sizes(sizes))


def _mrc_header(path: Path) -> np.recarray[Any, Any]:
    """Return the main header in the byte order it was written in."""
    from mrcfile.dtypes import HEADER_DTYPE

    with path.open("rb") as file:
        data = file.read(_MRC_HEADER_BYTES)
    if len(data) < _MRC_HEADER_BYTES:
        raise InputError(f"{str(path)!r} is cut off: it ends within its header.")
    header = np.frombuffer(data, HEADER_DTYPE.newbyteorder("<")).reshape(()).view(np.recarray)
    # Old files lack the stamp of the byte order, but modes are small numbers.
    if header.machst[0] == _BIG_ENDIAN or not 0 <= int(header.mode) < 2**16:
        header = header.view(HEADER_DTYPE.newbyteorder(">"))
    return header


def _has_unsigned_bytes(header: np.recarray[Any, Any]) -> bool:
    """Tell whether IMOD wrote bytes from 0 to 255 in the mode that is signed by the standard."""
    extra = header.extra2.tobytes()
    stamp, flags = extra[40:44], extra[44:48]
    if stamp not in (_IMOD_STAMP, _IMOD_STAMP[::-1]):
        return False
    lowest = flags[-1] if stamp == _IMOD_STAMP else flags[0]
    return not lowest & 1


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
