"""TIFF of all kinds: plain, ImageJ, OME, BigTIFF, tiled, pyramids.

Pixels that lie in one piece are memory-mapped, all others are decoded when they are asked for.
Sizes are compared with the file before anything is read. Nothing here knows volumes.
"""

from __future__ import annotations

import math
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_regcon.data.axes import UNKNOWN, pixel_sizes
from napari_regcon.data.source import Source
from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from tifffile import TiffFile, TiffPageSeries

_COARSEST_UM = 10.0
"""Without a unit of its own, a resolution that makes larger pixels is one for printing."""


def read_tiff(path: Path) -> Source:
    """Read the largest image of a TIFF file.

    Raises
    ------
    InputError
        If the file holds several images, is cut off, or is compressed in a way that needs a
        library that is not installed.
    """
    import tifffile

    tif = tifffile.TiffFile(path)
    try:
        index = _main_series(tif, path)
        series = tif.series[index]
        _check_extent(tif, series, path)
        axes, n_channels = _axes(series)
        scale = _scale(tif, index)
        shape = series.get_shape(squeeze=False)
        if series.dataoffset is not None and not series.is_multifile and series.transform is None:
            dtype = np.dtype(series.dtype).newbyteorder(tif.byteorder)
            array: Any = np.memmap(path, dtype, "r", series.dataoffset, shape)
            chunks = None
            tif.close()
        else:
            _check_codec(series, path)
            array = TiffPixels(tif, series)
            chunks = array.chunks
    except BaseException:
        tif.close()
        raise
    return Source(array, axes, chunks, scale, n_channels=n_channels)


class TiffPixels:
    """Pixels that are decoded when they are asked for; keeps the file open as long as it lives.

    Parameters
    ----------
    tif : tifffile.TiffFile
        An open file; closed when this goes away.
    series : tifffile.TiffPageSeries
        The image.
    """

    def __init__(self, tif: TiffFile, series: TiffPageSeries) -> None:
        import zarr

        # A strip is often a few rows only; a tile is a good portion.
        mode = "page" if not series.keyframe.is_tiled else "strile"
        store = series.aszarr(level=0, squeeze=False, chunkmode=mode.upper(), maxworkers=1)
        self._pixels = zarr.open_array(store, mode="r", zarr_format=2)
        self.shape: tuple[int, ...] = self._pixels.shape
        self.dtype: np.dtype[Any] = self._pixels.dtype
        self.ndim = len(self.shape)
        self.chunks: tuple[int, ...] = self._pixels.chunks
        weakref.finalize(self, tif.close)

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        return np.asarray(self._pixels[key])


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


def _check_extent(tif: TiffFile, series: TiffPageSeries, path: Path) -> None:
    """Refuse a file that is shorter than its header says."""
    size = tif.filehandle.size
    if series.dataoffset is not None:
        end = series.dataoffset + math.prod(series.shape) * series.dtype.itemsize
    elif series.is_multifile:
        return
    else:
        end = 0
        for page in series.pages:
            if page is not None:
                ends = map(sum, zip(page.dataoffsets, page.databytecounts, strict=True))
                end = max(end, max(ends, default=0))
    if end > size:
        raise InputError(
            f"{str(path)!r} is cut off: it has {size:,} bytes, but its header speaks of {end:,}.",
            next_step="Copy or export the file again.",
        )


def _check_codec(series: TiffPageSeries, path: Path) -> None:
    """Refuse a compression that cannot be decoded here before work starts."""
    try:
        series.keyframe.decode  # noqa: B018 - looks the decoder up
    except (ImportError, ValueError) as error:
        raise InputError(
            f"{str(path)!r} is compressed with {series.keyframe.compression.name}, which cannot be "
            f"decoded here: {error}.",
            next_step="Install the package 'imagecodecs', or save the file uncompressed.",
        ) from error


def _axes(series: TiffPageSeries) -> tuple[str, int | None]:
    """Return our axis letters, and the number of colours where there is transparency."""
    stored = series.get_axes(squeeze=False)
    shape = series.get_shape(squeeze=False)
    lengths = dict(zip(stored, shape, strict=True))
    letters = []
    for axis in stored:
        if axis == "S" and lengths.get("C", 1) == 1:
            letters.append("C")
        elif axis == "C" and lengths.get("S", 1) > 1 and lengths["C"] == 1:
            letters.append(UNKNOWN)
        else:
            letters.append(axis if axis in "TZYXC" else UNKNOWN)
    extra = [int(e) for e in series.keyframe.extrasamples]
    n_alpha = sum(e in (1, 2) for e in extra)
    n_samples = lengths.get("S", 1)
    return "".join(letters), n_samples - n_alpha if 0 < n_alpha < n_samples else None


def _scale(tif: TiffFile, index: int) -> dict[str, tuple[float, str]]:
    """Return pixel sizes by axis, from whichever metadata the file has."""
    if tif.is_ome:
        return _ome_scale(tif, index)
    resolution = _resolution(tif)
    imagej = tif.imagej_metadata
    if imagej is not None:
        unit = imagej.get("unit")
        units = {"X": unit, "Y": imagej.get("yunit", unit), "Z": imagej.get("zunit", unit)}
        sizes = {axis: (1 / r if r else 0, units[axis]) for axis, r in resolution.items()}
        sizes["Z"] = (imagej.get("spacing"), units["Z"])
        sizes["T"] = (imagej.get("finterval"), imagej.get("tunit", "sec"))
        return pixel_sizes(sizes)
    unit = {2: "inch", 3: "cm"}.get(int(tif.pages.first.resolutionunit or 1))
    found = pixel_sizes({axis: (1 / r if r else 0, unit) for axis, r in resolution.items()})
    per_um = {"millimeter": 1e3, "centimeter": 1e4}
    return {
        axis: (size, word)
        for axis, (size, word) in found.items()
        if size * per_um[word] < _COARSEST_UM
    }


def _resolution(tif: TiffFile) -> dict[str, float]:
    """Return pixels per unit along X and Y, 0 where not given."""
    found = {}
    for axis, tag in (("X", "XResolution"), ("Y", "YResolution")):
        value = tif.pages.first.tags.valueof(tag, (0, 1))
        top, bottom = value if isinstance(value, tuple) and len(value) == 2 else (0, 1)
        found[axis] = top / bottom if bottom else 0.0
    return found


def _ome_scale(tif: TiffFile, index: int) -> dict[str, tuple[float, str]]:
    import tifffile

    images = tifffile.xml2dict(tif.ome_metadata)["OME"].get("Image", {})
    image = images[index] if isinstance(images, list) else images
    pixels = image.get("Pixels", {})
    sizes = {
        axis: (pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        for axis in "XYZ"
    }
    sizes["T"] = (pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit", "s"))
    return pixel_sizes(sizes)
