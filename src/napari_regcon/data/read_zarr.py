"""OME-Zarr and plain zarr folders.

Of a pyramid the finest level is read. See https://ngff.openmicroscopy.org/0.4/ and /0.5/.
Nothing here knows volumes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_regcon.data.axes import UNKNOWN, guess_axes, pixel_size
from napari_regcon.data.source import Source
from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    import zarr

ZARR_MARKS = ("zarr.json", ".zgroup", ".zarray")
"""A folder with one of these files is a zarr group or array."""

_LETTERS = {"t": "T", "z": "Z", "y": "Y", "x": "X", "c": "C"}


def read_zarr(path: Path) -> Source:
    """Read a zarr array, or the finest level of an OME-Zarr image.

    Raises
    ------
    InputError
        If it is a plate, or a group without a single image.
    """
    import zarr

    if not any((path / mark).is_file() for mark in ZARR_MARKS):
        raise InputError(
            f"{str(path)!r} is not a zarr folder.",
            expected=f"Expected one of the files {', '.join(ZARR_MARKS)} in it.",
        )
    node = zarr.open(str(path), mode="r")
    if isinstance(node, zarr.Array):
        return _plain(node)
    attributes = _ome(node)
    if "multiscales" in attributes:
        return _image(node, attributes["multiscales"][0])
    if "plate" in attributes or "well" in attributes:
        raise InputError(
            f"{str(path)!r} is a plate of many images.",
            next_step="Open one of its images, for example the folder A/1/0 in it.",
        )
    return _only_member(node, path)


def _ome(group: zarr.Group) -> dict[str, Any]:
    """Return the OME metadata, which moved below the key "ome" in version 0.5."""
    attributes = dict(group.attrs)
    ome = attributes.get("ome")
    return ome if isinstance(ome, dict) else attributes


def _only_member(group: zarr.Group, path: Path) -> Source:
    """Read the only image or array of a group without metadata of its own."""
    images = [m for _, m in group.groups() if "multiscales" in _ome(m)]
    arrays = [m for _, m in group.arrays()]
    if len(images) == 1:
        return _image(images[0], _ome(images[0])["multiscales"][0])
    if not images and len(arrays) == 1:
        return _plain(arrays[0])
    names = sorted(member.basename for member in (*images, *arrays))
    raise InputError(
        f"{str(path)!r} holds {len(names)} images or arrays.",
        expected="Expected an array, or an OME-Zarr image.",
        next_step=f"Open one of the folders in it: {', '.join(names[:8])}." if names else "",
    )


def _plain(array: zarr.Array) -> Source:
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    axes = guess_axes(array.shape)
    if names and len(names) == array.ndim:
        named = "".join(_LETTERS.get(str(name).lower(), UNKNOWN) for name in names)
        axes = named if {"Y", "X"} <= set(named) else axes
    return Source(array, axes, array.chunks)


def _image(group: zarr.Group, multiscale: dict[str, Any]) -> Source:
    finest = multiscale["datasets"][0]
    array = group[finest["path"]]
    axes, units = _axes(multiscale, array.ndim)
    scale, translate = _placed(
        array.ndim,
        finest.get("coordinateTransformations", []),
        multiscale.get("coordinateTransformations", []),
    )
    sizes = {}
    positions = {}
    for axis, unit, size, position in zip(axes, units, scale, translate, strict=True):
        known = pixel_size(size, unit, axis)
        if known is not None:
            sizes[axis] = known
            positions[axis] = position * known[0] / size
    return Source(array, axes, array.chunks, sizes, positions)


def _axes(multiscale: dict[str, Any], ndim: int) -> tuple[str, list[object]]:
    """Return axis letters and units; before version 0.4 units, before 0.3 axes were fixed."""
    axes = multiscale.get("axes") or list("tczyx"[-ndim:])
    entries = [axis if isinstance(axis, dict) else {"name": axis} for axis in axes]
    letters = "".join(_LETTERS.get(str(e.get("name")).lower(), UNKNOWN) for e in entries)
    return letters, [entry.get("unit") for entry in entries]


def _placed(ndim: int, *steps: list[dict[str, Any]]) -> tuple[list[float], list[float]]:
    """Return scale and translation of transformations applied one after the other."""
    scale, translate = [1.0] * ndim, [0.0] * ndim
    for transform in (t for step in steps for t in step):
        values = [float(v) for v in transform.get(transform["type"]) or []]
        if transform["type"] == "scale" and len(values) == ndim:
            scale = [a * b for a, b in zip(scale, values, strict=True)]
            translate = [a * b for a, b in zip(translate, values, strict=True)]
        elif transform["type"] == "translation" and len(values) == ndim:
            translate = [a + b for a, b in zip(translate, values, strict=True)]
    return scale, translate
