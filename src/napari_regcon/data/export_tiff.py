"""Results as TIFF: for ImageJ with its pixel size, or OME-BigTIFF where they are larger."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_regcon.data.export_files import FileOutput, ResultSpec

if TYPE_CHECKING:
    from pathlib import Path

    from napari_regcon.types import Box

IMAGEJ_LIMIT_BYTES = 2**32 - 2**25
"""Above this size a TIFF has to be a BigTIFF, which ImageJ's own format is not."""

_SYMBOLS = {
    "angstrom": "Å",
    "nanometer": "nm",
    "micrometer": "µm",
    "millimeter": "mm",
    "centimeter": "cm",
    "meter": "m",
    "millisecond": "ms",
    "second": "s",
    "minute": "min",
    "hour": "h",
}
"""Symbols of units in OME-XML."""


class TiffOutput(FileOutput):
    """An uncompressed TIFF that ImageJ opens with its scale, or an OME-TIFF where it is larger.

    ImageJ's format ends at 4 GiB. Beyond, and where the final name ends in ``.ome.tif``, an
    OME-BigTIFF is written. Blocks are written in place with plain file calls: writing through a
    memory map would kill the process when the disk runs full, instead of raising an error.

    Parameters
    ----------
    path : pathlib.Path
        Where to write; nothing may be there yet.
    spec : ResultSpec
        What is written.
    ome : bool
        Whether OME-TIFF is wanted whatever the size.
    """

    channel_after = "TZ"

    def __init__(self, path: Path, spec: ResultSpec, *, ome: bool = False) -> None:
        super().__init__(path, spec)
        imagej_knows = spec.dtype in (np.dtype("u1"), np.dtype("u2"), np.dtype("f4"))
        self.ome = ome or spec.n_bytes >= IMAGEJ_LIMIT_BYTES or not imagej_knows

    def create(self) -> None:
        """Write the header and reserve room for the pixels."""
        import tifffile

        spec = self.spec
        per_unit = tuple(1 / spec.scale[spec.axes.index(axis)] for axis in "XY")
        result = tifffile.imwrite(
            self.path,
            shape=self.shape,
            dtype=spec.dtype.newbyteorder("<"),
            byteorder="<",
            bigtiff=self.ome,
            ome=self.ome,
            imagej=not self.ome,
            photometric="minisblack",
            resolution=per_unit,
            resolutionunit="NONE",
            metadata=self._ome_metadata() if self.ome else self._imagej_metadata(),
            returnoffset=True,
        )
        self._offset = result[0]
        self._file = self.path.open("r+b")

    def write(self, box: Box, values: np.ndarray) -> None:
        """Write a block, run by run of neighbouring pixels."""
        slices, values = self.in_file_order(box, values)
        values = np.ascontiguousarray(values, dtype=self.spec.dtype.newbyteorder("<"))
        # Axes from `k` on form one run, as the block covers all of them behind the first.
        k = values.ndim - 1
        while k > 0 and values.shape[k] == self.shape[k]:
            k -= 1
        starts = [s.start for s in slices]
        for index in itertools.product(*(range(n) for n in values.shape[:k])):
            first = (*(a + i for a, i in zip(starts, index, strict=False)), *starts[k:])
            position = int(np.ravel_multi_index(first, self.shape)) * values.itemsize
            self._file.seek(self._offset + position)
            self._file.write(values[index].data)
        self._file.flush()  # so that a full disk shows here and not when the file is closed

    def close(self) -> None:
        """Close the file."""
        if hasattr(self, "_file"):
            self._file.close()

    def _named_classes(self) -> str:
        return ", ".join(f"{value} = {name}" for value, name in self.spec.classes)

    def _imagej_metadata(self) -> dict[str, Any]:
        spec = self.spec
        top = 255 if spec.is_probability else max((v for v, _ in spec.classes), default=1)
        by_axis = dict(zip(spec.axes, zip(spec.scale, spec.units, strict=True), strict=True))
        metadata: dict[str, Any] = {
            "axes": self.axes,
            "Info": f"{spec.name}: {self._named_classes()}",
            "min": 0.0,
            "max": float(max(top, 1)),
        }
        for axis, key in (("X", "unit"), ("Y", "yunit"), ("Z", "zunit")):
            if by_axis.get(axis, (1.0, "pixel"))[1] != "pixel":
                # "um" is ImageJ's own ASCII spelling; it shows it as µm.
                metadata[key] = _SYMBOLS.get(by_axis[axis][1], by_axis[axis][1]).replace("µ", "u")
        if "Z" in by_axis:
            metadata["spacing"] = by_axis["Z"][0]
        if "T" in by_axis:
            metadata["finterval"], metadata["tunit"] = by_axis["T"]
        return metadata

    def _ome_metadata(self) -> dict[str, Any]:
        spec = self.spec
        metadata: dict[str, Any] = {
            "axes": self.axes,
            "Name": spec.name,
            "Description": self._named_classes(),
        }
        for axis, scale, unit in zip(spec.axes, spec.scale, spec.units, strict=True):
            key = "TimeIncrement" if axis == "T" else f"PhysicalSize{axis}"
            if axis != "T" or unit != "pixel":
                metadata[key], metadata[f"{key}Unit"] = scale, _SYMBOLS.get(unit, unit)
        if spec.is_probability:
            metadata["Channel"] = {"Name": [name for _, name in spec.classes]}
        return metadata
