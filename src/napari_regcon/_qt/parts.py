"""Small widgets that all sections of the dock are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import (
    QComboBox,
    QGraphicsOpacityEffect,
    QHBoxLayout,
    QLabel,
    QLayout,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QWidget,
)
from superqt import QCollapsible

if TYPE_CHECKING:
    from collections.abc import Callable

_NO_LIMIT = 16777215
_HEADER_STYLE = """
QPushButton, QPushButton:checked {
    text-align: left; font-weight: bold; padding: 6px 2px;
    background: transparent; border: none; border-radius: 0px;
    border-top: 1px solid rgba(127, 127, 127, 90);
}
QPushButton:hover { background: rgba(127, 127, 127, 45); }
"""


class Section(QCollapsible):
    """A part of the dock that folds, and grows with what is in it.

    Parameters
    ----------
    title : str
        Its heading.
    parent : QWidget, optional
        Owner.
    """

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(title, parent, expandedIcon=QIcon(), collapsedIcon=QIcon())
        self._title = title
        self._summary = ""
        self.setDuration(0)
        self.layout().setContentsMargins(0, 0, 0, 0)
        self.layout().setSpacing(0)
        self.content().layout().setContentsMargins(8, 2, 4, 10)
        self.content().layout().setSpacing(6)
        button = self.toggleButton()
        button.setStyleSheet(_HEADER_STYLE)
        button.setToolTip(f"Show or hide the section “{title}”.")
        self.toggled.connect(self._after_toggle)
        self._after_toggle(False)

    def fill(self, *items: QWidget | QLayout) -> None:
        """Put widgets and layouts below each other."""
        for item in items:
            if isinstance(item, QLayout):
                self.content().layout().addLayout(item)
            else:
                self.content().layout().addWidget(item)

    def summarise(self, text: str) -> None:
        """Show a few words next to the heading while the section is folded."""
        self._summary = text
        self._after_toggle(self.isExpanded())

    def _after_toggle(self, is_open: bool) -> None:
        # The height that the base class sets does not follow what is added later.
        self.content().setMaximumHeight(_NO_LIMIT)
        self.content().setVisible(is_open)
        summary = f"   ·   {self._summary}" if self._summary and not is_open else ""
        self.setText(f"{'▾' if is_open else '▸'}  {self._title}{summary}")


class Hint(QLabel):
    """A line of small, muted text that wraps and hides while it is empty.

    Parameters
    ----------
    text : str, optional
        What it says.
    """

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        muted = QGraphicsOpacityEffect(self)  # right in every theme
        muted.setOpacity(0.75)
        self.setGraphicsEffect(muted)
        self.setText(text)
        if not text:  # else it would be shown empty together with its parent
            self.hide()

    def say(self, text: str) -> None:
        """Show a text, or nothing."""
        if text == self.text() and self.isHidden() == (not text):
            return
        self.setText(text)
        self.setVisible(bool(text))


def allow(control: QWidget, tooltip: str, why_not: str = "") -> None:
    """Enable a control, or disable it and say why after what it does."""
    control.setEnabled(not why_not)
    control.setToolTip(f"{tooltip}\nNot now: {why_not}" if why_not else tooltip)


class ActionButton(QPushButton):
    """A button that says why it is disabled.

    Parameters
    ----------
    text : str
        What is on it.
    tooltip : str
        What it does.
    action : callable
        Called without arguments when it is clicked.
    compact : bool
        Just as wide as its text. Otherwise buttons side by side are equally wide, and never
        make the dock wider.
    """

    def __init__(
        self,
        text: str,
        tooltip: str,
        action: Callable[[], object],
        parent: QWidget | None = None,
        *,
        compact: bool = False,
    ) -> None:
        super().__init__(text, parent)
        self._tooltip = tooltip
        self._why_not = ""
        self.setToolTip(tooltip)
        width = QSizePolicy.Policy.Fixed if compact else QSizePolicy.Policy.Ignored
        self.setSizePolicy(width, QSizePolicy.Policy.Fixed)
        self.clicked.connect(action)

    def explain(self, tooltip: str) -> None:
        """Say something else about what it does."""
        self._tooltip = tooltip
        self._why_not = ""
        self.setToolTip(tooltip)

    def allow(self, why_not: str = "") -> None:
        """Enable it, or disable it and say why."""
        if why_not == self._why_not and self.isEnabled() == (not why_not):
            return
        self._why_not = why_not
        allow(self, self._tooltip, why_not)


class Choice(QComboBox):
    """A drop-down list that is no wider than there is room.

    Parameters
    ----------
    tooltip : str
        What is chosen.
    """

    def __init__(self, tooltip: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setToolTip(tooltip)
        self.setSizeAdjustPolicy(self.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(5)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)


class CrossButton(QToolButton):
    """A small cross that removes the row it stands in."""

    def __init__(
        self, tooltip: str, action: Callable[[], object], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setText("✕")
        self.setAutoRaise(True)
        self.setFixedSize(QSize(18, 18))
        self.setToolTip(tooltip)
        self.clicked.connect(action)


class StateLine(QWidget):
    """A dot and a line of text: idle, busy or failed.

    Attributes
    ----------
    KINDS : dict
        Colour of the dot for each state.
    dismissed : Signal
        The user has read a failure.
    """

    KINDS = {"idle": "#4caf72", "busy": "#f5a31a", "failed": "#e0463c", "off": "#8a8f98"}  # noqa: RUF012
    dismissed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._dot = QLabel(self)
        self._text = QLabel(self)
        self._text.setWordWrap(True)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self._cross = CrossButton("Dismiss this message.", self.dismissed.emit, self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._dot, 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(self._text, 1)
        row.addWidget(self._cross, 0, Qt.AlignmentFlag.AlignTop)
        self.kind = ""
        self.show_state("off", "")

    @property
    def text(self) -> str:
        """What it says."""
        return str(self._text.text())

    def show_state(self, kind: str, text: str, tooltip: str = "") -> None:
        """Show a state.

        Parameters
        ----------
        kind : str
            ``"idle"``, ``"busy"``, ``"failed"`` or ``"off"``.
        text : str
            What it says.
        tooltip : str, optional
            More about it.
        """
        if (kind, text) == (self.kind, self.text):
            return
        self.kind = kind
        self._dot.setPixmap(disc(self.KINDS[kind], 14))
        self._text.setText(text)
        self.setToolTip(tooltip or text)
        self._cross.setVisible(kind == "failed")


def disc(color: str, size_px: int) -> QPixmap:
    """Return a picture of a filled disc."""
    pixmap = QPixmap(size_px, size_px)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(color))
    painter.drawEllipse(3, 3, size_px - 6, size_px - 6)
    painter.end()
    return pixmap


def swatch(color: str, size_px: int = 16) -> QIcon:
    """Return a coloured square."""
    pixmap = QPixmap(size_px, size_px)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(color))
    painter.drawRoundedRect(1, 1, size_px - 2, size_px - 2, 3, 3)
    painter.end()
    icon = QIcon(pixmap)
    icon.addPixmap(pixmap, QIcon.Mode.Selected)  # not tinted where its row is selected
    return icon


def empty(layout: QLayout) -> None:
    """Remove all widgets from a layout at once."""
    while layout.count():
        widget = layout.takeAt(0).widget()
        if widget is not None:
            widget.hide()
            widget.deleteLater()


def row_of(*widgets: QWidget) -> QHBoxLayout:
    """Return a layout with widgets next to each other."""
    row = QHBoxLayout()
    row.setSpacing(6)
    for widget in widgets:
        row.addWidget(widget)
    return row
