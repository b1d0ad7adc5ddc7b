"""Where the engine gets the pixels of an image layer from.

A layer that a file on disk stands behind is opened again on the other side, by path. Everything
else is copied into shared memory, part by part. All of this runs in a background thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_regcon.data.fingerprint import fingerprint, same_samples
from napari_regcon.data.volumes import open_volume
from napari_regcon.errors import RegconError
from napari_regcon.worker.protocol import FileArray, OpenImage, SharedArray
from napari_regcon.worker.shared import SharedBuffer

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari.layers import Image

    from napari_regcon.session.geometry import Geometry
    from napari_regcon.session.state import ImageState
    from napari_regcon.types import LazyArray


@dataclass(frozen=True, eq=False)
class Source:
    """Pixels that the engine can reach.

    Parameters
    ----------
    handle : SharedArray or FileArray
        For the engine.
    buffer : SharedBuffer or None
        Has to be closed when the image is no longer needed.
    path : pathlib.Path or None
        File that the pixels come from, where there is one.
    """

    handle: SharedArray | FileArray
    buffer: SharedBuffer | None
    path: Path | None


def paths_behind(layer: Image) -> list[Path]:
    """Return files that may hold the pixels of a layer; to be called in the GUI thread."""
    data = layer.data[0] if layer.multiscale else layer.data
    found = [getattr(data, "filename", None), layer.source.path]
    return [Path(p) for p in found if p and Path(p).exists()]


def make_source(
    array: LazyArray, axes: str, paths: list[Path]
) -> Generator[str | None, None, Source]:
    """Find or make a source for an image; a generator that can be stopped.

    Parameters
    ----------
    array : array
        Pixels in canonical order.
    axes : str
        Axes of the volume.
    paths : list of pathlib.Path
        Files that may hold the same pixels.

    Yields
    ------
    str or None
        First the fingerprint, as copying may take long.

    Raises
    ------
    InputError
        If there is not enough shared memory.
    """
    shape = tuple(int(n) for n in array.shape)
    yield fingerprint(array)
    for path in paths:
        if _holds(path, array, axes):
            return Source(FileArray(path), None, path)
        yield None
    buffer = SharedBuffer.create(shape, array.dtype)
    try:
        for index in range(shape[0]):
            buffer.array[index] = np.asarray(array[index])
            yield None
    except BaseException:
        buffer.close()
        raise
    return Source(buffer.handle, buffer, paths[0] if paths else None)


def opening(state: ImageState, layer: Image, source: Source) -> OpenImage:
    """Return what the engine is told of an image: its pixels, and where they lie."""
    geometry = state.geometry
    return OpenImage(
        state.image_id, source.handle, geometry.axes, state.name, *place_of(geometry, layer)
    )


def place_of(
    geometry: Geometry, layer: Image
) -> tuple[tuple[float, ...], tuple[str, ...], tuple[float, ...]]:
    """Return scale, units and translation of an image, with axes in canonical order."""
    scale = dict(zip(geometry.letters, (float(s) for s in layer.scale), strict=True))
    shift = dict(zip(geometry.letters, (float(t) for t in layer.translate), strict=True))
    units = dict(zip(geometry.letters, (str(u) for u in layer.units), strict=True))
    return (
        tuple(scale.get(a, 1.0) for a in geometry.axes),
        tuple(units.get(a, "pixel") for a in geometry.axes),
        tuple(shift.get(a, 0.0) for a in geometry.axes),
    )


def _holds(path: Path, array: LazyArray, axes: str) -> bool:
    """Tell whether a file opens as exactly this image."""
    try:
        volume = open_volume(path)
        same = volume.axes == axes and tuple(volume.data.shape) == tuple(array.shape)
        return same and volume.data.dtype == array.dtype and same_samples(volume.data, array)
    except (RegconError, OSError):
        return False  # then its pixels are copied instead
