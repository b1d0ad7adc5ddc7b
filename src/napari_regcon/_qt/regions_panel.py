"""The section in which regions are shown, coloured and painted with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QFormLayout, QSlider, QWidget

from napari_regcon._qt.parts import Choice, Hint, Section, row_of
from napari_regcon._qt.regions_layer import COLOR_BY
from napari_regcon.config import RegionsConfig, parameters

if TYPE_CHECKING:
    from collections.abc import Callable

_STEPS = 100
_SIMILARITY = 0.8


class RegionsPanel(Section):
    """Announces what the user wants to see of regions, and whether to paint with them.

    Attributes
    ----------
    shown_toggled, filled_toggled, brush_toggled : Signal
        bool: show regions, as areas; paint with them.
    granularity_changed, similarity_changed : Signal
        float from 0 to 1.
    color_by_changed : Signal
        str: a name in :data:`napari_regcon._qt.regions_layer.COLOR_BY`.
    """

    shown_toggled = Signal(bool)
    filled_toggled = Signal(bool)
    brush_toggled = Signal(bool)
    granularity_changed = Signal(float)
    similarity_changed = Signal(float)
    color_by_changed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Regions", parent)
        self._shown = self._box(
            "Show regions", "Cut the visible slice along its edges.", self._on_shown
        )
        self._filled = self._box("Filled", "Fill regions with colour.", self.filled_toggled.emit)
        self._brush = self._box(
            "Region brush",
            "Click or drag over regions to paint them with the selected class. Shift-click paints "
            "all similar regions in view, too. Ctrl+Z takes it back.",
            self._on_brush,
        )
        granularity = next(p for p in parameters(RegionsConfig) if p.name == "granularity")
        self._granularity = self._slider(
            granularity.default, granularity.help, self.granularity_changed.emit
        )
        self._similarity = self._slider(
            _SIMILARITY,
            "How similar regions must be to be painted by a shift-click; right = alike.",
            self.similarity_changed.emit,
        )
        self._color_by = Choice("What the colour of a region says.", self)
        for name, text in COLOR_BY.items():
            self._color_by.addItem(text, name)
        self._color_by.currentIndexChanged.connect(
            lambda _: self.color_by_changed.emit(self._color_by.currentData())
        )
        self._hint = Hint()
        form = QFormLayout()
        form.addRow(granularity.label, self._granularity)
        form.addRow("Colour", self._color_by)
        form.addRow("Similarity", self._similarity)
        self.fill(row_of(self._shown, self._filled, self._brush), form, self._hint)

    def set_granularity(self, granularity: float) -> None:
        """Cut as finely as this, from 0 to 1, as moving the slider would."""
        self._granularity.setValue(round(_STEPS * granularity))

    def take_brush(self) -> None:
        """Take the region brush in hand, as a click would."""
        self._brush.setChecked(True)

    def show_brush(self, on: bool) -> None:
        """Show whether the region brush is in hand."""
        self._brush.blockSignals(True)
        self._brush.setChecked(on)
        self._brush.blockSignals(False)

    def say(self, text: str) -> None:
        """Say what was done, or why not."""
        self._hint.say(text)

    def _on_shown(self, on: bool) -> None:
        self.shown_toggled.emit(on)
        if not on:
            self._brush.setChecked(False)

    def _on_brush(self, on: bool) -> None:
        if on:
            self._shown.setChecked(True)
        self.brush_toggled.emit(on)

    def _box(self, text: str, tooltip: str, changed: Callable[[bool], object]) -> QCheckBox:
        box = QCheckBox(text, self)
        box.setToolTip(tooltip)
        box.toggled.connect(changed)
        return box

    def _slider(self, value: float, tooltip: str, changed: Callable[[float], object]) -> QSlider:
        slider = QSlider(Qt.Orientation.Horizontal, self)
        slider.setRange(0, _STEPS)
        slider.setValue(round(_STEPS * value))
        slider.setToolTip(tooltip)
        slider.valueChanged.connect(lambda steps: changed(steps / _STEPS))
        return slider
