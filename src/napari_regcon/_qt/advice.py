"""Says which method suits what is painted, and why, with a button that chooses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_regcon._qt.parts import ActionButton, Hint

if TYPE_CHECKING:
    from napari_regcon.session.advice import Advice


class AdviceBox(QWidget):
    """Recommends a method.

    Attributes
    ----------
    followed : Signal
        str: name of the method that the user wants to use.
    """

    followed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._method = ""
        self._text = Hint()
        self._use = ActionButton(
            "Use it", "Choose the method that is recommended.", self._on_follow
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._text)
        layout.addWidget(self._use)
        self.hide()

    def show_advice(self, advice: Advice | None, name: str, chosen: str) -> None:
        """Show what is recommended.

        Parameters
        ----------
        advice : Advice or None
            None where nothing is painted yet.
        name : str
            What the method is called in the dock.
        chosen : str
            The method that is chosen now.
        """
        self.setVisible(advice is not None)
        if advice is None:
            return
        self._method = advice.method
        is_chosen = advice.method == chosen
        self._text.say(f"{'Suits' if is_chosen else 'Recommended'}: {name}. {advice.why}")
        # A network that is yet to be trained cannot be chosen.
        self._use.setVisible(not is_chosen and advice.method != "fine-tuned")

    def _on_follow(self) -> None:
        self.followed.emit(self._method)
