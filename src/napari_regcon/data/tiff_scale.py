"""Pixel size of a TIFF, from whichever of its metadata says it.

ImageJ, OME-XML, the tags of Thermo Fisher (FEI) and Zeiss electron microscopes, and the plain
resolution tags are understood. Nothing here reads pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_regcon.data.axes import pixel_sizes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tifffile import TiffFile

_COARSEST_NM = 10_000.0
"""A plain resolution tag that makes larger pixels than this is one for printing."""

_UNIT_NM = {2: 25.4e6, 3: 1e7}
"""Inch and centimetre, as numbered by the resolution unit tag."""

Sizes = dict[str, tuple[object, object]]


def tiff_scale(tif: TiffFile, series: int) -> dict[str, tuple[float, str]]:
    """Return pixel sizes and units by axis letter.

    Parameters
    ----------
    tif : tifffile.TiffFile
        An open file.
    series : int
        Which of its images.
    """
    if tif.ome_metadata:
        return pixel_sizes(_ome(tif.ome_metadata, series))
    resolution = {axis: _resolution(tif, f"{axis}Resolution") for axis in "XY"}
    if tif.imagej_metadata is not None:
        return pixel_sizes(_imagej(tif.imagej_metadata, resolution))
    if tif.fei_metadata is not None:
        return pixel_sizes(_fei(tif.fei_metadata))
    if tif.sem_metadata is not None:
        return pixel_sizes(_zeiss(tif.sem_metadata))
    return pixel_sizes(_plain(tif, resolution))


def _resolution(tif: TiffFile, tag: str) -> float | None:
    """Return the length of a pixel in the file's unit, None where not given."""
    value = tif.pages.first.tags.valueof(tag)
    if not (isinstance(value, tuple) and len(value) == 2 and value[0]):
        return None
    return float(value[1] / value[0])


def _plain(tif: TiffFile, resolution: Mapping[str, float | None]) -> Sizes:
    unit_nm = _UNIT_NM.get(int(tif.pages.first.resolutionunit or 1), 0.0)
    found = {axis: (size or 0.0) * unit_nm for axis, size in resolution.items()}
    return {axis: (size_nm, "nm") for axis, size_nm in found.items() if size_nm < _COARSEST_NM}


def _imagej(metadata: Mapping[str, object], resolution: Mapping[str, float | None]) -> Sizes:
    unit = metadata.get("unit")
    return {
        "X": (resolution["X"], unit),
        "Y": (resolution["Y"], metadata.get("yunit", unit)),
        "Z": (metadata.get("spacing"), metadata.get("zunit", unit)),
        "T": (metadata.get("finterval"), metadata.get("tunit", "sec")),
    }


def _ome(xml: str, series: int) -> Sizes:
    """Read the attributes of Pixels, see the OME schema of 2016-06; the defaults are its own."""
    import tifffile

    images = tifffile.xml2dict(xml)["OME"].get("Image", {})
    image = images[series] if isinstance(images, list) else images
    pixels = image.get("Pixels", {})
    sizes: Sizes = {
        axis: (pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        for axis in "XYZ"
    }
    return sizes | {"T": (pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit", "s"))}


def _fei(metadata: Mapping[str, Mapping[str, object]]) -> Sizes:
    """Read the size in metres that SEM and FIB-SEM of Thermo Fisher write."""
    for section in ("Scan", "EScan", "IScan"):
        scan = metadata.get(section, {})
        metres = {"X": scan.get("PixelWidth"), "Y": scan.get("PixelHeight")}
        if any(metres.values()):
            return {a: (m * 1e9, "nm") for a, m in metres.items() if isinstance(m, int | float)}
    return {}


def _zeiss(metadata: Mapping[str, tuple[object, ...]]) -> Sizes:
    """Read the entry ``(name, value, unit)`` that SEM of Zeiss write."""
    for key in ("ap_image_pixel_size", "ap_pixel_size"):
        entry = metadata.get(key, ())
        if len(entry) == 3:
            return dict.fromkeys("XY", (entry[1], entry[2]))
    return {}
