"""The section in which classes are named, painted and marked complete."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_regcon._qt.class_list import ClassList
from napari_regcon._qt.fill_box import FillBox
from napari_regcon._qt.parts import ActionButton, Choice, CrossButton, Hint, Section, empty, row_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari.layers import Labels

    from napari_regcon.session.classes import ClassTable
    from napari_regcon.session.marks import Mark


class LabelsPanel(Section):
    """Shows the classes and the label layer; announces what the user wants.

    Attributes
    ----------
    new_layer_wanted, add_wanted, slice_complete, box_complete : Signal
        Make a label layer, add a class, mark the slice or the drawn boxes.
    layer_chosen : Signal
        Labels layer to paint on.
    remove_wanted : Signal
        int: label value of a class to remove.
    unmark_wanted : Signal
        Mark to take away.
    bring_back_wanted, discard_wanted : Signal
        Go on with the earlier session that was offered, or delete it.
    classes, filling : ClassList, FillBox
        The list, and the buttons that fill a slice, with signals of their own.
    """

    new_layer_wanted = Signal()
    layer_chosen = Signal(object)
    add_wanted = Signal()
    remove_wanted = Signal(int)
    slice_complete = Signal()
    box_complete = Signal()
    unmark_wanted = Signal(object)
    bring_back_wanted = Signal()
    discard_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Labels", parent)
        self._listed: list[Labels] = []
        self._layer = Choice("The label layer you paint on.", self)
        self._layer.activated.connect(lambda i: self.layer_chosen.emit(self._listed[i]))
        self._new = ActionButton(
            "New",
            "Make an empty label layer for this image.",
            self.new_layer_wanted.emit,
            compact=True,
        )
        self.classes = ClassList(self)
        self._how = Hint("Click a class, then paint a few strokes of it on the image.")
        self._add = ActionButton(
            "Add class", "Add something else to tell apart.", self.add_wanted.emit
        )
        self._remove = ActionButton(
            "Remove class",
            "Remove the selected class.",
            lambda: self.remove_wanted.emit(self.classes.picked_value()),
        )
        self._slice = ActionButton(
            "Slice is complete",
            "Say that everything on this slice is painted: what is unpainted is background.",
            self.slice_complete.emit,
        )
        self._box = ActionButton(
            "Box is complete",
            "Say that everything inside the drawn rectangles is painted. Draw them in a shapes "
            "layer; the selected ones count, or all if none is selected.",
            self.box_complete.emit,
        )
        self.filling = FillBox(self)
        self._marks_box = QWidget(self)
        self._marks = QVBoxLayout(self._marks_box)
        self._marks.setContentsMargins(0, 0, 0, 0)
        self._marks.setSpacing(0)
        self._marks_box.hide()
        self._trouble = Hint()
        self._earlier = Hint()
        self._bring = ActionButton(
            "Bring back", "Go on with what you painted then.", self.bring_back_wanted.emit
        )
        self._discard = ActionButton(
            "Discard", "Delete what was saved then.", self.discard_wanted.emit
        )
        self._earlier_box = QWidget(self)
        earlier = QVBoxLayout(self._earlier_box)
        earlier.setContentsMargins(0, 0, 0, 0)
        earlier.addWidget(self._earlier)
        earlier.addLayout(row_of(self._bring, self._discard))
        self._earlier_box.hide()
        layer_row = row_of(self._layer, self._new)
        layer_row.setStretch(0, 1)
        self.fill(
            self._earlier_box, layer_row, self.classes, self._how, row_of(self._add, self._remove)
        )
        self.fill(row_of(self._slice, self._box), self.filling, self._marks_box, self._trouble)
        self.expand(animate=False)

    def show_layers(self, layers: Sequence[Labels], current: Labels | None) -> None:
        """List the layers that can be painted on."""
        self._listed = list(layers)
        self._layer.clear()
        for layer in layers:
            self._layer.addItem(layer.name)
        self._layer.setCurrentIndex(self._listed.index(current) if current in layers else -1)
        self._layer.setPlaceholderText("choose, or make a new layer →")

    def show_classes(self, table: ClassTable, counts: Mapping[int, int], picked: int) -> None:
        """Show the classes."""
        self.classes.show_classes(table, counts, picked)
        self._how.setVisible(not counts)
        why = ""
        if len(table) <= 2:
            why = "at least two classes are needed. Rename one instead."
        elif counts.get(picked, 0):
            why = "this class is painted. Erase it first."
        self._remove.allow(why)

    def show_marks(self, marks: Sequence[Mark]) -> None:
        """List the parts that are complete."""
        empty(self._marks)
        for mark in marks:
            self._marks.addWidget(self._mark_row(mark))
        self._marks_box.setVisible(bool(marks))

    def allow(self, *, no_image: bool, why_no_slice: str, why_no_box: str) -> None:
        """Enable what can be done now."""
        missing = "choose an image first." if no_image else ""
        self._new.allow(missing)
        self._slice.allow(missing or why_no_slice)
        self._box.allow(missing or why_no_box)

    def _mark_row(self, mark: Mark) -> QWidget:
        line = QWidget(self._marks_box)
        text = QLabel(f"✓  complete: {mark.describe()}", line)
        row = row_of(text, CrossButton("No longer complete.", partial(self._unmark, mark), line))
        row.setStretch(0, 1)
        row.setContentsMargins(2, 0, 0, 0)
        line.setLayout(row)
        return line

    def _unmark(self, mark: Mark) -> None:
        self.unmark_wanted.emit(mark)

    def offer(self, text: str) -> None:
        """Offer an earlier session, or no longer."""
        self._earlier.say(text)
        self._earlier_box.setVisible(bool(text))

    def show_trouble(self, text: str) -> None:
        """Say what cannot be done, or nothing."""
        self._trouble.say(text)
