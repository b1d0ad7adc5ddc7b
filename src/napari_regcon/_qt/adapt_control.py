"""Connects the fold "Adapt the features" with the adaptation, and its result with the models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_regcon._qt.training_control import TrainingControl
from napari_regcon.engine import weights
from napari_regcon.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtCore import QObject

    from napari_regcon._qt.adapt_panel import AdaptPanel
    from napari_regcon._qt.core import DockCore
    from napari_regcon._qt.model_panel import ModelPanel
    from napari_regcon._qt.status import Status
    from napari_regcon.worker.protocol import TrainingWritten


class AdaptControl(TrainingControl):
    """Controls the adaptation of features to the open images.

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

    ACTIVITY = "adapting"
    RUNNING, WAITING = "Adapting the features …", "Adapting waits."
    STARTS = ("pixel-head",)

    def __init__(
        self,
        core: DockCore,
        panel: AdaptPanel,
        model: ModelPanel,
        relist: Callable[[], object],
        status: Status,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(core, core.adapting, panel, model, status, parent)
        self._panel = panel
        self._relist = relist
        panel.use_wanted.connect(self._use)
        panel.discard_wanted.connect(self._discard)
        core.adapting.checked.connect(panel.show_look)
        core.adapting.made.connect(self._show_made)
        for changed in (core.workspace.current_changed, core.training.changed):
            changed.connect(self._allow)
        self._allow()

    def _allow(self) -> None:
        if self._core.workspace.current is None:
            self._panel.allow("choose an image first.")
        elif self._core.training.running:
            self._panel.allow("a network is being trained.")
        else:
            self._panel.allow("")

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
