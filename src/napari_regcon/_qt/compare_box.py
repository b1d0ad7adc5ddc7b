"""A switch with which a second method is shown beside the first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from napari_regcon._qt.parts import Choice, Hint, row_of

if TYPE_CHECKING:
    from collections.abc import Iterable


class CompareBox(QWidget):
    """Announces which method the user wants to compare with.

    Parameters
    ----------
    methods : iterable of (str, str)
        What methods are called in the dock, and their names.

    Attributes
    ----------
    changed : Signal
        The switch, or the method.
    """

    changed = Signal()

    def __init__(self, methods: Iterable[tuple[str, str]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._on = QCheckBox("Compare with", self)
        self._on.setToolTip(
            "Show what another method makes of the visible slice, to the right of the image."
        )
        self._method = Choice("The other method, with what was last set for it.", self)
        for text, name in methods:
            self._method.addItem(text, name)
        self._method.setCurrentIndex(1)
        self._hint = Hint()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        row = row_of(self._on, self._method)
        row.setStretch(1, 1)
        layout.addLayout(row)
        layout.addWidget(self._hint)
        self._on.toggled.connect(self.changed)
        self._method.currentIndexChanged.connect(
            lambda _: self._on.isChecked() and self.changed.emit()
        )

    @property
    def method(self) -> str:
        """Name of the method to compare with; empty while the switch is off."""
        return str(self._method.currentData()) if self._on.isChecked() else ""

    @property
    def text(self) -> str:
        """What it says."""
        return str(self._hint.text())

    def turn(self, on: bool) -> None:
        """Turn the switch, as a click would."""
        self._on.setChecked(on)

    def _on_method(self, _index: int) -> None:
        if self._on.isChecked():
            self.changed.emit()

    def say(self, text: str) -> None:
        """Say how much differs, or why nothing is compared."""
        self._hint.say(text)
