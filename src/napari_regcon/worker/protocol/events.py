"""What the engine tells the window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from napari_regcon.worker.protocol.training import TrainingEvent, TrainingShown, TrainingWritten

if TYPE_CHECKING:
    import numpy as np

    from napari_regcon.types import Box, Note, Progress


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


@dataclass(frozen=True, eq=False)
class RegionsFound:
    """The finest regions are in the request's ``leaves`` array; here is the rest of their tree.

    Parameters
    ----------
    generation : int
        Of the request.
    merges, sizes, features : numpy.ndarray
        As in :class:`napari_regcon.data.region_tree.RegionTree`.
    """

    generation: int
    merges: np.ndarray
    sizes: np.ndarray
    features: np.ndarray


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
    | TrainingEvent
    | TrainingShown
    | TrainingWritten
    | JobProgress
    | JobNote
    | JobDone
    | JobFailed
    | CacheUse
    | EngineDied
)
