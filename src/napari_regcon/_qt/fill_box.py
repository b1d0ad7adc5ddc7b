"""Buttons that fill the visible slice from its strokes, and take or discard what was filled."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_regcon._qt.parts import ActionButton, CrossButton, Hint, row_of


class FillBox(QWidget):
    """Announces what the user wants to have filled.

    Attributes
    ----------
    fill_wanted, take_wanted, discard_wanted : Signal
        Fill the slice, make it complete, forget what was filled.
    """

    fill_wanted = Signal()
    take_wanted = Signal()
    discard_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._fill = ActionButton(
            "Fill slice",
            "Spread the strokes of this slice over its regions, so that every pixel is said. It is "
            "shown in a layer of its own; your strokes stay as they are.",
            self.fill_wanted.emit,
        )
        self._take = ActionButton(
            "Take it",
            "Paint what was filled where nothing is painted, and mark the slice as complete. "
            "Methods that need complete slices learn from it.",
            self.take_wanted.emit,
        )
        self._discard = CrossButton("Forget what was filled.", self.discard_wanted.emit, self)
        self._hint = Hint()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row_of(self._fill, self._take, self._discard))
        layout.addWidget(self._hint)
        self.allow("choose an image first.", is_filled=False)

    def allow(self, why_not: str, *, is_filled: bool) -> None:
        """Enable filling, or say why not; offer to take what is filled, if there is something."""
        self._fill.allow(why_not)
        self._take.setVisible(is_filled)
        self._discard.setVisible(is_filled)

    def say(self, text: str) -> None:
        """Say what was done, or why not."""
        self._hint.say(text)
