"""The sections of the dock below each other: scrolls up and down, and never cuts anything off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qtpy.QtCore import QObject

LEAST_PX = 320


class Column(QScrollArea):
    """A column that is at least as wide as what is in it needs.

    Parameters
    ----------
    items : iterable of QWidget
        From top to bottom.
    parent : QWidget, optional
        Owner.
    """

    def __init__(self, items: Iterable[QWidget], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        inner = QWidget(self)
        column = QVBoxLayout(inner)
        column.setContentsMargins(6, 4, 10, 6)
        column.setSpacing(4)
        for item in items:
            column.addWidget(item)
        column.addStretch(1)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(inner)
        inner.installEventFilter(self)
        self.setMinimumWidth(LEAST_PX)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 - a name of Qt
        """Grow wider when a section that unfolds needs it."""
        if watched is self.widget() and event.type() == QEvent.Type.LayoutRequest:
            needed = self.widget().minimumSizeHint().width()
            bar = self.verticalScrollBar().sizeHint().width()  # before it is styled, too narrow
            needed += max(bar, self.width() - self.viewport().width())
            self.setMinimumWidth(max(LEAST_PX, needed))
        return bool(super().eventFilter(watched, event))
