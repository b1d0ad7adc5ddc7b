"""Messages between the window and the engine process.

One small frozen dataclass per request and event, told apart with ``match``. Requests that
lead to an answer carry a generation number, and every answer repeats it, so that the window
can drop what is stale. Every generation is answered to the end exactly once: by
``PreviewDone(final=True)``, ``RegionsFound``, ``JobDone`` or ``JobFailed``, or by its place in
``EngineDied.pending``. A preview that a newer one made stale ends with
``JobDone(cancelled=True)``. Pixels of images travel through shared memory or by path; painted
labels, which are mostly zeros, travel compressed. Nothing here knows who sends what when.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from napari_regcon.worker.region_messages import FindRegions, RegionsFound

if TYPE_CHECKING:
    from pathlib import Path

    from napari_regcon.types import Box, Note, Progress

PROTOCOL_VERSION = 3


@dataclass(frozen=True)
class SharedArray:
    """An array in a named shared-memory segment that the window owns.

    Parameters
    ----------
    name : str
        Name of the segment.
    shape : tuple of int
        Shape of the array.
    dtype : str
        numpy type string.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class FileArray:
    """An array in a file that :func:`napari_regcon.open_volume` opens on either side.

    Parameters
    ----------
    path : pathlib.Path
        TIFF, zarr, NPY, MRC or PNG.
    """

    path: Path


ArraySource: TypeAlias = SharedArray | FileArray


@dataclass(frozen=True, eq=False)
class PackedArray:
    """A small or sparse array that is compressed while it travels.

    Parameters
    ----------
    array : numpy.ndarray
        Painted labels of a box.
    """

    array: np.ndarray

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as compressed bytes."""
        array = np.ascontiguousarray(self.array)
        return (_unpack, (zlib.compress(array.data, 1), array.shape, array.dtype.str))


def _unpack(data: bytes, shape: tuple[int, ...], dtype: str) -> PackedArray:
    return PackedArray(np.frombuffer(zlib.decompress(data), dtype).reshape(shape).copy())


# ---------------------------------------------------------------------------- requests


@dataclass(frozen=True)
class Configure:
    """Choose device, method, its parameters and its weights.

    Parameters
    ----------
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    method : str
        A name in :data:`napari_regcon.engine.registry.METHODS`.
    parameters : tuple of (str, value)
        Fields of the method's configuration class that differ from their default.
    weights : str or None
        Registry name or file.
    """

    device: str = "auto"
    method: str = "pixel-head"
    parameters: tuple[tuple[str, Any], ...] = ()
    weights: str | None = None


@dataclass(frozen=True)
class OpenImage:
    """Make an image known to the engine; one of the same id is closed first.

    Parameters
    ----------
    image_id : str
        Chosen by the window, unique among open images.
    source : SharedArray or FileArray
        Its pixels.
    axes : str
        Axes of the source in canonical order, as in :class:`napari_regcon.Volume`.
    name : str
        What to call it in messages.
    scale : tuple of float, optional
        Size of a pixel along each axis, in ``units``; travels into files that are written.
    units : tuple of str, optional
        Unit of ``scale`` along each axis.
    translate : tuple of float, optional
        Position of the first pixel along each axis, in ``units``.
    """

    image_id: str
    source: ArraySource
    axes: str
    name: str
    scale: tuple[float, ...] = ()
    units: tuple[str, ...] = ()
    translate: tuple[float, ...] = ()


@dataclass(frozen=True)
class CloseImage:
    """Forget an image and what was painted on it."""

    image_id: str


@dataclass(frozen=True)
class PaintedPlane:
    """What is painted on one plane now; replaces what was known of that plane.

    Parameters
    ----------
    prefix : tuple of int
        Index in front of Y and X.
    origin : tuple of int
        Y and X of the first pixel of ``labels``.
    labels : PackedArray
        ``(y, x)`` labels, 0 = not said; everything outside is 0 too.
    complete : tuple of Box
        Y, X boxes of this plane that are marked complete.
    """

    prefix: tuple[int, ...]
    origin: tuple[int, int]
    labels: PackedArray
    complete: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Paint:
    """Tell the engine what is painted on some planes of an image."""

    image_id: str
    planes: tuple[PaintedPlane, ...]


@dataclass(frozen=True)
class SetClasses:
    """Names of the classes; label value ``i + 1`` means ``classes[i]``."""

    classes: tuple[str, ...]


@dataclass(frozen=True)
class Preview:
    """Fit if needed and predict a box of one plane.

    Parameters
    ----------
    generation : int
        Repeated in the answer.
    image_id : str
        Which image.
    prefix : tuple of int
        Which plane.
    box : Box
        Y, X box that is visible; done first.
    out : SharedArray
        Plane-shaped uint8 array that receives the predicted labels of the box.
    uncertainty : SharedArray or None
        Plane-shaped uint8 array that receives 255 * (1 - margin between the best two classes).
    whole_plane : bool
        Go on with the rest of the plane, nearest first, once the box is done (which is told by
        a ``PreviewDone`` with this box that is not final yet).
    """

    generation: int
    image_id: str
    prefix: tuple[int, ...]
    box: Box
    out: SharedArray
    uncertainty: SharedArray | None = None
    whole_plane: bool = False


@dataclass(frozen=True)
class SegmentVolume:
    """Fit if needed and predict every plane of an image.

    Parameters
    ----------
    generation : int
        Repeated in every answer.
    image_id : str
        Which image.
    out : SharedArray or FileArray
        Label-shaped uint8 array in shared memory, or the path of a zarr to create.
    first : tuple of int
        Plane prefix to start from; the nearest planes come first.
    done : tuple of Box
        Parts that are finished already and are left alone (resume).
    overwrite : bool
        Replace a file that is there already.
    """

    generation: int
    image_id: str
    out: ArraySource
    first: tuple[int, ...] = ()
    done: tuple[Box, ...] = ()
    overwrite: bool = False


@dataclass(frozen=True)
class UseCache:
    """Choose how much is kept of computed features, and where; without it, nothing on disk.

    Parameters
    ----------
    memory_bytes : int
        Bound in memory.
    disk_bytes : int
        Bound on disk; 0 removes what is there.
    folder : pathlib.Path or None
        Where it is kept on disk; the system's place for caches if None.
    """

    memory_bytes: int
    disk_bytes: int
    folder: Path | None = None


@dataclass(frozen=True)
class Cancel:
    """Stop the work of this generation at its next step."""

    generation: int


@dataclass(frozen=True)
class ClearCache:
    """Drop cached features, in memory and on disk."""


@dataclass(frozen=True)
class Shutdown:
    """End the engine process."""


Request: TypeAlias = (
    Configure
    | OpenImage
    | CloseImage
    | Paint
    | SetClasses
    | Preview
    | SegmentVolume
    | FindRegions
    | UseCache
    | Cancel
    | ClearCache
    | Shutdown
)

# ------------------------------------------------------------------------------ events


@dataclass(frozen=True)
class EngineReady:
    """The engine has started, or its device was chosen anew.

    Parameters
    ----------
    device : str
        What it computes on, for people.
    reason : str
        Why this device.
    pid : int
        Process id of the engine.
    """

    device: str
    reason: str
    pid: int


@dataclass(frozen=True)
class PreviewDone:
    """The labels of a box are in the request's ``out`` array.

    The boxes told of a generation, up to the final one, together cover what was asked for.
    """

    generation: int
    image_id: str
    prefix: tuple[int, ...]
    box: Box
    final: bool
    """False for the parts of a box that arrive one after the other, True for the last."""
    fit_s: float
    predict_s: float


@dataclass(frozen=True)
class VolumeBlockDone:
    """A block of a whole-volume job is in its ``out`` array."""

    generation: int
    image_id: str
    box: Box


@dataclass(frozen=True)
class JobProgress:
    """How far the job of a generation is."""

    generation: int
    progress: Progress


@dataclass(frozen=True)
class JobNote:
    """Something to tell the user, such as a step back in tile size."""

    generation: int | None
    note: Note


@dataclass(frozen=True)
class JobDone:
    """A job has ended; ``cancelled`` says whether because it was asked to."""

    generation: int
    cancelled: bool
    elapsed_s: float


@dataclass(frozen=True)
class JobFailed:
    """A job or request failed; the engine goes on.

    Parameters
    ----------
    generation : int or None
        None where the request had no generation.
    message : str
        For people: what was wrong, what was expected, what to do next.
    details : str
        Traceback for a bug report; empty for errors the user can mend.
    """

    generation: int | None
    message: str
    details: str = ""


@dataclass(frozen=True)
class CacheUse:
    """How much the feature cache holds, and the engine on its device.

    Parameters
    ----------
    memory_bytes, disk_bytes : int
        Cached features.
    device_bytes : int
        Device memory that the engine holds; 0 where it computes on the processor.
    problem : str
        For people: why nothing is kept on disk any more; empty while all is well.
    """

    memory_bytes: int
    disk_bytes: int
    device_bytes: int = 0
    problem: str = ""


@dataclass(frozen=True)
class EngineDied:
    """The engine process ended without being asked; made by the client, never sent.

    Parameters
    ----------
    message : str
        For people, with the likely cause.
    pending : tuple of int
        Generations that will not be answered.
    details : str
        The last lines the engine wrote before it ended, for a bug report.
    """

    message: str
    pending: tuple[int, ...] = ()
    details: str = ""


EngineEvent: TypeAlias = (
    EngineReady
    | PreviewDone
    | VolumeBlockDone
    | RegionsFound
    | JobProgress
    | JobNote
    | JobDone
    | JobFailed
    | CacheUse
    | EngineDied
)
