"""PNG, JPEG and BMP: single pictures that are decoded as a whole.

Sizes are compared with the file before anything is decoded. Nothing here knows volumes.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_regcon.data.source import Source, explained
from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from PIL import Image

_MOST_SHRUNK = 1200
"""No PNG, JPEG or BMP is this many times smaller than its pixels; deflate ends at 1032."""

_READ_AS = {
    "1": ("1", "?", ""),
    "L": ("L", "u1", ""),
    "LA": ("L", "u1", ""),
    "P": ("P", "u1", ""),
    "PA": ("P", "u1", ""),
    "I": ("I", "i4", ""),
    "I;16": ("I;16", "<u2", ""),
    "I;16B": ("I;16B", ">u2", ""),
    "F": ("F", "f4", ""),
}
"""What a mode of the library is read as: mode, type and channel axis. All others: colours."""


def read_image(path: Path) -> Source:
    """Look at the header of a picture; the pixels are decoded when they are asked for.

    Transparency is left out. Pictures with a palette keep their indices, because in microscopy
    these are the labels or the intensities and the colours are only for show. Colours of 16 bit
    become 8 bit.

    Raises
    ------
    InputError
        If the header claims more pixels than the file can hold, or more than pictures that
        cannot be read in parts may have (179 million).
    """
    with _opened(path) as picture:
        width, height = picture.size
        if width * height > path.stat().st_size * _MOST_SHRUNK:
            raise InputError(
                f"{str(path)!r} claims to have {width} x {height} pixels, but has only "
                f"{path.stat().st_size:,} bytes.",
                next_step="The file is damaged; copy or export it again.",
            )
        mode, kind, channels = _READ_AS.get(picture.mode, ("RGB", "u1", "C"))
    shape = (height, width, 3) if channels else (height, width)
    return Source(Picture(path, mode, shape, np.dtype(kind)), "YX" + channels)


class Picture:
    """The pixels of a picture, decoded anew each time they are asked for.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    mode : str
        Mode of the library to read it in.
    shape : tuple of int
        ``(Y, X)`` or ``(Y, X, 3)``.
    dtype : numpy.dtype
        Type of the elements.
    """

    def __init__(self, path: Path, mode: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._path = path
        self._mode = mode
        self.shape = shape
        self.dtype = dtype
        self.ndim = len(shape)

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        with explained(self._path), _opened(self._path) as picture:
            same = picture.mode == self._mode
            array = np.array(picture if same else picture.convert(self._mode), self.dtype)
        return array[key]


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    from PIL import Image

    with warnings.catch_warnings():
        # Sizes are checked here, so the library's warning about large pictures says nothing new.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(path, formats=("PNG", "JPEG", "BMP")) as picture:
                yield picture
        except Image.DecompressionBombError as error:
            raise InputError(
                f"{str(path)!r} is too large for a file that cannot be read in parts: {error}",
                next_step="Save it as a tiled TIFF or as OME-Zarr.",
            ) from error
