"""Segments the whole volume in the background, nearest slices first.

The engine writes blocks into shared memory; whatever is finished is copied plane by plane in
the breaks of the event loop, so that the user can look at it while the rest is under way.
Cancelling keeps what is done and says what is missing; resuming goes on from there.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_regcon.session.predictions import planes_of
from napari_regcon.types import Box, Progress
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
    from collections.abc import Generator

    from napari_regcon._qt.background import Background, Task
    from napari_regcon._qt.jobs import EngineLink
    from napari_regcon._qt.results import Results
    from napari_regcon._qt.workspace import ImageWork, Workspace

SLICE_S = 0.008
"""How long one break of the event loop is used for copying planes."""


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
    """

    changed = Signal()
    noted = Signal(str)
    failed = Signal(str)
    finished = Signal(object)

    def __init__(
        self,
        workspace: Workspace,
        link: EngineLink,
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
        self._results = results
        self._background = background
        self._reserving: Task | None = None
        self._generation = 0
        self._buffer: SharedBuffer | None = None
        self._queue: deque[tuple[tuple[int, ...], Box]] = deque()
        self._ended = False
        self._error = ""
        self._telling = QTimer(self)
        self._telling.setSingleShot(True)
        self._telling.setInterval(TELL_MS)
        self._telling.timeout.connect(self.changed)
        self._copying = QTimer(self)
        self._copying.setInterval(0)
        self._copying.timeout.connect(self._copy_some)
        link.event.connect(self._on_event)
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
        self.work, self.progress, self.cancelling, self._ended = work, None, False, False
        shape = work.state.geometry.label_shape
        self._reserving = self._background.start(
            _reserve(shape),
            done=lambda buffer: self._ask(work, buffer, resume),
            failed=self._fail,
            unused=lambda buffer: buffer.close(),
        )
        self.changed.emit()

    def cancel(self) -> None:
        """Stop; what is done stays."""
        if not self.running or self.cancelling:
            return
        self.cancelling = True
        if self._reserving is not None:
            self._reserving.cancel()
            self._end()
        else:
            self._link.cancel(self._generation)
        self.changed.emit()

    def close(self) -> None:
        """Give the memory back."""
        self._copying.stop()
        self._telling.stop()
        self._queue.clear()
        if self._buffer is not None:
            self._buffer.close()
            self._buffer = None
        self.work = None

    def _ask(self, work: ImageWork, buffer: SharedBuffer, resume: bool) -> None:
        self._reserving = None
        self._buffer = buffer
        if not self._workspace.tell_painted(work):
            self._fail("The image is still being read. Try again in a moment.")
            return
        done = work.state.predictions.start_volume(resume=resume)
        self._generation = self._link.next_generation()
        prefix = self._workspace.visible_prefix(work)
        self._link.send(SegmentVolume(self._generation, work.image_id, buffer.handle, prefix, done))

    def _on_event(self, event: Any) -> None:
        if self.work is None or self._buffer is None:
            return
        match event:
            case VolumeBlockDone() if event.generation == self._generation:
                self._queue.extend((prefix, event.box) for prefix in planes_of(event.box))
                self._copying.start()
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

    def _copy_some(self) -> None:
        end = time.perf_counter() + SLICE_S
        while self._queue and self.work is not None and time.perf_counter() < end:
            self._copy(self.work, *self._queue.popleft())
        if not self._queue:
            self._copying.stop()
            if self._ended:
                self._end()

    def _copy(self, work: ImageWork, prefix: tuple[int, ...], box: Box) -> None:
        if self._buffer is None:
            return
        flat = Box(box.start[-2:], box.stop[-2:])
        pixels = self._buffer.array[prefix][flat.slices]
        self._results.write_plane(work, prefix, flat, pixels, self._generation)
        last = tuple(i - 1 for i in box.stop[:-2])
        if prefix == last:  # all planes of this block are copied
            work.state.predictions.block_done(box)

    def _stop(self, error: str) -> None:
        """Copy what is finished, then end."""
        self._error = error
        self._ended = True
        self._copying.start()

    def _fail(self, error: str) -> None:
        self._error = error
        self._end()

    def _end(self) -> None:
        work, error = self.work, self._error
        self._reserving = None
        self._error = ""
        self.close()
        self.changed.emit()
        if error:
            self.failed.emit(error)
        if work is not None:
            self.finished.emit(work)

    def _on_removed(self, work: ImageWork) -> None:
        if work is not self.work:
            return
        if self._reserving is not None:
            self._reserving.cancel()
        else:
            self._link.cancel(self._generation)
        self.noted.emit(f"{work.state.name!r} was removed, so its segmentation was stopped.")
        self._end()


def _reserve(shape: tuple[int, ...]) -> Generator[None, None, SharedBuffer]:
    """Reserve shared memory for a label volume; takes a while where it is large."""
    yield
    return SharedBuffer.create(shape, np.uint8)
