"""The section in which the image is chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QGridLayout, QWidget

from napari_regcon._qt.layers import role_of
from napari_regcon._qt.parts import ActionButton, Choice, Hint, Section, empty, row_of
from napari_regcon.session.geometry import is_usable

if TYPE_CHECKING:
    from napari.components import LayerList

    from napari_regcon.session.geometry import Geometry

AXIS_NAMES = {"T": "time", "Z": "depth", "Y": "rows", "X": "columns", "C": "channel"}
AXES_IN_A_ROW = 3
SAMPLE = "Electron microscopy phantom"
"""As the manifest calls it."""


class ImagePanel(Section):
    """Chooses an image layer and says what its axes mean.

    Parameters
    ----------
    layers : napari.components.LayerList
        The layers of the viewer.

    Attributes
    ----------
    chosen : Signal
        Image layer, or None.
    axes_chosen : Signal
        str: one letter per slider.
    """

    chosen = Signal(object)
    axes_chosen = Signal(str)

    def __init__(self, layers: LayerList, parent: QWidget | None = None) -> None:
        super().__init__("Image", parent)
        self._layers = layers
        self._listed: list[Image] = []
        self._combo = Choice("The image to segment.", self)
        self._combo.activated.connect(self._on_activated)
        self._about = Hint()
        self._axes_box = QWidget(self)
        self._axes_row = QGridLayout(self._axes_box)
        self._axes_row.setContentsMargins(0, 0, 0, 0)
        self._axes_box.hide()
        self._axes: list[QComboBox] = []
        self._change = ActionButton(
            "Axes…",
            "Say what the axes mean, if they were not guessed right.",
            self._toggle_axes,
            compact=True,
        )
        self._trouble = Hint()
        about_row = row_of(self._about, self._change)
        about_row.setStretch(0, 1)
        self.fill(self._combo, about_row, self._axes_box, self._trouble)
        layers.events.inserted.connect(self._update_list)
        layers.events.removed.connect(self._update_list)
        layers.events.reordered.connect(self._update_list)
        self.expand(animate=False)

    def start(self) -> None:
        """Choose an image: the selected one, else the first."""
        self._update_list()

    def show_current(self, layer: Image | None, geometry: Geometry | None) -> None:
        """Show which image is chosen and what its axes mean."""
        self._trouble.say("")
        self._combo.setCurrentIndex(self._listed.index(layer) if layer in self._listed else -1)
        self._show_axes(geometry)
        if geometry is None or layer is None:
            empty = f"Open an image, or take one to try: File > Open Sample > {SAMPLE}."
            self._about.say("" if self._combo.count() else empty)
            return
        sizes = " × ".join(str(n) for n in geometry.label_shape)
        letters = ", ".join(geometry.label_axes.lower())
        channels = ", in colour" if geometry.rgb else ""
        channels = ", with channels" if "C" in geometry.letters else channels
        self._about.say(f"{sizes} pixels ({letters}){channels}{_pixel_size(layer, geometry)}")

    def show_trouble(self, text: str) -> None:
        """Say why an image cannot be used."""
        self._trouble.say(text)

    def close_panel(self) -> None:
        """Stop listening to the viewer."""
        for event in ("inserted", "removed", "reordered"):
            getattr(self._layers.events, event).disconnect(self._update_list)
        self._unlist()

    def _unlist(self) -> None:
        for layer in self._listed:
            layer.events.name.disconnect(self._update_names)
        self._listed = []
        self._combo.clear()

    def _update_list(self, _event: Any = None) -> None:
        index = self._combo.currentIndex()
        before = self._listed[index] if index >= 0 else self._layers.selection.active
        self._unlist()
        self._listed = [x for x in self._layers if isinstance(x, Image) and not role_of(x)]
        for layer in self._listed:
            self._combo.addItem(layer.name)
            layer.events.name.connect(self._update_names)
        index = self._listed.index(before) if before in self._listed else 0
        self._combo.setCurrentIndex(index)
        if not self._listed:
            self.show_current(None, None)
        self.chosen.emit(self._listed[index] if self._listed else None)

    def _update_names(self, _event: Any = None) -> None:
        for index, layer in enumerate(self._listed):
            self._combo.setItemText(index, layer.name)

    def _on_activated(self, index: int) -> None:
        self.chosen.emit(self._listed[index])

    def _show_axes(self, geometry: Geometry | None) -> None:
        empty(self._axes_row)
        self._axes = []
        has_choice = geometry is not None and len(geometry.letters) > 2
        self._change.setVisible(has_choice)
        if geometry is None or not has_choice:
            self._axes_box.hide()
            return
        for letter in geometry.letters:
            combo = Choice("What this axis means, in the order of the sliders.", self._axes_box)
            for key, name in AXIS_NAMES.items():
                combo.addItem(name, key)
            combo.setCurrentIndex(list(AXIS_NAMES).index(letter))
            combo.activated.connect(self._on_axes)
            n = len(self._axes)
            self._axes_row.addWidget(combo, n // AXES_IN_A_ROW, n % AXES_IN_A_ROW)
            self._axes.append(combo)

    def _toggle_axes(self) -> None:
        self._axes_box.setVisible(self._axes_box.isHidden())

    def _on_axes(self, _index: int) -> None:
        letters = "".join(combo.currentData() for combo in self._axes)
        if is_usable(letters):
            self.axes_chosen.emit(letters)
        else:
            self._trouble.say("Every axis needs another meaning, with rows and columns among them.")


def _pixel_size(layer: Image, geometry: Geometry) -> str:
    """Return a line on the size of a pixel, or nothing where nobody said anything about it."""
    sizes = [float(layer.scale[axis]) for axis in geometry.order]
    unit = f"{layer.units[geometry.order[-1]]:~}"
    if unit in ("px", "pixel"):
        if len(set(sizes)) == 1:
            return ""
        unit = "(no unit)"
    return f"\nA pixel is {' × '.join(f'{size:g}' for size in sizes)} {unit}."
