"""Recognise an image by its content: a short hash of its shape, type and a sample of its pixels.

However large an image is, the same few small boxes of it are read. The order of bytes in a file
does not count. Nothing here knows where an image comes from.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari_regcon.types import LazyArray, Volume

_N_SAMPLES = 9
_SAMPLE_PX = 64


def type_name(dtype: Any) -> str:
    """Return what the type of pixels is called, whatever the order of their bytes."""
    return str(np.dtype(dtype).newbyteorder("="))


def fingerprint(array: LazyArray) -> str:
    """Return 32 hexadecimal digits that differ where shape, type or sampled pixels differ.

    Parameters
    ----------
    array : array
        Pixels, with axes in canonical order.
    """
    kind = type_name(array.dtype)
    digest = hashlib.sha256(f"{tuple(array.shape)} {kind}".encode())
    for box in _samples(tuple(array.shape)):
        part: Any = np.ascontiguousarray(np.asarray(array[box]), dtype=kind)
        digest.update(part.tobytes())
    return digest.hexdigest()[:32]


def about_image(volume: Volume) -> dict[str, Any]:
    """Return what the card of a network says of an image that it learnt from."""
    return {
        "name": volume.name,
        "fingerprint": fingerprint(volume.data),
        "scale": list(volume.scale),
        "units": list(volume.units),
    }


def same_samples(one: LazyArray, other: LazyArray) -> bool:
    """Tell whether two arrays of one shape agree in the pixels that are sampled."""
    pairs = ((np.asarray(one[box]), np.asarray(other[box])) for box in _samples(one.shape))
    return all(np.array_equal(a, b, equal_nan=a.dtype.kind in "fc") for a, b in pairs)


def _samples(shape: tuple[int, ...]) -> list[tuple[slice, ...]]:
    """Return small boxes spread over an array, always the same ones for a shape."""
    n_colours = shape[-1] if len(shape) > 2 and shape[-1] <= 4 else 0
    thick = [_SAMPLE_PX, _SAMPLE_PX, n_colours] if n_colours else [_SAMPLE_PX, _SAMPLE_PX]
    thick = [1] * (len(shape) - len(thick)) + thick
    boxes = []
    for step in np.linspace(0, 1, _N_SAMPLES):
        corner = [int(step * max(0, n - t)) for n, t in zip(shape, thick, strict=True)]
        boxes.append(tuple(slice(a, a + t) for a, t in zip(corner, thick, strict=True)))
    return boxes
