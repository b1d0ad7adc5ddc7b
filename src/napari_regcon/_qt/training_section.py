"""A section of the dock that trains something in the background, and shows how it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QLabel, QProgressBar, QWidget

from napari_regcon._qt.forms import ConfigForm
from napari_regcon._qt.parts import ActionButton, Choice, Hint, Section, allow, row_of
from napari_regcon._qt.segment_panel import duration
from napari_regcon._qt.training_curves import TrainingCurves

if TYPE_CHECKING:
    from collections.abc import Sequence


_BEGIN = "Where the network begins."
_RUNNING = "a training is under way, with what was chosen when it began."


class TrainingSection(Section):
    """Starts and ends a training; what is trained, and how good it is, is a subclass's affair.

    Parameters
    ----------
    title, about : str
        Heading, and what it is for in one or two sentences.
    config : type
        Class of the parameters.
    train : (str, str)
        What is on the button that starts it, and what that does.
    use : str
        What the button does that uses the result.
    parent : QWidget, optional
        Owner.
    before : sequence of QWidget
        Shown above the button that starts it.

    Attributes
    ----------
    start_wanted : Signal
        Parameters, str: train, beginning with these weights (empty: random ones).
    finish_wanted, cancel_wanted : Signal
        End now and keep the best; stop and keep nothing.
    pause_wanted : Signal
        bool: wait, or go on.
    use_wanted : Signal
        str: use the network of this name.
    """

    CURVES = ""
    """What the curves show."""

    start_wanted = Signal(object, str)
    finish_wanted = Signal()
    cancel_wanted = Signal()
    pause_wanted = Signal(bool)
    use_wanted = Signal(str)

    def __init__(
        self,
        title: str,
        about: str,
        config: type,
        train: tuple[str, str],
        use: str,
        parent: QWidget | None = None,
        *,
        before: Sequence[QWidget] = (),
    ) -> None:
        super().__init__(title, parent)
        self._config = config
        self._form = ConfigForm(config, self)
        self._start = Choice(_BEGIN, self)
        start_form = QFormLayout()
        start_form.addRow(QLabel("Begin with"), self._start)
        self._train = ActionButton(*train, self._want_start)
        self._pause = ActionButton("Pause", "", self._want_pause)
        self._paused = False
        self._finish = ActionButton(
            "Finish now", "End now and keep the best network so far.", self.finish_wanted.emit
        )
        self._cancel = ActionButton(
            "Cancel", "Stop. Nothing is kept or changed.", self.cancel_wanted.emit
        )
        self._bar = QProgressBar(self)
        self._bar.setRange(0, 1000)
        self._curves = TrainingCurves(self.CURVES, self)
        self._note = Hint()
        self._use = ActionButton("Use it", use, lambda: self.use_wanted.emit(self._made))
        self._made = ""
        self._while_running = (self._bar, self._pause, self._finish, self._cancel)
        self.fill(Hint(about), self._form, start_form, *before, self._train, self._bar)
        self.fill(row_of(*self._while_running[1:]), self._curves, self._note, self._use)
        self._has_starts = False
        self.list_starts([])
        self.show_running(False)
        self.show_paused(False)
        self._curves.hide()
        self._use.hide()

    def list_starts(self, names: Sequence[str]) -> None:
        """List the weights to begin with, beside random ones; at first the first is chosen."""
        chosen = self._start.currentData() if self._has_starts else None
        self._has_starts = bool(names)
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
        began = running and self._bar.isHidden()
        for widget in self._while_running:
            widget.setVisible(running)
        self._train.setVisible(not running)
        self._form.allow(_RUNNING if running else "")
        allow(self._start, _BEGIN, _RUNNING if running else "")
        if began:
            self._begin()

    def show_paused(self, paused: bool) -> None:
        """Show whether the training waits."""
        self._paused = paused
        self._pause.setText("Go on" if paused else "Pause")
        self._pause.explain(
            "Let the training go on." if paused else "Let the training wait; nothing is lost."
        )
        if paused:
            self._bar.setFormat("paused")

    def _begin(self) -> None:
        """Forget what was shown of the training before."""
        self._bar.setValue(0)
        self._bar.setFormat("starting…")
        self._curves.begin()
        self._curves.show()
        self._note.say("")
        self._use.hide()

    def show_step(self, step: Any) -> None:
        """Show how far it is.

        Parameters
        ----------
        step : FinetuneStep or PretrainStep
            Has ``done``, 0 to 1, and ``elapsed_s``.
        """
        self._bar.setValue(int(1000 * step.done))
        left = step.elapsed_s * (1 - step.done) / max(step.done, 1e-6)
        self._bar.setFormat(f"{100 * step.done:.0f} % · {duration(left)} left")

    def say(self, text: str) -> None:
        """Say what became of a training."""
        self._note.say(text)

    def _offer(self, name: str, text: str) -> None:
        """Say what was made, and offer to use it."""
        self._made = name
        self._note.say(text)
        self._use.show()

    def _want_pause(self) -> None:
        self.pause_wanted.emit(not self._paused)

    def _want_start(self) -> None:
        config: Any = self._config(**self._form.values())
        self.start_wanted.emit(config, str(self._start.currentData()))
