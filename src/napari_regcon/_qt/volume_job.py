"""Segments the whole volume in the background, nearest slices first.

The engine writes blocks into shared memory; whatever is finished is copied into the prediction
layer, so that the user can look at it while the rest is under way.
Cancelling keeps what is done and says what is missing; resuming goes on from there.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_regcon._qt.block_copier import BlockCopier
from napari_regcon.session.before import Before
from napari_regcon.worker.protocol import (
    EngineDied,
    JobDone,
    JobFailed,
    JobNote,
    JobProgress,
    SegmentVolume,
    VolumeBlockDone,
)
from napari_regcon.worker.shared import SharedBuffer

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from napari_regcon._qt.background import Background, Task
    from napari_regcon._qt.jobs import EngineLink
    from napari_regcon._qt.paint_watch import PaintWatch
    from napari_regcon._qt.results import Results
    from napari_regcon._qt.workspace import ImageWork, Workspace
    from napari_regcon.types import Progress

MOST_KEPT_BYTES = 2**30
"""Where more than this is predicted already, a volume cannot be undone."""
TELL_MS = 250
"""Progress is told at most this often."""


class VolumeJob(QObject):
    """One whole-volume job at a time.

    Parameters
    ----------
    workspace : Workspace
        The images.
    link : EngineLink
        Is asked.
    watch : PaintWatch
        Knows what is painted.
    results : Results
        Receives the labels.
    background : Background
        Reserves the memory.
    parent : QObject, optional
        Owner.

    Attributes
    ----------
    running : bool
        Whether a job is under way.
    changed : Signal
        A job began, advanced or ended.
    noted : Signal
        str: something the user should know.
    failed : Signal
        str: why the job failed.
    finished : Signal
        ImageWork: a job ended, and all that it finished is in the prediction layer.
    written : Signal
        ImageWork, Before: the same, where something was finished, and what was there before.
    """

    changed = Signal()
    noted = Signal(str)
    failed = Signal(str)
    finished = Signal(object)
    written = Signal(object, object)

    def __init__(
        self,
        workspace: Workspace,
        link: EngineLink,
        watch: PaintWatch,
        results: Results,
        background: Background,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.work: ImageWork | None = None
        self.progress: Progress | None = None
        self.cancelling = False
        self._workspace = workspace
        self._link = link
        self._watch = watch
        self._background = background
        self._reserving: Task | None = None
        self._resume = False
        self._generation = 0  # until the engine is asked
        self._buffer: SharedBuffer | None = None
        self._before: Before | None = None
        self._error = ""
        self._telling = QTimer(self)
        self._telling.setSingleShot(True)
        self._telling.setInterval(TELL_MS)
        self._telling.timeout.connect(self.changed)
        self._copier = BlockCopier(results, self)
        self._copier.finished.connect(self._end)
        link.event.connect(self._on_event)
        watch.caught_up.connect(self._ask)
        workspace.removed.connect(self._on_removed)

    @property
    def running(self) -> bool:
        """Whether a job is under way."""
        return self.work is not None

    def start(self, *, resume: bool = False) -> None:
        """Segment the chosen image, or the rest of it.

        Parameters
        ----------
        resume : bool
            Keep what an earlier job finished, and go on from there.
        """
        work = self._workspace.current
        if work is None or self.running:
            return
        self.work, self.progress, self.cancelling = work, None, False
        self._resume, self._generation = resume, 0
        self._before = Before()
        self._reserving = self._background.start(
            _reserve(work.state.geometry.label_shape, self._keep_for_undo(work, self._before)),
            done=self._on_reserved,
            failed=self._fail,
            unused=lambda buffer: buffer.close(),
        )
        self.changed.emit()

    def cancel(self) -> None:
        """Stop; what is done stays."""
        if not self.running or self.cancelling:
            return
        self.cancelling = True
        if self._generation:
            self._link.cancel(self._generation)
        else:
            if self._reserving is not None:
                self._reserving.cancel()
            self._end()
        self.changed.emit()

    def close(self) -> None:
        """Give the memory back."""
        self._copier.stop()
        self._telling.stop()
        if self._buffer is not None:
            self._buffer.close()
            self._buffer = None
        self.work = None

    def _on_reserved(self, buffer: SharedBuffer) -> None:
        self._reserving = None
        self._buffer = buffer
        if not self._watch.knows_all():
            self.noted.emit("Looking at the images and at what is painted first …")
        self._ask()

    def _ask(self) -> None:
        """Ask the engine, once everything painted up to now is known."""
        work = self.work
        if work is None or self._buffer is None or self._generation:
            return
        if work.opening is not None or not self._watch.knows_all():
            return
        if not self._workspace.supply.tell_painted(work):
            self._fail(f"{work.state.name!r} could not be read.")
            return
        done = work.state.predictions.start_volume(resume=self._resume)
        self._generation = self._link.next_generation()
        prefix = self._workspace.sight.visible_prefix(work)
        handle = self._buffer.handle
        self._link.send(SegmentVolume(self._generation, work.image_id, handle, prefix, done))

    def _on_event(self, event: Any) -> None:
        if self.work is None or self._buffer is None:
            return
        match event:
            case VolumeBlockDone() if event.generation == self._generation:
                self._copier.add(self.work, self._buffer.array, self._generation, event.box)
            case JobProgress() if event.generation == self._generation:
                self._note_progress(event.progress)
            case JobNote() if event.generation == self._generation:
                self.noted.emit(event.note.text)
            case JobDone() if event.generation == self._generation:
                self._stop("")
            case JobFailed() if event.generation == self._generation:
                self._stop(event.message)
            case EngineDied() if self._generation in event.pending:
                self._stop(event.message)

    def _note_progress(self, progress: Progress) -> None:
        """Tell of progress a few times a second: every repaint of a window costs a frame."""
        is_first, self.progress = self.progress is None, progress
        if is_first:
            self.changed.emit()
        elif not self._telling.isActive():
            self._telling.start()

    def _stop(self, error: str) -> None:
        """Copy what is finished, then end."""
        self._error = error
        self._copier.finish()

    def _fail(self, error: str) -> None:
        self._error = error
        self._end()

    def _end(self) -> None:
        work, error, before = self.work, self._error, self._before
        asked = self._generation
        self._reserving = None
        self._error = ""
        self.close()
        self.changed.emit()
        if error:
            self.failed.emit(error)
        if work is not None:
            self.finished.emit(work)
            if asked and before is not None and work.state.predictions.done_planes():
                self.written.emit(work, before)

    def _keep_for_undo(self, work: ImageWork, before: Before) -> Iterable[None]:
        """Return the steps that keep the prediction as it is now; without, nothing is undone."""
        planes = work.state.predictions.planes()
        n_bytes = len(planes) * math.prod(work.state.geometry.plane_shape)
        if work.prediction is None or not planes:
            return ()
        if n_bytes > MOST_KEPT_BYTES:
            self._before = None
            return ()
        labels = work.labels_in(work.prediction)
        # Where it does not fit any longer, a new layer will be made.
        return () if labels is None else before.keep(labels, planes)

    def _on_removed(self, work: ImageWork) -> None:
        if work is not self.work:
            return
        if self._generation:
            self._link.cancel(self._generation)
        elif self._reserving is not None:
            self._reserving.cancel()
        self._end()
        self.noted.emit(f"{work.state.name!r} was removed, so its segmentation was stopped.")


def _reserve(shape: tuple[int, ...], first: Iterable[None]) -> Generator[None, None, SharedBuffer]:
    """Reserve shared memory for a label volume; takes a while where it is large."""
    yield from first
    yield
    return SharedBuffer.create(shape, np.uint8)
