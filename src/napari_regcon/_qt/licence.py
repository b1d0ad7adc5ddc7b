"""Asks whether a licence is accepted, in the dock, while everything else goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFrame, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_regcon._qt.parts import ActionButton, row_of

if TYPE_CHECKING:
    from napari_regcon.engine.weights import WeightsEntry

LINK = "#4a90e2"
"""To be read in dark and light themes."""


class LicenceBox(QFrame):
    """Shows the licence of weights and waits for an answer; hidden while there is no question.

    Attributes
    ----------
    answered : Signal
        bool: whether the licence is accepted.
    """

    answered = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self._text = QLabel(self)
        self._text.setWordWrap(True)
        self._text.setOpenExternalLinks(True)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self._text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self._yes = ActionButton(
            "I accept", "Accept the licence, once for all, and go on.", self._accept, self
        )
        self._no = ActionButton("Not now", "Leave everything as it is.", self._refuse, self)
        column = QVBoxLayout(self)
        column.addWidget(self._text)
        column.addLayout(row_of(self._yes, self._no))
        self.hide()

    def ask(self, entry: WeightsEntry) -> None:
        """Ask about the licence of some weights."""
        self._text.setText(
            f"The weights <b>{entry.name}</b> come under the licence "
            f'<a style="color: {LINK}" href="{entry.licence_url}">{entry.licence}</a>. '
            f"They, and what is trained from them, may be used <b>for research only</b>."
            f"<br>Please cite: {entry.citation}.<br>"
            "Do you accept this? You are asked once."
        )
        self.show()

    def _accept(self) -> None:
        self.hide()
        self.answered.emit(True)

    def _refuse(self) -> None:
        self.hide()
        self.answered.emit(False)
