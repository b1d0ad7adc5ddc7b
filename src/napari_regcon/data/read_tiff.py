"""TIFF of all kinds: plain, ImageJ, OME, BigTIFF, tiled, pyramids.

Pixels that lie in one piece are memory-mapped, all others are decoded when they are asked for.
Sizes are compared with the file before anything is read. Nothing here knows volumes.
"""

from __future__ import annotations

import math
import weakref
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_regcon.data.axes import UNKNOWN
from napari_regcon.data.source import Source, explained
from napari_regcon.data.tiff_scale import tiff_scale
from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from tifffile import TiffFile, TiffPageSeries

_MOST_SHRUNK = {5: 4000, 8: 1100, 32946: 1100, 32773: 70}
"""How many times smaller LZW, deflate and PackBits can make pixels at the very most."""

_ALPHA = (1, 2)
"""Kinds of extra samples that are transparency."""


def read_tiff(path: Path) -> Source:
    """Read the header of a TIFF file and map or prepare the pixels of its largest image.

    Raises
    ------
    InputError
        If the file holds several images, is cut off, or is compressed in a way that needs a
        library that is not installed.
    """
    from tifffile import TiffFile

    with ExitStack() as stack:
        tif = stack.enter_context(TiffFile(path))
        if tif.is_shaped and len(tif.series) > 1:
            # Slices that were written one by one, each with a note of its own shape.
            tif = stack.enter_context(TiffFile(path, is_shaped=False))
        index = _main_series(tif, path)
        series = tif.series[index]
        axes, n_channels = _axes(series)
        scale = tiff_scale(tif, index)
        _check_extent(tif, series, path)
        if _is_one_piece(series):
            dtype = np.dtype(series.dtype).newbyteorder(tif.byteorder)
            shape = series.get_shape(squeeze=False)
            pixels = np.memmap(path, dtype, "r", series.dataoffset, shape)
            return Source(pixels, axes, None, scale, n_channels=n_channels)
        _check_codec(series, path)
        lazy = TiffPixels(series, path)
        # The file stays open as long as the pixels may be asked for.
        weakref.finalize(lazy, stack.pop_all().close)
    return Source(lazy, axes, lazy.chunks, scale, n_channels=n_channels)


class TiffPixels:
    """Pixels that are decoded when they are asked for.

    Parameters
    ----------
    series : tifffile.TiffPageSeries
        An image of an open file.
    path : pathlib.Path
        The file, for messages.
    """

    def __init__(self, series: TiffPageSeries, path: Path) -> None:
        self._series = series
        self._path = path
        self.shape: tuple[int, ...] = series.get_shape(squeeze=False)
        self.dtype = np.dtype(series.dtype)
        self.ndim = len(self.shape)
        # A strip is often a few rows only, so pages are decoded as a whole; tiles are larger.
        self._mode = "STRILE" if series.keyframe.is_tiled else "PAGE"
        page = series.keyframe.chunks if self._mode == "STRILE" else series.keyframe.shape
        self.chunks = (1,) * (self.ndim - len(page)) + tuple(page)

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        with explained(self._path):
            return np.asarray(self._pixels[key])

    @cached_property
    def _pixels(self) -> Any:
        import zarr

        store = self._series.aszarr(level=0, squeeze=False, chunkmode=self._mode, maxworkers=1)
        return zarr.open_array(store, mode="r", zarr_format=2)


def _main_series(tif: TiffFile, path: Path) -> int:
    """Return which image of the file to read: the largest, if there is only one of its size."""
    sizes = [math.prod(series.shape) for series in tif.series]
    largest = max(sizes, default=0)
    if not largest:
        raise InputError(f"{str(path)!r} holds no image.")
    if sizes.count(largest) > 1:
        raise InputError(
            f"{str(path)!r} holds {len(sizes)} separate images.",
            expected="Expected one image or one stack of equal slices.",
            next_step="Save each as a file of its own, or all as one stack.",
        )
    return sizes.index(largest)


def _is_one_piece(series: TiffPageSeries) -> bool:
    return series.dataoffset is not None and not series.is_multifile and series.transform is None


def _check_extent(tif: TiffFile, series: TiffPageSeries, path: Path) -> None:
    """Refuse a file that is shorter than its header says."""
    size = tif.filehandle.size
    if _is_one_piece(series):
        end = series.dataoffset + math.prod(series.shape) * series.dtype.itemsize
    else:
        pages = list(series.pages)
        if None in pages:
            raise InputError(
                f"{pages.count(None)} of {len(pages)} slices of {str(path)!r} are in other files "
                "that are not here.",
                next_step="Put all files of the image into one folder.",
            )
        ends = (
            offset + count
            for page in pages
            if page.parent is tif
            for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)
        )
        end = max(ends, default=0)
    if end > size:
        raise InputError(
            f"{str(path)!r} is cut off: it has {size:,} bytes, but its header speaks of {end:,}.",
            next_step="Copy or export the file again.",
        )
    first = series.keyframe
    shrunk = _MOST_SHRUNK.get(int(first.compression))
    if shrunk and all(first.databytecounts) and first.nbytes > shrunk * sum(first.databytecounts):
        raise InputError(
            f"{str(path)!r} claims to have {first.shape} pixels per slice, but stores only "
            f"{sum(first.databytecounts):,} bytes for them.",
            next_step="The file is damaged; copy or export it again.",
        )


def _check_codec(series: TiffPageSeries, path: Path) -> None:
    """Refuse a compression that cannot be decoded here before work starts."""
    from tifffile import TIFF

    page = series.keyframe
    try:
        TIFF.DECOMPRESSORS[page.compression], TIFF.UNPREDICTORS[page.predictor]
    except (KeyError, ImportError) as error:
        raise InputError(
            f"The compression of {str(path)!r} cannot be decoded here: {error.args[0]}.",
            next_step="Install the package 'imagecodecs', or save the file without compression.",
        ) from error


def _axes(series: TiffPageSeries) -> tuple[str, int | None]:
    """Return our axis letters, and the number of colours where there is transparency."""
    stored = series.get_axes(squeeze=False)
    shape = series.get_shape(squeeze=False)
    lengths = dict(zip(stored, shape, strict=True))
    letters = "".join(axis if axis in "TZYXC" else UNKNOWN for axis in stored)
    if "S" in stored and lengths.get("C", 1) == 1:
        # Colours in one pixel take the place of the channel axis.
        letters = letters.replace("C", UNKNOWN)
        letters = letters[: stored.index("S")] + "C" + letters[stored.index("S") + 1 :]
    n_alpha = sum(int(extra) in _ALPHA for extra in series.keyframe.extrasamples)
    n_samples = lengths.get("S", 1)
    return letters, n_samples - n_alpha if 0 < n_alpha < n_samples else None
