"""The section in which a network is trained on what is painted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QWidget

from napari_regcon._qt.parts import ActionButton
from napari_regcon._qt.training_section import TrainingSection
from napari_regcon.config import FinetuneConfig
from napari_regcon.engine.finetune_events import FEWEST_HELD

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_regcon.engine.finetune_events import FinetuneCheck, FinetuneStep

_ABOUT = (
    "A small network learns from everything you painted, in the background; go on painting, new "
    "strokes count at once. Every fifth stroke is kept back to judge it."
)
_USE = "Segment with this network. To go back, choose another method or other weights under Model."
_USED = " It is in use now; to go back, choose another method under Model."
_LOSS_COLOR = "#8a8f98"


class TrainPanel(TrainingSection):
    """Starts and ends a training on what is painted, and shows how good it gets.

    Attributes
    ----------
    go_on_wanted : Signal
        Go on with a training that the end of the engine has cut short.
    watch_wanted : Signal
        bool: show on the visible slice what is learnt so far.
    """

    CURVES = (
        "Grey: loss on what is learnt from (lower is better). In the colour of each class: Dice on "
        "strokes that were kept back (1 is perfect)."
    )

    go_on_wanted = Signal()
    watch_wanted = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        self._watch = QCheckBox("Show it while it learns")
        self._watch.setToolTip("Every few seconds, on the visible slice, in a layer of its own.")
        self._watch.setChecked(True)
        self._take_over = QCheckBox("Use it once it is better")
        self._take_over.setToolTip(
            "When training ends, the network takes the place of the pixel classifier if it is "
            "better on the strokes that were kept back."
        )
        self._take_over.setChecked(True)
        self._go_on = ActionButton(
            "Continue training",
            "Go on with the training that was cut short, from where it was last kept.",
            self._want_go_on,
        )
        super().__init__(
            "Train",
            _ABOUT,
            FinetuneConfig,
            ("Train", "Train a network on what is painted."),
            _USE,
            parent,
            before=(self._watch, self._take_over, self._go_on),
        )
        self._watch.toggled.connect(self.watch_wanted)
        self._go_on.hide()

    @property
    def takes_over(self) -> bool:
        """Whether a network that is better is to be used at once."""
        return bool(self._take_over.isChecked())

    def offer_to_go_on(self, can_go_on: bool) -> None:
        """Show whether a training that was cut short can go on."""
        self._go_on.setVisible(can_go_on)

    def show_step(self, step: FinetuneStep) -> None:
        """Show how far it is, and the losses."""
        super().show_step(step)
        self._curves.add("loss", _LOSS_COLOR, step.step, step.loss, smooth=True)

    def show_check(self, check: FinetuneCheck, colors: Mapping[str, str]) -> None:
        """Show how good it is on strokes that it does not learn from."""
        for name, value in check.dice.items():
            self._curves.add(name, colors.get(name, _LOSS_COLOR), check.step, value)

    def show_made(
        self, name: str, best: FinetuneCheck | None, steps: int, *, used: bool = False
    ) -> None:
        """Say what was made and how good it is, and offer to use it unless it is used already."""
        self._offer(name, f"Made {name} in {steps} steps. {verdict(best)}{_USED if used else ''}")
        self._use.setVisible(not used)

    def _want_go_on(self) -> None:
        self.go_on_wanted.emit()


def verdict(best: FinetuneCheck | None) -> str:
    """Say how good a network is on strokes kept back, and beside the pixel classifier."""
    if best is None:
        return "No class has four strokes, so nothing was kept back to judge it by."
    told = f"On strokes that were kept back: {_figures(best.dice)} (1 is perfect)"
    rival = best.mean_rival
    if rival is None:
        return f"{told}."
    beside = f"{told}; the pixel classifier: {_figures(best.rival)}."
    if best.may_take_over:
        return f"{beside} The network is better."
    if best.mean_dice <= rival:
        return f"{beside} The network is not better: keep what you have, or paint and train more."
    return (
        f"{beside} That may be chance: with fewer than {FEWEST_HELD} strokes of a class kept back "
        "look at both before you choose."
    )


def _figures(dice: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in dice.items())
