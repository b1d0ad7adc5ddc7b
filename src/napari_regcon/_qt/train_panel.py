"""The section in which a network is trained on what is painted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_regcon._qt.training_section import TrainingSection
from napari_regcon.config import FinetuneConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qtpy.QtWidgets import QWidget

    from napari_regcon.engine.finetune_events import FinetuneCheck, FinetuneStep

_ABOUT = (
    "A small network learns from everything you painted, in the background; go on painting, new "
    "strokes count at once. Every fifth stroke is kept back to judge it."
)
_USE = "Segment with this network. To go back, choose another method or other weights under Model."
_LOSS_COLOR = "#8a8f98"


class TrainPanel(TrainingSection):
    """Starts and ends a training on what is painted, and shows how good it gets."""

    CURVES = (
        "Grey: loss on what is learnt from (lower is better). In the colour of each class: Dice on "
        "strokes that were kept back (1 is perfect)."
    )

    def __init__(self, parent: QWidget | None = None) -> None:
        button = ("Train", "Train a network on what is painted.")
        super().__init__("Train", _ABOUT, FinetuneConfig, button, _USE, parent)

    def show_step(self, step: FinetuneStep) -> None:
        """Show how far it is."""
        self._show_progress(step)
        self._curves.add("loss", _LOSS_COLOR, step.step, step.loss, smooth=True)

    def show_check(self, check: FinetuneCheck, colors: Mapping[str, str]) -> None:
        """Show how good it is on strokes that it does not learn from."""
        for name, value in check.dice.items():
            self._curves.add(name, colors.get(name, _LOSS_COLOR), check.step, value)

    def show_made(self, name: str, best: FinetuneCheck | None, steps: int) -> None:
        """Say what was made, and offer to use it."""
        if best is None:
            judged = "No class has four strokes, so nothing was kept back to judge it by."
        else:
            found = ", ".join(f"{key} {value:.2f}" for key, value in best.dice.items())
            judged = f"On strokes that were kept back: {found} (1 is perfect)."
        self._offer(name, f"Made {name} in {steps} steps. {judged}")
