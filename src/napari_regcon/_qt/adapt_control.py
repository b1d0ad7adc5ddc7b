"""Connects the fold "Adapt the features" with the adaptation, and its result with the models."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from napari_regcon._qt.train_control import starts
from napari_regcon.engine import weights
from napari_regcon.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_regcon._qt.adapt_panel import AdaptPanel
    from napari_regcon._qt.core import DockCore
    from napari_regcon._qt.model_panel import ModelPanel
    from napari_regcon._qt.status import Status
    from napari_regcon.config import PretrainConfig
    from napari_regcon.worker.protocol import TrainingWritten


class AdaptControl(QObject):
    """Takes the user's wishes to the adaptation, and what it tells to where the user looks.

    Parameters
    ----------
    core : DockCore
        Has the adaptation.
    panel : AdaptPanel
        Where the user starts and follows it.
    model : ModelPanel
        Where the result is chosen.
    relist : callable
        Lists there the weights that there are now.
    status : Status
        The line at the top.
    parent : QObject, optional
        Owner.
    """

    def __init__(
        self,
        core: DockCore,
        panel: AdaptPanel,
        model: ModelPanel,
        relist: Callable[[], object],
        status: Status,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._core = core
        self._panel = panel
        self._model = model
        self._relist = relist
        self._status = status
        adapting = core.adapting
        panel.start_wanted.connect(self._start)
        panel.finish_wanted.connect(adapting.finish)
        panel.cancel_wanted.connect(adapting.cancel)
        panel.pause_wanted.connect(adapting.pause)
        panel.use_wanted.connect(self._use)
        panel.discard_wanted.connect(self._discard)
        panel.toggled.connect(lambda _open: panel.list_starts(starts("pixel-head")))
        adapting.changed.connect(self._show_running)
        adapting.stepped.connect(panel.show_step)
        adapting.checked.connect(panel.show_look)
        adapting.noted.connect(panel.say)
        adapting.failed.connect(partial(status.fail, "adapting"))
        adapting.made.connect(self._show_made)
        for changed in (core.workspace.current_changed, core.training.changed):
            changed.connect(self._allow)
        panel.list_starts(starts("pixel-head"))
        self._allow()

    def _allow(self) -> None:
        if self._core.workspace.current is None:
            self._panel.allow("choose an image first.")
        elif self._core.training.running:
            self._panel.allow("a network is being trained.")
        else:
            self._panel.allow("")

    def _start(self, config: PretrainConfig, start: str) -> None:
        self._core.adapting.start(config, start or None, self._model.choice.device)

    def _show_running(self) -> None:
        adapting = self._core.adapting
        self._panel.show_running(adapting.running)
        self._panel.show_paused(adapting.paused)
        if adapting.running:
            text = "Adapting waits." if adapting.paused else "Adapting the features …"
            self._status.begin("adapting", text)
        else:
            self._status.end("adapting")

    def _show_made(self, name: str, written: TrainingWritten) -> None:
        self._panel.show_made(name, written.steps)
        self._relist()

    def _use(self, name: str) -> None:
        self._model.choose("pixel-head", {"features": "both"}, name, self._model.choice.device)

    def _discard(self, name: str) -> None:
        try:
            weights.remove(name)
        except WeightsError as error:
            self._status.fail("adapting", str(error))
            return
        self._panel.show_discarded()
        self._relist()
