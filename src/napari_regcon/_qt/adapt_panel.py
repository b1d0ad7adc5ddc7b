"""The fold in which features are adapted to the open images, without labels."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QLabel

from napari_regcon._qt.parts import ActionButton, Hint
from napari_regcon._qt.training_section import TrainingSection
from napari_regcon.config import PretrainConfig
from napari_regcon.session.region_picture import distinct_colors

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_regcon.engine.pretrain_events import PretrainLook, PretrainStep

_ABOUT = (
    "Lets the network that gives the features get used to your images, all that were chosen under "
    "Image, in the background. Nothing needs to be painted. The preview shows whether it helps."
)
_USE = "Let the pixel classifier use these features together with its filters."
_LOSSES = {
    "episodes": ("small tasks", "#f5a31a"),
    "semantic": ("region contrast", "#4c9be8"),
    "grey": ("grey in regions", "#8a8f98"),
    "usage": ("use of regions", "#b07cd8"),
}
_RANK, _USED = ("features that differ", "#4caf72"), ("regions that differ", "#e0463c")


class AdaptPanel(TrainingSection):
    """Starts and ends an adaptation, and shows how it goes.

    Attributes
    ----------
    discard_wanted : Signal
        str: the features of this name are not wanted.
    """

    CURVES = (
        "Thin: losses, as a share of what they were at the beginning (lower is better). Thick: how "
        "many of the features, and of the regions, differ from each other, as a share of all; near "
        "0 means that nothing is learnt."
    )

    discard_wanted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        button = ("Adapt", "Train features on the chosen images. They need no labels.")
        title = "Adapt the features to my data"
        super().__init__(title, _ABOUT, PretrainConfig, button, _USE, parent)
        self._form.set_values(_defaults())
        self._picture = QLabel(self)
        self._picture.setToolTip(
            "The middle of an image at half its size. Each colour is one of the regions that the "
            "network tells apart; they should follow what you see."
        )
        self._state = Hint()
        self._discard = ActionButton("Discard", "Delete these features.", self._want_discard)
        self._first: dict[str, float] = {}
        self.fill(self._picture, self._state, self._discard)
        for widget in (self._picture, self._discard):
            widget.hide()
        self.use_wanted.connect(lambda _name: self._discard.hide())

    def _begin(self) -> None:
        super()._begin()
        self._first.clear()
        self._picture.hide()
        self._discard.hide()
        self._state.say("")

    def show_step(self, step: PretrainStep) -> None:
        """Show how far it is, and the losses."""
        super().show_step(step)
        for name, value in step.losses.items():
            first = self._first.setdefault(name, max(value, 1e-6))
            label, color = _LOSSES[name]
            self._curves.add(label, color, step.step, value / first, smooth=True)

    def show_look(self, look: PretrainLook) -> None:
        """Show what is learnt so far."""
        told = f"{look.effective_rank:.1f} of {look.n_features} features differ"
        self._curves.add(*_RANK, look.step, look.effective_rank / look.n_features)
        if look.picture is not None and look.regions is not None:
            told += f", {look.region_use:.1f} of {look.n_regions} regions"
            self._curves.add(*_USED, look.step, look.region_use / look.n_regions)
            self._picture.setPixmap(_drawn(look.picture, look.regions, look.n_regions))
            self._picture.show()
        self._state.say(f"{told}.")

    def show_made(self, name: str, steps: int) -> None:
        """Say what was made, and offer to use it or to throw it away."""
        text = (
            f"Made the features {name} in {steps} steps. Under Model they are among the weights of "
            "the pixel classifier. The preview shows whether they are better than those before."
        )
        self._offer(name, text)
        self._discard.show()

    def show_discarded(self) -> None:
        """Say that what was made is gone."""
        self._use.hide()
        self._discard.hide()
        self.say(f"{self._made} was deleted.")

    def _want_discard(self) -> None:
        self.discard_wanted.emit(self._made)


def _defaults() -> dict[str, Any]:
    """Return the parameters of the recipe "adapt", without what reading a recipe imports."""
    path = resources.files("napari_regcon") / "recipes" / "adapt.toml"
    found: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))["train"]
    return found


def _drawn(grey: np.ndarray, regions: np.ndarray, n_regions: int) -> QPixmap:
    """Return an image with each of its regions in a colour."""
    shade = (64 + 0.75 * grey[..., None]) / 255
    pixels = np.ascontiguousarray(distinct_colors(n_regions)[regions] * shade, dtype=np.uint8)
    height, width, _ = pixels.shape
    image = QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image)
