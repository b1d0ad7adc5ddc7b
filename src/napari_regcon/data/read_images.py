"""PNG, JPEG and BMP: single pictures that are decoded as a whole.

Sizes are compared with the file before anything is decoded. Nothing here knows volumes.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from napari_regcon.data.source import Source
from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import Image

_MOST_SHRUNK = 1200
"""No PNG, JPEG or BMP is this many times smaller than its pixels; deflate ends at 1032."""

_KEPT = ("1", "L", "I", "F", "P", "I;16", "I;16B", "I;16L", "I;16N", "RGB")
_CONVERTED = {"RGBA": "RGB", "RGBX": "RGB", "LA": "L", "La": "L", "PA": "P", "RGBa": "RGB"}


def read_image(path: Path) -> Source:
    """Read a picture.

    Transparency is left out. Pictures with a palette keep their indices, because in microscopy
    these are the labels or the intensities and the colours are only for show.

    Raises
    ------
    InputError
        If the header claims more pixels than the file can hold, or more than pictures that
        cannot be read in parts may have (179 million).
    """
    from PIL import Image

    with warnings.catch_warnings():
        # The size is checked here, so the library's warning about large pictures says nothing new.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(path, formats=("PNG", "JPEG", "BMP")) as picture:
                return _decoded(picture, path)
        except Image.DecompressionBombError as error:
            raise InputError(
                f"{str(path)!r} is too large for a file that cannot be read in parts: {error}",
                next_step="Save it as a tiled TIFF or as OME-Zarr.",
            ) from error


def _decoded(picture: Image.Image, path: Path) -> Source:
    width, height = picture.size
    if width * height > path.stat().st_size * _MOST_SHRUNK:
        raise InputError(
            f"{str(path)!r} claims to have {width} x {height} pixels, but has only "
            f"{path.stat().st_size:,} bytes.",
            next_step="The file is damaged; copy or export it again.",
        )
    if picture.mode not in _KEPT:
        picture = picture.convert(_CONVERTED.get(picture.mode, "RGB"))
    array = np.asarray(picture)
    return Source(array, "YXC"[: array.ndim])
