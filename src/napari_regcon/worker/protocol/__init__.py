"""Messages between the window and the engine process.

One small frozen dataclass per request and event, told apart with ``match``. Requests that
lead to an answer carry a generation number, and every answer repeats it, so that the window
can drop what is stale. Every generation is answered to the end exactly once: by
``PreviewDone(final=True)``, ``RegionsFound``, ``JobDone`` or ``JobFailed``, or by its place in
``EngineDied.pending``. A preview that a newer one made stale ends with
``JobDone(cancelled=True)``. Pixels of images travel through shared memory or by path; painted
labels, which are mostly zeros, travel compressed. Nothing here knows who sends what when.
"""

from napari_regcon.worker.protocol.arrays import (
    ArraySource,
    FileArray,
    PackedArray,
    SharedArray,
)
from napari_regcon.worker.protocol.events import (
    CacheUse,
    EngineDied,
    EngineEvent,
    EngineReady,
    JobDone,
    JobFailed,
    JobNote,
    JobProgress,
    PreviewDone,
    RegionsFound,
    VolumeBlockDone,
)
from napari_regcon.worker.protocol.requests import (
    Cancel,
    ClearCache,
    CloseImage,
    Configure,
    FindRegions,
    Job,
    OpenImage,
    Paint,
    PaintedPlane,
    Preview,
    Request,
    SegmentVolume,
    SetClasses,
    Shutdown,
    UseCache,
)
from napari_regcon.worker.protocol.training import (
    AdaptFeatures,
    FineTune,
    FinishTraining,
    PauseTraining,
    ShowTraining,
    TrainingEvent,
    TrainingShown,
    TrainingWritten,
)

PROTOCOL_VERSION = 5

__all__ = [
    "PROTOCOL_VERSION",
    "AdaptFeatures",
    "ArraySource",
    "CacheUse",
    "Cancel",
    "ClearCache",
    "CloseImage",
    "Configure",
    "EngineDied",
    "EngineEvent",
    "EngineReady",
    "FileArray",
    "FindRegions",
    "FineTune",
    "FinishTraining",
    "Job",
    "JobDone",
    "JobFailed",
    "JobNote",
    "JobProgress",
    "OpenImage",
    "PackedArray",
    "Paint",
    "PaintedPlane",
    "PauseTraining",
    "Preview",
    "PreviewDone",
    "RegionsFound",
    "Request",
    "SegmentVolume",
    "SetClasses",
    "SharedArray",
    "ShowTraining",
    "Shutdown",
    "TrainingEvent",
    "TrainingShown",
    "TrainingWritten",
    "UseCache",
    "VolumeBlockDone",
]
