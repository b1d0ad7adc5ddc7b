"""Where the engine gets the pixels of an image layer from.

A layer that a file on disk stands behind is opened again on the other side, by path. Everything
else is copied into shared memory, part by part. All of this runs in a background thread.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_regcon.data.volumes import open_volume
from napari_regcon.errors import RegconError
from napari_regcon.worker.protocol import FileArray, SharedArray
from napari_regcon.worker.shared import SharedBuffer

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari.layers import Image

    from napari_regcon.types import LazyArray

_N_SAMPLES = 9
_SAMPLE_PX = 64


@dataclass(frozen=True, eq=False)
class Source:
    """Pixels that the engine can reach.

    Parameters
    ----------
    handle : SharedArray or FileArray
        For the engine.
    buffer : SharedBuffer or None
        Has to be closed when the image is no longer needed.
    fingerprint : str
        Of shape, type and a sample of the pixels.
    path : pathlib.Path or None
        File, where there is one.
    """

    handle: SharedArray | FileArray
    buffer: SharedBuffer | None
    fingerprint: str
    path: Path | None


def paths_behind(layer: Image) -> list[Path]:
    """Return files that may hold the pixels of a layer; to be called in the GUI thread."""
    data = layer.data[0] if layer.multiscale else layer.data
    found = [getattr(data, "filename", None), layer.source.path]
    return [Path(p) for p in found if p and Path(p).exists()]


def make_source(array: LazyArray, axes: str, paths: list[Path]) -> Generator[None, None, Source]:
    """Find or make a source for an image; a generator that can be stopped.

    Parameters
    ----------
    array : array
        Pixels in canonical order.
    axes : str
        Axes of the volume.
    paths : list of pathlib.Path
        Files that may hold the same pixels.

    Raises
    ------
    InputError
        If there is not enough shared memory.
    """
    fingerprint = _fingerprint(array)
    yield
    for path in paths:
        if _holds(path, array, axes):
            return Source(FileArray(path), None, fingerprint, path)
        yield
    buffer = SharedBuffer.create(tuple(array.shape), array.dtype)
    try:
        for index in range(array.shape[0]):
            buffer.array[index] = np.asarray(array[index])
            yield
    except BaseException:
        buffer.close()
        raise
    return Source(buffer.handle, buffer, fingerprint, paths[0] if paths else None)


def _holds(path: Path, array: LazyArray, axes: str) -> bool:
    """Tell whether a file opens as exactly this image."""
    try:
        volume = open_volume(path)
        same = volume.axes == axes and tuple(volume.data.shape) == tuple(array.shape)
        return same and volume.data.dtype == array.dtype and _same_samples(volume.data, array)
    except (RegconError, OSError):
        return False  # then its pixels are copied instead


def _same_samples(one: LazyArray, other: LazyArray) -> bool:
    pairs = ((np.asarray(one[box]), np.asarray(other[box])) for box in _samples(one.shape))
    return all(np.array_equal(a, b, equal_nan=a.dtype.kind in "fc") for a, b in pairs)


def _samples(shape: tuple[int, ...]) -> list[tuple[slice, ...]]:
    """Return small boxes spread over an array, always the same ones for a shape."""
    boxes = []
    for step in np.linspace(0, 1, _N_SAMPLES):
        corner = [int(step * max(0, n - _SAMPLE_PX)) for n in shape]
        thick = [1] * (len(shape) - 2) + [_SAMPLE_PX] * 2
        if len(shape) > 2 and shape[-1] <= 4:  # colours
            thick = [1] * (len(shape) - 3) + [_SAMPLE_PX] * 2 + [shape[-1]]
        boxes.append(tuple(slice(a, a + t) for a, t in zip(corner, thick, strict=True)))
    return boxes


def _fingerprint(array: LazyArray) -> str:
    digest = hashlib.sha256(f"{tuple(array.shape)} {array.dtype}".encode())
    for box in _samples(tuple(array.shape)):
        part: Any = np.ascontiguousarray(np.asarray(array[box]))
        digest.update(part.tobytes())
    return digest.hexdigest()[:32]
