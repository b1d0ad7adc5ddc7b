"""What the window asks of the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from napari_regcon.worker.protocol.training import (
    AdaptFeatures,
    FineTune,
    FinishTraining,
    PauseTraining,
    ShowTraining,
)

if TYPE_CHECKING:
    from pathlib import Path

    from napari_regcon.config import RegionsConfig
    from napari_regcon.types import Box
    from napari_regcon.worker.protocol.arrays import ArraySource, PackedArray, SharedArray


@dataclass(frozen=True)
class Configure:
    """Choose device, method, its parameters and its weights.

    Parameters
    ----------
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    method : str
        A name that :func:`napari_regcon.engine.registry.load_segmenter` knows.
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
    kind : str
        What it is for. A newer one of the same kind makes it void; ``"prediction"`` goes first.
    model : Configure or None
        Used in place of what is configured.
    """

    generation: int
    image_id: str
    prefix: tuple[int, ...]
    box: Box
    out: SharedArray
    uncertainty: SharedArray | None = None
    whole_plane: bool = False
    kind: str = "prediction"
    model: Configure | None = None


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
class FindRegions:
    """Find the regions of a part of one plane, at all granularities.

    Parameters
    ----------
    generation : int
        Repeated in the answer.
    image_id : str
        Which image.
    prefix : tuple of int
        Which plane.
    box : Box
        Y, X box on it.
    leaves : SharedArray
        int32 array of ``box.shape`` that receives the finest regions.
    config : RegionsConfig
        How they are found.
    weights : str or None
        Pre-trained features to cut along.
    device : str
        Where these are computed.
    """

    generation: int
    image_id: str
    prefix: tuple[int, ...]
    box: Box
    leaves: SharedArray
    config: RegionsConfig
    weights: str | None = None
    device: str = "auto"


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


Job: TypeAlias = Preview | SegmentVolume | FindRegions | FineTune | AdaptFeatures
"""Work that takes long; each is answered until it has ended."""

Request: TypeAlias = (
    Configure
    | OpenImage
    | CloseImage
    | Paint
    | SetClasses
    | Job
    | FinishTraining
    | PauseTraining
    | ShowTraining
    | UseCache
    | Cancel
    | ClearCache
    | Shutdown
)
