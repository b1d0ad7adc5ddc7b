"""The live preview: after every stroke, the visible slice is predicted anew.

After a stroke the engine is told what is painted now and asked for the visible part of the slice,
followed by the rest; strokes made meanwhile are gathered for a moment. Answers that are no longer
wanted are dropped; of the others only the box that changed is copied into the prediction layer
and shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_regcon._qt.plane_buffers import PlaneBuffers
from napari_regcon.worker.protocol import (
    EngineDied,
    JobDone,
    JobFailed,
    JobNote,
    JobProgress,
    Preview,
    PreviewDone,
)

if TYPE_CHECKING:
    from napari_regcon._qt.classes import Classes
    from napari_regcon._qt.jobs import EngineLink
    from napari_regcon._qt.paint_watch import PaintWatch
    from napari_regcon._qt.results import Results
    from napari_regcon._qt.workspace import ImageWork, Workspace

DEBOUNCE_MS = 15


class LivePreview(QObject):
    """Keeps the prediction of the visible slice up to date.

    Parameters
    ----------
    workspace : Workspace
        The images.
    link : EngineLink
        Is asked for previews.
    classes : Classes
        Says which one is the background.
    watch : PaintWatch
        Knows what is painted.
    results : Results
        Receives them.
    parent : QObject, optional
        Owner.

    Attributes
    ----------
    enabled : bool
        Whether strokes and moving to another slice lead to a preview by themselves.
    with_uncertainty : bool
        Whether to show how unsure the prediction is, too.
    notes : tuple of str
        What the user should know about the latest preview, in sentences.
    busy : Signal
        bool: whether a preview is under way.
    hint : Signal
        str: why there is no preview yet, or an empty string.
    failed : Signal
        str: why a preview failed.
    progressed : Signal
        str: how far a preview is that takes longer.
    shown : Signal
        PreviewDone: a preview is on screen as a whole.
    """

    busy = Signal(bool)
    hint = Signal(str)
    failed = Signal(str)
    progressed = Signal(str)
    shown = Signal(object)

    def __init__(
        self,
        workspace: Workspace,
        link: EngineLink,
        classes: Classes,
        watch: PaintWatch,
        results: Results,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.enabled = True
        self.with_uncertainty = False
        self.notes: tuple[str, ...] = ()
        self._new_notes: tuple[str, ...] = ()
        self._classes = classes
        self._workspace = workspace
        self._link = link
        self._watch = watch
        self._results = results
        self._planes = PlaneBuffers()
        self._asked: tuple[int, str] | None = None
        self._last_place: tuple[str, tuple[int, ...]] | None = None
        self._once = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DEBOUNCE_MS)
        self._timer.timeout.connect(self._ask)
        link.event.connect(self._on_event)
        workspace.opened.connect(self._on_opened)
        workspace.removed.connect(self._on_removed)
        workspace.current_changed.connect(self._forget_notes)
        for name in ("current_step", "ndisplay", "order"):
            getattr(workspace.viewer.dims.events, name).connect(self._on_moved)

    def set_enabled(self, on: bool) -> None:
        """Turn live mode on or off."""
        self.enabled = on
        self._timer.stop()
        self.request()

    def request(self, *_: Any) -> None:
        """Update the preview soon, if live mode is on."""
        if self.enabled:
            self._timer.start()

    def answer_stroke(self, *_: Any) -> None:
        """Update the preview at once, if live mode is on; soon, if one is under way."""
        if self.enabled and self._asked is None:
            self._ask()
        else:
            self.request()

    def request_once(self) -> None:
        """Update the preview of the visible slice now, whether live mode is on or not."""
        self._once = True
        self._ask()

    def show_uncertainty(self, on: bool) -> None:
        """Show how unsure the prediction is, or no longer."""
        self.with_uncertainty = on
        for work in self._workspace.works():
            if work.uncertainty is not None:
                work.uncertainty.visible = on
        if on:
            self.request_once()

    def close(self) -> None:
        """Stop asking and give the memory back."""
        self._timer.stop()
        for name in ("current_step", "ndisplay", "order"):
            getattr(self._workspace.viewer.dims.events, name).disconnect(self._on_moved)
        self._planes.close()

    def why_not(self, work: ImageWork) -> str:
        """Say why the visible slice cannot be predicted, or return an empty string."""
        background = self._classes.table.background
        missing = self._workspace.sight.outside(work) or work.state.missing_labels(background)
        if not missing and not self._workspace.sight.shows_planes(work):
            return "The preview waits until you look at slices (2-D, rows and columns) again."
        return missing

    def _ask(self) -> None:
        work = self._workspace.current
        if work is None:
            return
        if not self._watch.catch_up():
            self._timer.start()
            return
        self._timer.stop()  # an edit that was just noticed is in this preview already
        reason = self.why_not(work)
        self.hint.emit(reason)
        ready = self._workspace.supply.tell_painted(work)
        if reason or not ready:
            return
        generation = self._link.next_generation()
        prefix = self._workspace.sight.visible_prefix(work)
        self._asked = (generation, work.image_id)
        self._last_place = (work.image_id, prefix)
        self._once = False
        self._new_notes = ()
        self._link.send(
            Preview(
                generation,
                work.image_id,
                prefix,
                self._workspace.sight.visible_box(work),
                self._planes.of(work, "labels").handle,
                self._planes.of(work, "uncertainty").handle if self.with_uncertainty else None,
                whole_plane=True,
            )
        )
        self.busy.emit(True)

    def _on_event(self, event: Any) -> None:
        if self._asked is None:
            return
        generation = self._asked[0]
        match event:
            case PreviewDone() if event.generation == generation:
                self._show(event)
            case JobProgress() if event.generation == generation:
                done, total = event.progress.done, event.progress.total
                self.progressed.emit(f"Updating the preview … {done} of {total} parts")
            case JobNote() if event.generation == generation:
                self._new_notes += (event.note.text,)
            case JobDone() if event.generation == generation:
                self._end()
            case JobFailed() if event.generation == generation:
                self._end()
                self.failed.emit(event.message)
            case EngineDied() if generation in event.pending:
                self._end()

    def _show(self, event: PreviewDone) -> None:
        work = self._workspace.with_id(event.image_id)
        if work is not None:
            prefix, box = event.prefix, event.box
            pixels = self._planes.of(work, "labels").array[box.slices]
            self._results.show_preview(work, prefix, box, pixels, event.generation)
            if self.with_uncertainty:
                unsure = self._planes.of(work, "uncertainty").array[box.slices]
                self._results.show_uncertainty(work, prefix, box, unsure)
        if event.final:
            self.notes = self._new_notes
            self._end()
            self.shown.emit(event)

    def _end(self) -> None:
        self._asked = None
        self.busy.emit(False)

    def _forget_notes(self) -> None:
        self.notes = ()

    def _on_moved(self, _event: Any = None) -> None:
        work = self._workspace.current
        if work is not None:
            place = (work.image_id, self._workspace.sight.visible_prefix(work))
            if place != self._last_place:
                self.request()

    def _on_opened(self, work: ImageWork) -> None:
        if work is self._workspace.current or work.state.painted.has_changes:
            (self._ask if self._once else self.request)()

    def _on_removed(self, work: ImageWork) -> None:
        if self._asked and self._asked[1] == work.image_id:
            self._end()
        self._planes.drop(work)
