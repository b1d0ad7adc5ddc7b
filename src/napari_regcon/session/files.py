"""Session files: what was painted and decided, in one small file.

A session file is a zip of numpy arrays with one JSON text that describes them. It holds no
pixels of the image and nothing that has to be unpickled, and every size is checked before it is
read. Files are written next to their place and moved there, so a crash leaves the old one whole.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

import napari_regcon
from napari_regcon.errors import InputError
from napari_regcon.session.classes import ClassTable, LabelClass, default_classes
from napari_regcon.session.marks import Mark
from napari_regcon.session.painted import Patch
from napari_regcon.types import Box

if TYPE_CHECKING:
    from pathlib import Path

    from napari_regcon.session.painted import Prefix

FORMAT = 1
SUFFIX = ".regcon"
_MAX_JSON_BYTES = 64 * 1024**2
_MAX_PATCH_BYTES = 4 * 1024**3


@dataclass(frozen=True)
class SessionState:
    """Everything a session file holds.

    Parameters
    ----------
    image_name : str
        Name of the image, for people.
    image_path : str
        File it came from, or empty.
    axes : str
        Its axes, as in :class:`napari_regcon.Volume`.
    label_shape : tuple of int
        Shape of a label volume for it.
    fingerprint : str
        Of its pixels.
    classes : tuple of LabelClass
        The classes.
    method, weights, device : str
        What was chosen in the model section; empty weights = the method's own.
    parameters : dict
        Parameters of the method that differ from their default.
    patches : dict
        Painted part of each plane.
    marks : tuple of Mark
        Complete parts.
    locked_slices, locked_classes, locked_pixels
        As in :class:`napari_regcon.session.locks.Locks`.
    version : str
        Version of the tool that wrote it.
    """

    image_name: str
    axes: str
    label_shape: tuple[int, ...]
    fingerprint: str = ""
    image_path: str = ""
    classes: tuple[LabelClass, ...] = field(default_factory=default_classes)
    method: str = "pixel-head"
    weights: str = ""
    device: str = "auto"
    parameters: dict[str, Any] = field(default_factory=dict)
    patches: dict[Prefix, Patch] = field(default_factory=dict)
    marks: tuple[Mark, ...] = ()
    locked_slices: tuple[Prefix, ...] = ()
    locked_classes: tuple[int, ...] = ()
    locked_pixels: dict[Prefix, Patch] = field(default_factory=dict)
    version: str = napari_regcon.__version__

    @property
    def is_empty(self) -> bool:
        """Whether nothing is painted or marked."""
        return not self.patches and not self.marks


def save_session(state: SessionState, path: Path) -> None:
    """Write a session file; either the whole file is there afterwards or the old one.

    Raises
    ------
    OSError
        If the folder cannot be written to.
    """
    meta = {
        "format": FORMAT,
        "version": state.version,
        "image": {
            "name": state.image_name,
            "path": state.image_path,
            "axes": state.axes,
            "label_shape": state.label_shape,
            "fingerprint": state.fingerprint,
        },
        "classes": [asdict(item) for item in state.classes],
        "model": {
            "method": state.method,
            "weights": state.weights,
            "device": state.device,
            "parameters": state.parameters,
        },
        "planes": _places(state.patches),
        "locks": {
            "slices": state.locked_slices,
            "classes": state.locked_classes,
            "pixels": _places(state.locked_pixels),
        },
        "marks": [
            {"prefix": m.prefix, "start": m.box.start, "stop": m.box.stop, "whole": m.whole}
            for m in state.marks
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as stream:
            with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                archive.writestr("session.json", json.dumps(meta, indent=1))
                for kind, patches in (("plane", state.patches), ("lock", state.locked_pixels)):
                    for index, patch in enumerate(patches.values()):
                        archive.writestr(f"{kind}_{index}.npy", _npy(patch.labels))
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def load_session(path: Path) -> SessionState:
    """Read a session file.

    Raises
    ------
    InputError
        If it is not a session file, is damaged, or was written by a newer version.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive)
    except FileNotFoundError as error:
        raise InputError(f"There is no session file {path}.") from error
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, EOFError, OSError) as error:
        raise InputError(
            f"{path.name} is not a session file, or it is damaged ({error}).",
            expected=f"Expected a {SUFFIX} file written by this tool.",
        ) from error


def _read(archive: zipfile.ZipFile) -> SessionState:
    if archive.getinfo("session.json").file_size > _MAX_JSON_BYTES:
        raise ValueError("its description is too long")
    meta = json.loads(archive.read("session.json"))
    if meta["format"] > FORMAT:
        raise InputError(
            f"The session was saved by version {meta['version']}, which is newer than this one.",
            next_step="Update napari-regcon.",
        )
    image, model, locks = meta["image"], meta["model"], meta["locks"]
    shape = tuple(int(n) for n in image["label_shape"])
    classes = tuple(LabelClass(**item) for item in meta["classes"])
    ClassTable(classes)
    return SessionState(
        image_name=str(image["name"]),
        image_path=str(image["path"]),
        axes=str(image["axes"]),
        label_shape=shape,
        fingerprint=str(image["fingerprint"]),
        classes=classes,
        method=str(model["method"]),
        weights=str(model["weights"]),
        device=str(model["device"]),
        parameters=dict(model["parameters"]),
        patches=_patches(archive, "plane", meta["planes"], shape),
        marks=tuple(_mark(item, shape) for item in meta["marks"]),
        locked_slices=tuple(_prefix(p, shape) for p in locks["slices"]),
        locked_classes=tuple(int(v) for v in locks["classes"]),
        locked_pixels=_patches(archive, "lock", locks["pixels"], shape),
        version=str(meta["version"]),
    )


def _places(patches: dict[Prefix, Patch]) -> list[dict[str, Any]]:
    return [{"prefix": prefix, "origin": patch.origin} for prefix, patch in patches.items()]


def _patches(
    archive: zipfile.ZipFile, kind: str, places: list[dict[str, Any]], shape: tuple[int, ...]
) -> dict[Prefix, Patch]:
    return {
        _prefix(place["prefix"], shape): _patch(archive, f"{kind}_{i}.npy", place, shape)
        for i, place in enumerate(places)
    }


def _patch(
    archive: zipfile.ZipFile, name: str, place: dict[str, Any], shape: tuple[int, ...]
) -> Patch:
    height, width = shape[-2:]
    if archive.getinfo(name).file_size > min(height * width + 1024, _MAX_PATCH_BYTES):
        raise ValueError(f"{name} is larger than a plane of the image")
    labels = np.load(io.BytesIO(archive.read(name)), allow_pickle=False)
    y, x = (int(i) for i in place["origin"])
    patch = Patch((y, x), labels)
    if labels.dtype != np.uint8 or labels.ndim != 2:
        raise ValueError(f"{name} holds no labels")
    if patch.box.intersect(Box.of_shape((height, width))) != patch.box:
        raise ValueError(f"{name} lies outside of the image")
    return patch


def _mark(item: dict[str, Any], shape: tuple[int, ...]) -> Mark:
    box = Box(tuple(int(i) for i in item["start"]), tuple(int(i) for i in item["stop"]))
    if len(box.start) != 2 or box.intersect(Box.of_shape(shape[-2:])) != box:
        raise ValueError("a mark lies outside of the image")
    return Mark(_prefix(item["prefix"], shape), box, bool(item["whole"]))


def _prefix(value: list[int], shape: tuple[int, ...]) -> Prefix:
    prefix = tuple(int(i) for i in value)
    outer = shape[:-2]
    if len(prefix) != len(outer) or any(not 0 <= i < n for i, n in zip(prefix, outer, strict=True)):
        raise ValueError(f"there is no plane {prefix}")
    return prefix


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()
