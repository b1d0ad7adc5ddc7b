"""Shows the state of a dock's core in its sections.

Every method reads the core and tells one section what to show. No section knows the core, and
the core knows no section.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Labels, Shapes
from qtpy.QtCore import QObject

from napari_regcon.session.advice import advise, count_parts

if TYPE_CHECKING:
    from napari_regcon._qt.core import DockCore
    from napari_regcon._qt.panels import Panels
    from napari_regcon._qt.status import Status
    from napari_regcon._qt.workspace import ImageWork


_NO_IMAGE = "choose an image first."
_NO_PREDICTION = "nothing is predicted yet."
_NO_FINAL = "there are no final labels yet."
_ALL_DONE = "All slices are segmented."


class Presenter(QObject):
    """Keeps the sections up to date.

    Parameters
    ----------
    core : DockCore
        What is shown.
    panels : Panels
        Where.
    status : Status
        The line at the top.
    parent : QObject, optional
        Owner.
    """

    def __init__(
        self, core: DockCore, panels: Panels, status: Status, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._core = core
        self._panels = panels
        self._status = status
        self._shown: ImageWork | None = None
        self._follow()

    def _follow(self) -> None:
        """Show whatever changes in the core or the viewer from now on."""
        core = self._core
        core.workspace.current_changed.connect(self.update_all)
        core.workspace.layer_lost.connect(lambda *_: self.update_all())
        core.labelling.painted.connect(lambda _work: self.update_counts())
        core.labelling.class_picked.connect(lambda _value: self.update_counts())
        core.labelling.layer_changed.connect(self.update_export)
        for changed in (core.classes.changed, core.labelling.layer_changed, core.marking.marked):
            changed.connect(lambda *_: self.update_labels())
        for changed in (core.handwork.changed, core.locking.changed, core.correction.changed):
            changed.connect(lambda *_: self.update_correct())
        core.correction.changed.connect(self.update_volume)
        for changed in (core.results.layer_made, core.finals.layer_made, core.live.shown):
            changed.connect(self.results_changed)
        core.volume.changed.connect(self.update_volume)
        core.volume.finished.connect(self.volume_ended)
        core.filling.changed.connect(self.update_marking)
        core.autosave.offered.connect(self.offer_earlier)
        self._panels.model.configured.connect(self.update_advice)
        layers, dims = core.workspace.viewer.layers.events, core.workspace.viewer.dims.events
        for event, slot in (
            (layers.inserted, self.layers_changed),
            (layers.removed, self.layers_changed),
            (dims.current_step, self.moved),
            (dims.ndisplay, self.moved),
            (dims.order, self.moved),
        ):
            event.connect(slot)
            core.on_close(partial(event.disconnect, slot))

    def update_all(self) -> None:
        """Show another image, or none."""
        work = self._core.workspace.current
        layer = work.layer if work is not None else None
        if self._shown in self._core.workspace.works():  # else the note says what became of it
            self._panels.segment.say("")
        self._shown = work
        self._panels.image.show_current(layer, work.state.geometry if work is not None else None)
        if work is not None and work.opening is not None:
            self._status.begin("open", "Reading the image …")
        self._panels.labels.offer("")
        self.update_labels()
        self.update_volume()
        self.update_correct()
        self.update_export()

    def update_labels(self) -> None:
        """Show layers, classes, counts and marks."""
        core, panel = self._core, self._panels.labels
        work = core.workspace.current
        counts = work.state.painted.counts() if work is not None else {}
        layer = work.labels if work is not None else None
        picked = int(layer.selected_label) if layer is not None else 0
        panel.show_layers(core.labelling.fitting_layers(), layer)
        panel.show_classes(core.classes.table, counts, picked)
        panel.show_marks(list(work.state.marks) if work is not None else [])
        self.update_marking()
        self.update_segment()
        self.update_advice()

    def update_advice(self) -> None:
        """Recommend the method that suits what is painted on all images."""
        images = [(work.state.painted, work.state.marks) for work in self._core.workspace.works()]
        self._panels.model.advise(advise(*count_parts(images)))

    def update_counts(self) -> None:
        """Show how much is painted, after a stroke."""
        work = self._core.workspace.current
        if work is not None:
            self._panels.segment.forget(_ALL_DONE)
            picked = int(work.labels.selected_label) if work.labels is not None else 0
            counts = work.state.painted.counts()
            self._panels.labels.show_classes(self._core.classes.table, counts, picked)
            self.update_marking()
            self.update_segment()
            self.update_correct()
            self.update_advice()

    def update_marking(self) -> None:
        """Enable marking where it makes sense now."""
        core = self._core
        work = core.workspace.current
        why_no_slice = ""
        if work is not None:
            why_no_slice = core.workspace.sight.outside(work)
            if work.labels is None:
                why_no_slice = "paint something first."
            elif core.workspace.sight.visible_prefix(work) in work.state.marks.slices():
                why_no_slice = "this slice is marked already."
        has_box = any(isinstance(x, Shapes) and len(x.data) for x in core.workspace.viewer.layers)
        why_no_box = why_no_slice or ("" if has_box else "draw a rectangle in a shapes layer.")
        self._panels.labels.allow(
            no_image=work is None, why_no_slice=why_no_slice, why_no_box=why_no_box
        )
        why_no_fill, is_filled = why_no_slice or _NO_IMAGE, False
        if work is not None:
            prefix = core.workspace.sight.visible_prefix(work)
            why_no_fill = why_no_slice or work.state.missing_labels(core.classes.table.background)
            if not why_no_fill and not work.state.painted.patch(prefix).labels.size:
                why_no_fill = "paint strokes on this slice first."
            is_filled = core.filling.is_filled(work, prefix)
        self._panels.labels.filling.allow(why_no_fill, is_filled=is_filled)

    def update_segment(self) -> None:
        """Enable segmentation, or say what is missing."""
        work = self._core.workspace.current
        panel, volume = self._panels.segment, self._core.volume
        if work is None:
            panel.allow(_NO_IMAGE, _NO_IMAGE, has_prediction=False)
            panel.explain("")
            return
        why = self._core.live.why_not(work)
        why_no_volume = work.state.missing_labels(self._core.classes.table.background)
        if volume.running:
            why_no_volume = "a volume is being segmented."
        panel.allow(why, why_no_volume, has_prediction=not work.state.predictions.is_empty)
        panel.explain(why or " ".join(self._core.live.notes))

    def update_volume(self) -> None:
        """Show how far whole-volume work is."""
        volume, panel = self._core.volume, self._panels.segment
        work = self._core.workspace.current
        if volume.running:
            panel.show_running(volume.progress, cancelling=volume.cancelling)
            self._status.begin("volume", "Segmenting the volume …")
        else:
            panel.show_idle(can_resume=work is not None and work.state.predictions.can_resume)
            self._status.end("volume")
        self.update_segment()

    def volume_ended(self, work: ImageWork) -> None:
        """Say what whole-volume work left undone."""
        self.update_volume()
        self.update_export()
        if work is self._core.workspace.current:
            missing = work.state.predictions.describe_missing()
            self._panels.segment.say(missing or _ALL_DONE)

    def update_correct(self) -> None:
        """Show what can be accepted, undone, locked and started from."""
        core, panel = self._core, self._panels.correct
        work = core.workspace.current
        if work is None:
            panel.allow_accept(_NO_IMAGE)
            panel.allow_guide(_NO_IMAGE)
            panel.allow_final(_NO_IMAGE)
            panel.allow_history("", "")
            panel.show_starts([])
            return
        busy = "the step before is still under way." if core.correction.busy else ""
        outside = core.workspace.sight.outside(work)
        nothing = _NO_PREDICTION if work.state.predictions.is_empty else ""
        panel.allow_accept(busy or nothing, outside)
        panel.allow_guide(work.state.missing_labels(core.classes.table.background))
        panel.allow_final("" if work.final is not None else _NO_FINAL, outside)
        history = work.state.history
        undo, redo = history.next_undo, history.next_redo
        panel.allow_history(undo.title if undo else "", redo.title if redo else "")
        locked = core.workspace.sight.visible_prefix(work) in work.state.locks.slices
        panel.show_locks(work.state.locks.describe(), slice_locked=locked)
        panel.show_starts([x for x in core.labelling.fitting_layers() if x is not work.labels])

    def update_export(self) -> None:
        """Show what can be saved."""
        work = self._core.workspace.current
        name = work.state.name if work is not None else "image"
        self._panels.export.show_choices(self._core.saving.choices(), name)
        self._panels.session.allow(_NO_IMAGE if work is None else "", name)

    def results_changed(self, _work: Any = None) -> None:
        """Follow layers that the tool made."""
        self.update_segment()
        self.update_correct()
        self.update_export()

    def offer_earlier(self, work: ImageWork, text: str) -> None:
        """Offer an earlier session, if its image is still the chosen one."""
        if work is self._core.workspace.current:
            self._panels.labels.offer(text)

    def layers_changed(self, event: Any = None) -> None:
        """Follow layers that come and go."""
        if event is not None and isinstance(event.value, Labels | Shapes):
            self.update_labels()
            self.update_correct()
            self.update_export()

    def moved(self, _event: Any = None) -> None:
        """Follow the sliders and the way the viewer shows slices."""
        self.update_marking()
        self.update_segment()
        self.update_correct()
