"""A session as plain text values and arrays of labels, and back.

What comes back is checked value by value, as it may come from anywhere: whatever is not as it
should be is a ``ValueError``, ``KeyError`` or ``TypeError``. Nothing here knows files.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_regcon.errors import InputError
from napari_regcon.session.classes import ClassTable, LabelClass
from napari_regcon.session.marks import Mark
from napari_regcon.session.painted import Patch
from napari_regcon.session.saved import SessionImage, SessionState
from napari_regcon.types import CANONICAL_AXES, Box

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari_regcon.session.painted import Prefix

FORMAT = 1
"""Version of the format; a reader refuses newer ones."""


def describe(state: SessionState) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return a session as values that JSON knows, and its labels by name."""
    arrays: dict[str, np.ndarray] = {}

    def planes(name: str, patches: Mapping[Prefix, Patch]) -> list[dict[str, Any]]:
        found = []
        painted = ((prefix, patch) for prefix, patch in patches.items() if patch.labels.size)
        for index, (prefix, patch) in enumerate(painted):
            key = f"{name}_{index}"
            arrays[key] = patch.labels
            place = {"prefix": prefix, "origin": patch.origin, "shape": patch.labels.shape}
            found.append({**place, "labels": key})
        return found

    meta = {
        "format": FORMAT,
        "versions": state.versions,
        "chosen": state.chosen,
        "images": [
            {**_image_values(image), "planes": planes(f"image{i}", image.patches)}
            for i, image in enumerate(state.images)
        ],
        "classes": [asdict(item) for item in state.classes],
        "model": {
            "method": state.method,
            "parameters": state.parameters,
            "weights": state.weights,
            "weights_sha256": state.weights_sha256,
            "device": state.device,
            "computed_on": state.computed_on,
        },
        "locks": {
            "slices": state.locked_slices,
            "classes": state.locked_classes,
            "pixels": planes("lock", state.locked_pixels),
        },
    }
    return meta, arrays


def understand(meta: Any, read: Callable[[str, tuple[int, int]], np.ndarray]) -> SessionState:
    """Return the session that :func:`describe` described.

    Parameters
    ----------
    meta : dict
        The values.
    read : callable
        Given a name and the shape it is to have, returns labels, uint8.

    Raises
    ------
    InputError
        If a newer version wrote it, or the classes cannot be used.
    ValueError, KeyError, TypeError
        If it is no session.
    """
    versions = {_text(k): _text(v) for k, v in _dict(meta["versions"]).items()}
    if _whole(meta["format"]) > FORMAT:
        raise InputError(
            f"The session was saved by version {versions.get('napari-regcon', '?')}, which is "
            "newer than this one.",
            next_step="Update napari-regcon.",
        )
    images = tuple(_image(item, read) for item in _list(meta["images"]))
    chosen = _whole(meta["chosen"])
    if not 0 <= chosen < len(images):
        raise ValueError("the chosen image is not there")
    model, locks = _dict(meta["model"]), _dict(meta["locks"])
    shape = images[chosen].label_shape
    return SessionState(
        images=images,
        chosen=chosen,
        classes=_classes(meta["classes"]),
        method=_text(model["method"]),
        parameters={_text(k): _scalar(v) for k, v in _dict(model["parameters"]).items()},
        weights=_text(model["weights"]),
        weights_sha256=_text(model["weights_sha256"]),
        device=_text(model["device"]),
        computed_on=_text(model["computed_on"]),
        locked_slices=tuple(_prefix(p, shape) for p in _list(locks["slices"])),
        locked_classes=tuple(_whole(v) for v in _list(locks["classes"])),
        locked_pixels=_patches(locks["pixels"], shape, read),
        versions=versions,
    )


def _image_values(image: SessionImage) -> dict[str, Any]:
    return {
        "name": image.name,
        "path": image.path,
        "axes": image.axes,
        "shape": image.shape,
        "dtype": image.dtype,
        "fingerprint": image.fingerprint,
        "scale": image.scale,
        "units": image.units,
        "translate": image.translate,
        "marks": [
            {"prefix": m.prefix, "start": m.box.start, "stop": m.box.stop, "whole": m.whole}
            for m in image.marks
        ],
    }


def _image(item: Any, read: Callable[[str, tuple[int, int]], np.ndarray]) -> SessionImage:
    axes, shape = _text(item["axes"]), tuple(_whole(n) for n in _list(item["shape"]))
    canonical = "".join(a for a in CANONICAL_AXES if a in axes)
    if axes != canonical or len(shape) != len(axes) or not {"Y", "X"} <= set(axes):
        raise ValueError(f"the axes {axes!r} do not fit the shape {shape}")
    if min(shape) < 1:
        raise ValueError(f"the shape {shape} has no pixels")
    bare = SessionImage(_text(item["name"]), axes, shape)
    return SessionImage(
        name=bare.name,
        axes=axes,
        shape=shape,
        dtype=str(np.dtype(_text(item["dtype"]))),
        fingerprint=_text(item["fingerprint"]),
        path=_text(item["path"]),
        scale=_per_axis(item["scale"], axes, _number),
        units=_per_axis(item["units"], axes, _text),
        translate=_per_axis(item["translate"], axes, _number),
        patches=_patches(item["planes"], bare.label_shape, read),
        marks=tuple(_mark(mark, bare.label_shape) for mark in _list(item["marks"])),
    )


def _per_axis(values: Any, axes: str, check: Callable[[Any], Any]) -> tuple[Any, ...]:
    found = tuple(check(value) for value in _list(values))
    if found and len(found) != len(axes):
        raise ValueError(f"{found} has not one value for each of the axes {axes!r}")
    return found


def _classes(items: Any) -> tuple[LabelClass, ...]:
    classes = tuple(
        LabelClass(_whole(c["value"]), _text(c["name"]), _text(c["color"])) for c in _list(items)
    )
    ClassTable(classes)
    return classes


def _patches(
    places: Any, shape: tuple[int, ...], read: Callable[[str, tuple[int, int]], np.ndarray]
) -> dict[Prefix, Patch]:
    plane = Box.of_shape(shape[-2:])
    found: dict[Prefix, Patch] = {}
    for place in _list(places):
        prefix = _prefix(place["prefix"], shape)
        y, x = (_whole(i) for i in _list(place["origin"]))
        height, width = (_whole(n) for n in _list(place["shape"]))
        box = Box((y, x), (y + height, x + width))
        if prefix in found or not box.size or box.intersect(plane) != box:
            raise ValueError(
                f"labels on plane {prefix} lie outside of the image, or are there twice"
            )
        found[prefix] = Patch((y, x), read(_text(place["labels"]), (height, width)))
    return found


def _mark(item: Any, shape: tuple[int, ...]) -> Mark:
    start, stop = (tuple(_whole(i) for i in _list(item[end])) for end in ("start", "stop"))
    box = Box(start, stop)
    if len(start) != 2 or not box.size or box.intersect(Box.of_shape(shape[-2:])) != box:
        raise ValueError("a mark lies outside of the image")
    if not isinstance(item["whole"], bool):
        raise TypeError("a mark is neither of a whole plane nor of a part")
    return Mark(_prefix(item["prefix"], shape), box, item["whole"])


def _prefix(value: Any, shape: tuple[int, ...]) -> Prefix:
    prefix = tuple(_whole(i) for i in _list(value))
    outer = shape[:-2]
    if len(prefix) != len(outer) or any(not 0 <= i < n for i, n in zip(prefix, outer, strict=True)):
        raise ValueError(f"there is no plane {prefix}")
    return prefix


def _whole(value: Any) -> int:
    if type(value) is not int or abs(value) >= 2**62:
        raise TypeError(f"{value!r:.40} is not a whole number")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise TypeError(f"{value!r:.40} is not a number")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is not a text")
    return value


def _scalar(value: Any) -> bool | int | float | str:
    if not isinstance(value, bool | int | float | str):
        raise TypeError(f"{value!r:.40} is not a value")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r:.40} is not a list")
    return value


def _dict(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r:.40} is not a table")
    return value
