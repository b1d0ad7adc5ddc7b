"""The section in which a network is trained on what is painted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QLabel, QProgressBar, QWidget

from napari_regcon._qt.forms import ConfigForm
from napari_regcon._qt.parts import ActionButton, Choice, Hint, Section, row_of
from napari_regcon._qt.segment_panel import duration
from napari_regcon._qt.training_curves import TrainingCurves
from napari_regcon.config import FinetuneConfig

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_regcon.engine.finetune_events import FinetuneCheck, FinetuneStep

_ABOUT = (
    "A small network learns from everything you painted, in the background; go on painting, new "
    "strokes count at once. Every fifth stroke is kept back to judge it."
)


class TrainPanel(Section):
    """Starts and ends a training, and shows how good it gets.

    Attributes
    ----------
    start_wanted : Signal
        FinetuneConfig, str: train, beginning with these weights (empty: random ones).
    finish_wanted, cancel_wanted : Signal
        End now and keep the best; stop and keep nothing.
    use_wanted : Signal
        str: use the network of this name.
    """

    start_wanted = Signal(object, str)
    finish_wanted = Signal()
    cancel_wanted = Signal()
    use_wanted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Train", parent)
        self._form = ConfigForm(FinetuneConfig, self)
        self._start = Choice("Where the network begins.", self)
        start_form = QFormLayout()
        start_form.addRow(QLabel("Begin with"), self._start)
        self._train = ActionButton("Train", "Train a network on what is painted.", self._want_start)
        self._finish = ActionButton(
            "Finish now", "End now and keep the best network so far.", self.finish_wanted.emit
        )
        self._cancel = ActionButton(
            "Cancel", "Stop. Nothing is kept or changed.", self.cancel_wanted.emit
        )
        self._bar = QProgressBar(self)
        self._bar.setRange(0, 1000)
        self._curves = TrainingCurves(self)
        self._note = Hint()
        self._use = ActionButton(
            "Use it",
            "Segment with this network. To go back, choose another method or other weights under "
            "Model.",
            lambda: self.use_wanted.emit(self._made),
        )
        self._made = ""
        self.fill(Hint(_ABOUT), self._form, start_form, self._train, self._bar)
        self.fill(row_of(self._finish, self._cancel), self._curves, self._note, self._use)
        self.list_starts([])
        self.show_running(False)
        self._curves.hide()
        self._use.hide()

    def list_starts(self, names: Sequence[str]) -> None:
        """List the pre-trained weights that a training can begin with, beside random ones."""
        chosen = self._start.currentData()
        self._start.clear()
        for name in names:
            self._start.addItem(name, name)
        self._start.addItem("random weights", "")
        self._start.setCurrentIndex(max(0, self._start.findData(chosen)))

    def allow(self, why_not: str) -> None:
        """Enable training, or say why it cannot begin."""
        self._train.allow(why_not)

    def show_running(self, running: bool) -> None:
        """Show whether a training is under way."""
        for widget in (self._bar, self._finish, self._cancel):
            widget.setVisible(running)
        self._train.setVisible(not running)
        self._form.setEnabled(not running)
        self._start.setEnabled(not running)
        if running:
            self._bar.setValue(0)
            self._bar.setFormat("starting…")
            self._curves.begin()
            self._curves.show()
            self._note.say("")
            self._use.hide()

    def show_step(self, step: FinetuneStep) -> None:
        """Show how far it is."""
        self._bar.setValue(int(1000 * step.done))
        left = step.elapsed_s * (1 - step.done) / max(step.done, 1e-6)
        self._bar.setFormat(f"{100 * step.done:.0f} % · {duration(left)} left")
        self._curves.add_step(step)

    def show_check(self, check: FinetuneCheck, colors: Mapping[str, str]) -> None:
        """Show how good it is on strokes that it does not learn from."""
        self._curves.add_check(check, colors)

    def show_made(self, name: str, best: FinetuneCheck | None, steps: int) -> None:
        """Say what was made, and offer to use it."""
        self._made = name
        if best is None:
            judged = "No class has four strokes, so nothing was kept back to judge it by."
        else:
            found = ", ".join(f"{key} {value:.2f}" for key, value in best.dice.items())
            judged = f"On strokes that were kept back: {found} (1 is perfect)."
        self._note.say(f"Made {name} in {steps} steps. {judged}")
        self._use.show()

    def say(self, text: str) -> None:
        """Say what became of a training."""
        self._note.say(text)

    def _want_start(self) -> None:
        config = FinetuneConfig(**self._form.values())
        self.start_wanted.emit(config, str(self._start.currentData()))
