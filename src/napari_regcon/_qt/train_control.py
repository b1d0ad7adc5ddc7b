"""Connects the section "Train" with the training, and its result with the section "Model"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_regcon._qt.training_control import TrainingControl

if TYPE_CHECKING:
    from qtpy.QtCore import QObject

    from napari_regcon._qt.core import DockCore
    from napari_regcon._qt.model_panel import ModelPanel
    from napari_regcon._qt.status import Status
    from napari_regcon._qt.train_panel import TrainPanel
    from napari_regcon.engine.finetune_events import FinetuneCheck
    from napari_regcon.worker.protocol import TrainingWritten


class TrainControl(TrainingControl):
    """Controls the training on what is painted.

    Parameters
    ----------
    core : DockCore
        Has the training.
    panel : TrainPanel
        Where the user starts and follows it.
    model : ModelPanel
        Where the result is chosen.
    status : Status
        The line at the top.
    parent : QObject, optional
        Owner.
    """

    ACTIVITY = "training"
    RUNNING, WAITING = "Training a network …", "Training waits."
    STARTS = ("pixel-head", "fine-tuned")

    def __init__(
        self,
        core: DockCore,
        panel: TrainPanel,
        model: ModelPanel,
        status: Status,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(core, core.training, panel, model, status, parent)
        self._panel = panel
        panel.use_wanted.connect(self._use)
        panel.go_on_wanted.connect(core.training.go_on)
        panel.watch_wanted.connect(core.training_view.set_enabled)
        core.training.checked.connect(self._show_check)
        core.training.made.connect(self._show_made)
        for changed in (
            core.workspace.current_changed,
            core.labelling.painted,
            core.labelling.layer_changed,
            core.marking.marked,
            core.classes.changed,
            core.adapting.changed,
        ):
            changed.connect(self._allow)
        self._allow()

    def _allow(self, *_: object) -> None:
        work = self._core.workspace.current
        if work is None:
            self._panel.allow("choose an image first.")
        elif self._core.adapting.running:
            self._panel.allow("the features are being adapted.")
        else:
            table = self._core.classes.table
            self._panel.allow(work.state.missing_labels(table.background))

    def _show_running(self) -> None:
        super()._show_running()
        self._panel.offer_to_go_on(self._core.training.can_go_on)

    def _show_check(self, check: FinetuneCheck) -> None:
        self._panel.show_check(check, {c.name: c.color for c in self._core.classes.table})

    def _show_made(self, name: str, written: TrainingWritten) -> None:
        better = written.best is not None and written.best.may_take_over
        used = better and self._panel.takes_over and self._model.method == "pixel-head"
        if used:  # judged beside the pixel classifier, so it takes the place of no other
            self._use(name)
        self._panel.show_made(name, written.best, written.steps, used=used)
        self._panel.expand(animate=False)

    def _use(self, name: str) -> None:
        self._model.choose("fine-tuned", {}, name, self._model.choice.device)
