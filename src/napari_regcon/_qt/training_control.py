"""Connects a section that trains something with the training.

What is trained, when that is possible, and what becomes of the result, a subclass says.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject

from napari_regcon.engine import weights

if TYPE_CHECKING:
    from napari_regcon._qt.core import DockCore
    from napari_regcon._qt.model_panel import ModelPanel
    from napari_regcon._qt.status import Status
    from napari_regcon._qt.training import Training
    from napari_regcon._qt.training_section import TrainingSection


class TrainingControl(QObject):
    """Takes the user's wishes to a training, and what it tells to where the user looks.

    Parameters
    ----------
    core : DockCore
        Knows images and classes.
    training : Training
        What is controlled.
    panel : TrainingSection
        Where the user starts and follows it.
    model : ModelPanel
        Where the result is chosen.
    status : Status
        The line at the top.
    parent : QObject, optional
        Owner.
    """

    ACTIVITY = ""
    """What the line at the top knows it by."""
    RUNNING, WAITING = "", ""
    """What that line says."""
    STARTS: tuple[str, ...] = ()
    """Methods whose weights it can begin with."""

    def __init__(
        self,
        core: DockCore,
        training: Training,
        panel: TrainingSection,
        model: ModelPanel,
        status: Status,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._core = core
        self._training = training
        self._section = panel
        self._model = model
        self._status = status
        panel.start_wanted.connect(self._start)
        panel.finish_wanted.connect(training.finish)
        panel.cancel_wanted.connect(training.cancel)
        panel.pause_wanted.connect(training.pause)
        panel.toggled.connect(lambda _open: self._list_starts())
        training.changed.connect(self._show_running)
        training.stepped.connect(panel.show_step)
        training.noted.connect(panel.say)
        training.failed.connect(partial(status.fail, self.ACTIVITY))
        self._list_starts()

    def _list_starts(self) -> None:
        known = (e for e in weights.entries() if e.method in self.STARTS)
        self._section.list_starts([e.name for e in known if weights.path_of(e).exists()])

    def _start(self, config: Any, start: str) -> None:
        self._training.start(config, start or None, self._model.choice.device)

    def _show_running(self) -> None:
        training = self._training
        self._section.show_running(training.running)
        self._section.show_paused(training.paused)
        if training.running:
            self._status.begin(self.ACTIVITY, self.WAITING if training.paused else self.RUNNING)
        else:
            self._status.end(self.ACTIVITY)
