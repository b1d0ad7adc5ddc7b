"""Everything behind one dock, from the images to the engine, made and ended together.

It owns no widgets. It is kept alive by the dock and closed when the dock, the window or the
application goes, whichever comes first.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject

from napari_regcon._qt.adapting import Adapting
from napari_regcon._qt.autosave import Autosave
from napari_regcon._qt.background import Background
from napari_regcon._qt.classes import Classes
from napari_regcon._qt.comparison import Comparison
from napari_regcon._qt.correction import Correction
from napari_regcon._qt.filling import Filling
from napari_regcon._qt.finals import Finals
from napari_regcon._qt.guide import Guide
from napari_regcon._qt.handwork import Handwork
from napari_regcon._qt.jobs import Client, EngineLink
from napari_regcon._qt.labelling import Labelling
from napari_regcon._qt.live import LivePreview
from napari_regcon._qt.locking import Locking
from napari_regcon._qt.marking import Marking
from napari_regcon._qt.paint_guard import PaintGuard
from napari_regcon._qt.paint_watch import PaintWatch
from napari_regcon._qt.painting import paint_free
from napari_regcon._qt.region_brush import RegionBrush
from napari_regcon._qt.regions import Regions
from napari_regcon._qt.regions_layer import RegionsLayer
from napari_regcon._qt.results import Results
from napari_regcon._qt.saving import Saving
from napari_regcon._qt.session_files import SessionFiles
from napari_regcon._qt.snapshot import Snapshot
from napari_regcon._qt.training import Training
from napari_regcon._qt.training_view import TrainingView
from napari_regcon._qt.volume_job import VolumeJob
from napari_regcon._qt.workspace import Workspace
from napari_regcon.worker.client import EngineClient

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import napari
    from napari.layers import Image

    from napari_regcon._qt.preferences import Preferences
    from napari_regcon._qt.workspace import ImageWork
    from napari_regcon.session.saved import SessionImage, SessionState
    from napari_regcon.worker.protocol import EngineEvent


class DockCore(QObject):
    """The parts of one dock that are not widgets.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    preferences : Preferences
        Of the user.
    make_client : callable
        Makes the client of the engine.
    """

    def __init__(
        self,
        viewer: napari.Viewer,
        preferences: Preferences,
        make_client: Callable[[Callable[[EngineEvent], None]], Client] = EngineClient,
    ) -> None:
        super().__init__()
        self._closed = False
        self._closers: list[Callable[[], object]] = []
        folder = preferences.scratch_folder
        self._scratch = tempfile.TemporaryDirectory(
            prefix="napari-regcon-", dir=folder, ignore_cleanup_errors=True
        )
        scratch = Path(self._scratch.name)
        self.background = Background(self)
        self.link = EngineLink(make_client, self)
        self.cache = preferences.cache
        self.link.send(self.cache)
        self.workspace = Workspace(viewer, self.link, self.background, self)
        self.classes = Classes(self.link, self)
        self.watch = PaintWatch(self.workspace, self)
        self.labelling = Labelling(self.workspace, self.classes, self.watch, scratch, self)
        self.marking = Marking(self.workspace, self)
        self.results = Results(self.workspace, self.classes, scratch, self)
        self.live = LivePreview(
            self.workspace, self.link, self.classes, self.watch, self.results, self
        )
        self.comparison = Comparison(self.workspace, self.link, self.live, self.results, self)
        self.volume = VolumeJob(
            self.workspace, self.link, self.watch, self.results, self.background, self
        )
        self.training = Training(
            self.workspace, self.link, self.watch, self.background, scratch, self
        )
        self.adapting = Adapting(
            self.workspace, self.link, self.watch, self.background, scratch, self
        )
        self.training_view = TrainingView(self.workspace, self.results, self.training, self)
        self.saving = Saving(self.workspace, self.classes, self.background, self)
        self.snapshot = Snapshot(self.workspace, self.classes, self.link, self)
        self.autosave = Autosave(self.workspace, self.snapshot, self.background, self)
        self.sessions = SessionFiles(
            self.workspace, self.watch, self.snapshot, self.background, self
        )
        self.locking = Locking(self.workspace, self.background, self)
        self.finals = Finals(
            self.workspace, self.classes, self.results, self.autosave.final_file, self
        )
        self.correction = Correction(
            self.workspace, self.classes, self.finals, self.background, self
        )
        self.handwork = Handwork(
            self.workspace, self.classes, self.labelling, self.watch, self.finals, self.correction,
            self,
        )  # fmt: skip
        self.volume.written.connect(self.correction.remember_volume)
        self.guide = Guide(self.workspace, self.link, self.watch, self.results, self)
        self.guard = PaintGuard(self.workspace, self)
        for changed in (self.labelling.layer_changed, self.workspace.current_changed):
            changed.connect(self.guard.check)
        for made in (self.results.layer_made, self.finals.layer_made):
            made.connect(self.guard.check)
        self.regions = Regions(self.workspace, self.link, lambda: self.snapshot.model, self)
        self.regions_layer = RegionsLayer(
            self.workspace, self.regions, self.classes, self.results, self
        )
        self.filling = Filling(
            self.workspace,
            self.link,
            self.watch,
            self.labelling,
            self.marking,
            self.results,
            lambda: self.snapshot.model.device,
            self,
        )
        self.region_brush = RegionBrush(self.workspace, self.labelling, self.regions, self)
        for changed in (self.labelling.painted, self.marking.marked, self.handwork.changed):
            changed.connect(self.autosave.note)
        for happened in (self.classes.changed, self.locking.changed, self.correction.changed):
            happened.connect(self.autosave.note)
        self.labelling.layer_changed.connect(self._prepare)
        self.labelling.begun.connect(self.link.wake)
        self.labelling.painted.connect(self.live.answer_stroke)
        self.labelling.painted.connect(self.guide.clear_mark)
        self.labelling.painted.connect(self.regions_layer.update_soon)
        self.live.shown.connect(self.regions_layer.update_soon)
        self.classes.changed.connect(self.regions_layer.update_soon)
        self.marking.marked.connect(self.live.request)
        self.classes.changed.connect(self.live.request)
        self.workspace.current_changed.connect(self.live.request)

    def bring_back(self) -> SessionState | None:
        """Go on with the earlier session of the chosen image; None if there is none."""
        work = self.workspace.current
        found = self.autosave.take_earlier(work) if work is not None else None
        if work is None or found is None:
            return None
        state, final = found
        self._restore(work, state, {})
        if final is not None:
            self.finals.make(work, final)
        return state

    def go_on_with(self, state: SessionState, others: Mapping[Image, SessionImage]) -> None:
        """Bring the chosen image, and others, into the state of a session that fits them.

        What was painted before stays in its layers and in files of its own.
        """
        chosen = self.workspace.current
        if chosen is None:
            return
        works = {self.workspace.take_up(layer): image for layer, image in others.items()}
        for work in (*works, chosen):
            self.autosave.keep_apart(work)
        self._restore(chosen, state, works)

    def _restore(
        self, chosen: ImageWork, state: SessionState, others: Mapping[ImageWork, SessionImage]
    ) -> None:
        images = {**others, chosen: state.image}  # the last layer made is the one to paint on
        self.classes.restore(state.classes)
        for work in self.workspace.works():
            if work not in images:
                self.classes.ensure(work.state.painted.counts(), work.state.name)
        for work, image in images.items():
            work.state.painted.touch_all()  # what was marked complete may be so no longer
            self.labelling.new_layer(work, image.patches)
            work.state.marks.replace_all(image.marks)
            work.state.painted.touch_all()
            self.marking.marked.emit(work)
        locks = chosen.state.locks
        locks.restore(state.locked_slices, state.locked_classes, state.locked_pixels)
        self.locking.changed.emit()

    def _prepare(self) -> None:
        """Make the prediction layer now: adding a layer takes napari longer than a frame."""
        work = self.workspace.current
        if work is not None and work.labels is not None:
            self.results.prediction_of(work)

    def learn_from_slice(self) -> None:
        """Make the final labels of the visible slice a complete example for the model."""
        work = self.workspace.current
        if work is None or work.final is None:
            return
        layer = work.labels if work.labels is not None else self.labelling.new_layer()
        if layer is None:
            return
        prefix = self.workspace.sight.visible_prefix(work)
        final = np.asarray(self.finals.final_of(work)[1][prefix])
        paint_free(layer, work.state.geometry, prefix, final)
        self.marking.mark_slice()

    def on_close(self, closer: Callable[[], object]) -> None:
        """Call something first when the core closes; it must not touch widgets."""
        self._closers.append(closer)

    def close(self, *_: object) -> None:
        """End the engine and all work; can be called twice."""
        if self._closed:
            return
        self._closed = True
        for closer in self._closers:
            closer()
        for work in self.watch.finish():
            self.autosave.note(work)
        self.autosave.close()
        self.region_brush.put_down()
        self.filling.close()
        self.regions_layer.close()
        self.regions.close()
        self.watch.close()
        self.guard.close()
        self.finals.close()
        self.guide.close()
        self.live.close()
        self.comparison.close()
        self.training_view.close()
        self.results.close()
        self.volume.close()
        self.link.close()
        self.workspace.close()
        self.background.close()
        self._scratch.cleanup()
