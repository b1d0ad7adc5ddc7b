"""The dock widget "Regcon": composes the sections, connects them to the core, ends both."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from napari.layers import Image, Shapes
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QApplication, QVBoxLayout, QWidget

from napari_regcon._qt.adapt_control import AdaptControl
from napari_regcon._qt.column import Column
from napari_regcon._qt.core import DockCore
from napari_regcon._qt.engine_report import EngineReport
from napari_regcon._qt.messages import carry_messages
from napari_regcon._qt.model_choice import ModelChoice
from napari_regcon._qt.panels import Panels
from napari_regcon._qt.parts import StateLine
from napari_regcon._qt.preferences import load_preferences
from napari_regcon._qt.presenter import Presenter
from napari_regcon._qt.shortcuts import CLASS_KEYS, KEYS, Shortcuts
from napari_regcon._qt.status import Status
from napari_regcon._qt.train_control import TrainControl
from napari_regcon._qt.weights import WeightsShop
from napari_regcon.worker.client import EngineClient

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

    from napari_regcon._qt.jobs import Client
    from napari_regcon.session.saved import SessionImage, SessionState
    from napari_regcon.worker.protocol import EngineEvent


class RegconWidget(QWidget):
    """Segment an image from a few painted labels.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer that the dock belongs to.
    make_client : callable, optional
        Makes the client of the engine; another one in tests.
    """

    def __init__(
        self,
        napari_viewer: napari.Viewer,
        make_client: Callable[[Callable[[EngineEvent], None]], Client] = EngineClient,
    ) -> None:
        super().__init__()
        preferences = load_preferences()
        # napari hands plugins a proxy that wraps every layer anew at each access, so that no
        # layer is ever the same as itself.
        self.viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self.core = DockCore(self.viewer, preferences, make_client)
        self.panels = Panels.make(self.viewer.layers, self)
        self.state_line = StateLine(self)
        self.status = Status(self.state_line, self)
        self.presenter = Presenter(self.core, self.panels, self.status, self)
        self.engine_report = EngineReport(self.core, self.panels, self.status, self)
        self.shop = WeightsShop(self.core.background, self)
        self.model_choice = ModelChoice(self.core, self.panels.model, self.shop, self.status, self)
        self.train_control = TrainControl(
            self.core, self.panels.train, self.panels.model, self.status, self
        )
        self.adapt_control = AdaptControl(
            self.core,
            self.panels.adapt,
            self.panels.model,
            self.model_choice.look_at_weights,
            self.status,
            self,
        )
        self.shortcuts = Shortcuts(self.viewer)
        self._lay_out()
        carry_messages(self.core, self.panels, self.status)
        self._connect_panels()
        self._connect_labels()
        self._connect_regions()
        self._connect_correct()
        self._connect_sessions()
        self._bind_keys()
        self._end_in_time()
        self.model_choice.begin(preferences)
        self.panels.segment.set_live(preferences.live)
        self.panels.image.start()
        self.presenter.update_all()

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802 (Qt's name)
        """End once napari has taken the dock out of its window: nobody else would, for long."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            QTimer.singleShot(0, self._end_if_alone)

    def _end_if_alone(self) -> None:
        if self.parent() is None:  # and was not put into another dock at once
            self.core.close()
            self.deleteLater()

    def _lay_out(self) -> None:
        outer = QVBoxLayout(self)
        outer.setContentsMargins(8, 8, 4, 4)
        outer.addWidget(self.state_line)
        outer.addWidget(Column(self.panels.in_order(), self), 1)

    def _connect_panels(self) -> None:
        core, panels = self.core, self.panels
        panels.image.chosen.connect(core.workspace.choose)
        panels.image.axes_chosen.connect(core.workspace.set_axes)
        core.on_close(panels.image.close_panel)
        segment = panels.segment
        segment.live_toggled.connect(core.live.set_enabled)
        segment.slice_wanted.connect(core.live.request_once)
        segment.volume_wanted.connect(partial(core.volume.start, resume=False))
        segment.resume_wanted.connect(partial(core.volume.start, resume=True))
        segment.cancel_wanted.connect(core.volume.cancel)
        segment.toggle_wanted.connect(core.results.toggle)
        panels.export.save_wanted.connect(self._save)

    def _connect_labels(self) -> None:
        core, labels = self.core, self.panels.labels
        labels.new_layer_wanted.connect(core.labelling.new_layer)
        labels.layer_chosen.connect(core.labelling.use_layer)
        labels.add_wanted.connect(core.labelling.add_class)
        labels.remove_wanted.connect(
            lambda value: core.classes.remove(value, core.labelling.painted_px(value))
        )
        labels.classes.picked.connect(core.labelling.pick_class)
        labels.classes.renamed.connect(core.classes.rename)
        labels.classes.recolored.connect(core.classes.recolor)
        labels.slice_complete.connect(core.marking.mark_slice)
        labels.box_complete.connect(self._mark_boxes)
        labels.unmark_wanted.connect(core.marking.unmark)
        labels.filling.fill_wanted.connect(core.filling.fill)
        labels.filling.take_wanted.connect(core.filling.take)
        labels.filling.discard_wanted.connect(core.filling.discard)

    def _connect_regions(self) -> None:
        core, regions = self.core, self.panels.regions
        regions.shown_toggled.connect(core.regions.set_enabled)
        regions.granularity_changed.connect(core.regions.set_granularity)
        regions.filled_toggled.connect(core.regions_layer.set_filled)
        regions.color_by_changed.connect(core.regions_layer.set_color_by)
        regions.brush_toggled.connect(core.region_brush.set_on)
        regions.similarity_changed.connect(core.region_brush.set_least_similarity)
        core.region_brush.toggled.connect(regions.show_brush)

    def _connect_correct(self) -> None:
        core, correct = self.core, self.panels.correct
        correct.accept_wanted.connect(self._accept)
        correct.undo_wanted.connect(core.correction.undo)
        correct.redo_wanted.connect(core.correction.redo)
        correct.lock_slice_wanted.connect(core.locking.toggle_slice)
        correct.lock_class_wanted.connect(lambda: core.locking.toggle_class(self._picked()))
        correct.lock_object_wanted.connect(core.locking.lock_object)
        correct.unlock_wanted.connect(core.locking.unlock_all)
        correct.start_wanted.connect(core.correction.start_from)
        correct.learn_wanted.connect(core.learn_from_slice)
        correct.teaching_toggled.connect(core.handwork.set_teaching)
        correct.next_wanted.connect(core.guide.start)
        correct.uncertainty_toggled.connect(core.live.show_uncertainty)

    def _connect_sessions(self) -> None:
        core, labels, session = self.core, self.panels.labels, self.panels.session
        labels.bring_back_wanted.connect(self._bring_back)
        labels.discard_wanted.connect(self._discard)
        session.save_wanted.connect(core.sessions.save)
        session.open_wanted.connect(core.sessions.open)
        for wanted in (session.save_wanted, session.open_wanted):
            wanted.connect(lambda _path: self.status.forget_failure("session"))
        core.sessions.opened.connect(self._go_on_with)

    def _bind_keys(self) -> None:
        for index, key in enumerate(CLASS_KEYS):
            self.shortcuts.bind(key, partial(self.core.labelling.pick_nth_class, index))
        self.shortcuts.bind(KEYS["toggle_live"], self.panels.segment.toggle_live)
        self.shortcuts.bind(KEYS["toggle_prediction"], self.core.results.toggle)
        self.shortcuts.bind(KEYS["segment_slice"], self.core.live.request_once)
        self.shortcuts.bind(KEYS["accept_slice"], self.core.correction.accept_slice)
        self.shortcuts.bind(KEYS["accept_object"], self.core.correction.accept_object)
        self.shortcuts.bind(KEYS["lock_object"], self.core.locking.lock_object)
        self.shortcuts.bind(KEYS["where_next"], self.core.guide.start)
        self.core.on_close(self.shortcuts.close)

    def _end_in_time(self) -> None:
        """End with the dock, the window or the application, whichever goes first."""
        self.destroyed.connect(self.core.close)
        application = QApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.core.close)

    def _picked(self) -> int:
        return self.panels.labels.classes.picked_value()

    def _accept(self, kind: str) -> None:
        correction = self.core.correction
        match kind:
            case "slice":
                correction.accept_slice()
            case "object":
                correction.accept_object()
            case "class":
                correction.accept_class(self._picked())
            case "volume":
                correction.accept_volume()

    def _bring_back(self) -> None:
        state = self.core.bring_back()
        self.panels.labels.offer("")
        if state is not None:
            self.model_choice.restore(state)

    def _go_on_with(
        self, state: SessionState, others: dict[Image, SessionImage], remarks: str
    ) -> None:
        self.core.go_on_with(state, others)
        self.panels.session.say(f"Opened the session of {state.image.name!r}. {remarks}".strip())
        self.model_choice.restore(state)

    def _discard(self) -> None:
        work = self.core.workspace.current
        self.panels.labels.offer("")
        if work is not None:
            self.core.autosave.discard_earlier(work)

    def _mark_boxes(self) -> None:
        layers = self.viewer.layers
        active = layers.selection.active
        shapes = [x for x in layers if isinstance(x, Shapes) and len(x.data)]
        if shapes:
            self.core.marking.mark_boxes(active if active in shapes else shapes[-1])

    def _save(self, role: str, path: str) -> None:
        self.panels.export.show_busy(path)
        self.core.saving.save(role, path)
