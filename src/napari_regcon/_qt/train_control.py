"""Connects the section "Train" with the training, and its result with the section "Model"."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from napari_regcon.engine import weights

if TYPE_CHECKING:
    from napari_regcon._qt.core import DockCore
    from napari_regcon._qt.model_panel import ModelPanel
    from napari_regcon._qt.status import Status
    from napari_regcon._qt.train_panel import TrainPanel
    from napari_regcon.config import FinetuneConfig
    from napari_regcon.engine.finetune_events import FinetuneCheck
    from napari_regcon.worker.protocol import TrainingWritten


class TrainControl(QObject):
    """Takes the user's wishes to the training, and what it tells to where the user looks.

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

    def __init__(
        self,
        core: DockCore,
        panel: TrainPanel,
        model: ModelPanel,
        status: Status,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._core = core
        self._panel = panel
        self._model = model
        self._status = status
        training = core.training
        panel.start_wanted.connect(self._start)
        panel.finish_wanted.connect(training.finish)
        panel.cancel_wanted.connect(training.cancel)
        panel.use_wanted.connect(self._use)
        panel.pause_wanted.connect(training.pause)
        panel.go_on_wanted.connect(training.go_on)
        panel.watch_wanted.connect(core.training_view.set_enabled)
        panel.toggled.connect(lambda _open: self._list_starts())
        training.changed.connect(self._show_running)
        training.stepped.connect(panel.show_step)
        training.checked.connect(self._show_check)
        training.noted.connect(panel.say)
        training.failed.connect(partial(status.fail, "training"))
        training.made.connect(self._show_made)
        for changed in (
            core.workspace.current_changed,
            core.labelling.painted,
            core.labelling.layer_changed,
            core.marking.marked,
            core.classes.changed,
            core.adapting.changed,
        ):
            changed.connect(self._allow)
        self._list_starts()
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

    def _list_starts(self) -> None:
        self._panel.list_starts(starts("pixel-head", "fine-tuned"))

    def _start(self, config: FinetuneConfig, start: str) -> None:
        self._core.training.start(config, start or None, self._model.choice.device)

    def _show_running(self) -> None:
        training = self._core.training
        self._panel.show_running(training.running)
        self._panel.offer_to_go_on(training.can_go_on)
        self._panel.show_paused(training.paused)
        if training.running:
            text = "Training waits." if training.paused else "Training a network …"
            self._status.begin("training", text)
        else:
            self._status.end("training")

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


def starts(*methods: str) -> list[str]:
    """Return the names of the weights of some methods that are here, to begin a training with."""
    known = (e for e in weights.entries() if e.method in methods)
    return [e.name for e in known if weights.path_of(e).exists()]
