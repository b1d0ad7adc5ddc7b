"""The list of classes: pick one to paint, rename, recolour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QColorDialog,
    QHeaderView,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

from napari_regcon._qt.parts import swatch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_regcon.session.classes import ClassTable

_VALUE, _NAME, _COUNT = range(3)
_MOST_ROWS = 8
_ROW_PX = 24


class ClassList(QTreeWidget):
    """Shows the classes and announces what the user does to them.

    Attributes
    ----------
    picked : Signal
        int: paint this class from now on.
    renamed, recolored : Signal
        int, str: label value, and the new name or colour.
    """

    picked = Signal(int)
    renamed = Signal(int, str)
    recolored = Signal(int, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setColumnCount(3)
        self.setHeaderHidden(True)
        self.setRootIsDecorated(False)
        self.setIconSize(QSize(16, 16))
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setToolTip(
            "Click a class to paint it (or press Ctrl+1 … Ctrl+9).\n"
            "Double-click its name to rename it, its colour to change it."
        )
        header = self.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(_VALUE, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(_NAME, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(_COUNT, QHeaderView.ResizeMode.ResizeToContents)
        self.itemClicked.connect(self._on_clicked)
        self.itemDoubleClicked.connect(self._on_double_clicked)
        self.itemChanged.connect(self._on_changed)
        self._names: dict[int, str] = {}

    def show_classes(self, table: ClassTable, counts: Mapping[int, int], picked: int) -> None:
        """Show all classes, how many pixels are painted with each, and which is painted now."""
        self.blockSignals(True)
        if [c.value for c in table] != list(self._names):
            self.clear()
            for item in table:
                self._add_row(item.value)
        self._names = {c.value: c.name for c in table}
        for index, item in enumerate(table):
            row = self.topLevelItem(index)
            row.setIcon(_VALUE, swatch(item.color))
            row.setText(_NAME, item.name)
            n_px = counts.get(item.value, 0)
            row.setText(_COUNT, f"{n_px:,} px".replace(",", "\u2009") if n_px else "–")
            row.setSelected(item.value == picked)
        self.blockSignals(False)
        rows = min(max(len(table), 2), _MOST_ROWS)
        self.setFixedHeight(rows * _ROW_PX + 2 * self.frameWidth() + 4)

    def picked_value(self) -> int:
        """Return the label value of the selected row, 0 if there is none."""
        rows = self.selectedItems()
        return int(rows[0].data(_VALUE, Qt.ItemDataRole.UserRole)) if rows else 0

    def _add_row(self, value: int) -> None:
        row = QTreeWidgetItem(self)
        row.setText(_VALUE, str(value))
        row.setSizeHint(_VALUE, QSize(44, _ROW_PX))
        row.setData(_VALUE, Qt.ItemDataRole.UserRole, value)
        row.setFlags(row.flags() | Qt.ItemFlag.ItemIsEditable)
        row.setTextAlignment(_COUNT, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        row.setToolTip(_COUNT, "Pixels painted with this class.")

    def _value_of(self, row: QTreeWidgetItem) -> int:
        return int(row.data(_VALUE, Qt.ItemDataRole.UserRole))

    def _on_clicked(self, row: QTreeWidgetItem, _column: int) -> None:
        self.picked.emit(self._value_of(row))

    def _on_double_clicked(self, row: QTreeWidgetItem, column: int) -> None:
        if column == _NAME:
            self.editItem(row, _NAME)
            return
        color = QColorDialog.getColor(QColor("#ffffff"), self, "Colour of the class")
        if color.isValid():
            self.recolored.emit(self._value_of(row), color.name())

    def _on_changed(self, row: QTreeWidgetItem, column: int) -> None:
        value = self._value_of(row)
        if column == _NAME and row.text(_NAME) != self._names.get(value):
            self.renamed.emit(value, row.text(_NAME))
