"""The section in which predictions are accepted, corrected and locked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QWidget

from napari_regcon._qt.parts import ActionButton, Choice, Hint, Section, allow, row_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Labels


class CorrectPanel(Section):
    """Announces what the user wants to accept, undo, lock or see next.

    Attributes
    ----------
    accept_wanted : Signal
        str: ``"slice"``, ``"object"``, ``"class"`` or ``"volume"``.
    undo_wanted, redo_wanted : Signal
        As their names say.
    lock_slice_wanted, lock_class_wanted, lock_object_wanted, unlock_wanted : Signal
        As their names say.
    start_wanted : Signal
        Labels layer to start from.
    learn_wanted, next_wanted : Signal
        Learn from the final labels of this slice; go where a stroke helps most.
    uncertainty_toggled : Signal
        bool: show how unsure the prediction is.
    teaching_toggled : Signal
        bool: whether what is painted into the final labels teaches the model.
    """

    accept_wanted = Signal(str)
    undo_wanted = Signal()
    redo_wanted = Signal()
    lock_slice_wanted = Signal()
    lock_class_wanted = Signal()
    lock_object_wanted = Signal()
    unlock_wanted = Signal()
    start_wanted = Signal(object)
    learn_wanted = Signal()
    next_wanted = Signal()
    uncertainty_toggled = Signal(bool)
    teaching_toggled = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Correct", parent)
        self._listed: list[Labels] = []
        self._accept = {kind: self._accept_button(kind, *texts) for kind, texts in _ACCEPT.items()}
        self._undo = ActionButton("Undo", _UNDO, self.undo_wanted.emit)
        self._redo = ActionButton("Redo", _REDO, self.redo_wanted.emit)
        self._next = ActionButton(
            "Where next?",
            "Go to the place where the model is least sure, far from your strokes (Ctrl+J).",
            self.next_wanted.emit,
        )
        self._unsure = QCheckBox("Show uncertainty", self)
        self._unsure.setToolTip(_UNSURE)
        self._unsure.toggled.connect(self.uncertainty_toggled)
        self._lock_slice = ActionButton(
            "Lock slice",
            "Never let the tool change the final labels of this slice; press again to unlock.",
            self.lock_slice_wanted.emit,
        )
        self._lock_class = ActionButton(
            "Lock class",
            "Never let the tool change pixels of the selected class; press again to unlock.",
            self.lock_class_wanted.emit,
        )
        self._lock_object = ActionButton(
            "Lock object",
            "Never let the tool change the object of the final labels that the mouse was last over "
            "(Ctrl+Shift+L).",
            self.lock_object_wanted.emit,
        )
        self._unlock = ActionButton(
            "Unlock all", "Remove all locks but those of your strokes.", self.unlock_wanted.emit
        )
        self._start = Choice("Labels made by another tool, to be corrected here.", self)
        self._use = ActionButton(
            "Start from it",
            "Copy these labels into the final labels. Numbered objects become the first class.",
            self._emit_start,
            compact=True,
        )
        self._learn = ActionButton(
            "Learn from this slice",
            "The final labels of this slice are right: use all of it as an example.",
            self.learn_wanted.emit,
        )
        self._teach = QCheckBox("Learn from what I correct", self)
        self._teach.setToolTip(_TEACH)
        self._teach.setChecked(True)
        self._teach.toggled.connect(self.teaching_toggled)
        self._locks = Hint()
        self._hint = Hint()
        accept = self._accept
        self.fill(row_of(accept["slice"], accept["object"]))
        self.fill(row_of(accept["class"], accept["volume"]), row_of(self._undo, self._redo))
        self.fill(row_of(self._next, self._unsure), self._hint)
        self.fill(row_of(self._lock_slice, self._lock_class))
        self.fill(row_of(self._lock_object, self._unlock), self._locks)
        start_row = row_of(self._start, self._use)
        start_row.setStretch(0, 1)
        self.fill(start_row, self._learn, self._teach)

    def allow_accept(self, why_not: str, why_no_slice: str = "") -> None:
        """Enable accepting, or say why it is disabled: all of it, or just that of the slice."""
        for kind, button in self._accept.items():
            button.allow(why_not or (why_no_slice if kind == "slice" else ""))

    def allow_history(self, undo: str, redo: str) -> None:
        """Name the steps that can be undone and redone; empty where there is none."""
        self._undo.explain(f"Take the last step back: {undo}." if undo else _UNDO)
        self._redo.explain(f"Do it again: {redo}." if redo else _REDO)
        self._undo.allow("" if undo else "nothing was accepted or segmented as a whole yet.")
        self._redo.allow("" if redo else "nothing was taken back.")

    def allow_guide(self, why_not: str) -> None:
        """Enable looking for the next place, or say why it is disabled."""
        self._next.allow(why_not)
        allow(self._unsure, _UNSURE, why_not)

    def allow_final(self, why_not: str, why_no_slice: str = "") -> None:
        """Enable what needs final labels, or say why it is disabled: all, or for the slice."""
        self._lock_class.allow(why_not)
        self._lock_object.allow(why_not)
        for button in (self._lock_slice, self._learn):
            button.allow(why_not or why_no_slice)

    def show_locks(self, text: str, *, slice_locked: bool) -> None:
        """Say what is locked."""
        self._lock_slice.setText("Unlock slice" if slice_locked else "Lock slice")
        self._locks.say(f"Locked: your strokes, {text}." if text else "Locked: your strokes.")
        self._unlock.allow("" if text else "only your strokes are locked.")

    def show_starts(self, layers: Sequence[Labels]) -> None:
        """List layers that can be started from."""
        self._listed = list(layers)
        self._start.clear()
        self._start.addItems([layer.name for layer in layers])
        self._use.allow("" if layers else "there are no other labels for this image.")

    def say(self, text: str) -> None:
        """Say what was done, or why not."""
        self._hint.say(text)

    def _accept_button(self, kind: str, text: str, tooltip: str) -> ActionButton:
        return ActionButton(text, tooltip, lambda: self.accept_wanted.emit(kind))

    def _emit_start(self) -> None:
        if self._listed:
            self.start_wanted.emit(self._listed[self._start.currentIndex()])


_UNSURE = "Show where the model is unsure, bright = unsure."
_TEACH = (
    "What you paint into the final labels by hand is said in the labels, too, so that the model "
    "learns from it. What you erase there counts as background. Your strokes in the labels are "
    "never overwritten; Ctrl+Z takes both back."
)
_UNDO = "Take the last step back."
_REDO = "Do the step that was taken back again."
_ACCEPT = {
    "slice": (
        "Accept slice",
        "Take the prediction of this slice into the final labels (Ctrl+Shift+Enter).",
    ),
    "object": (
        "Accept object",
        "Take the predicted object that the mouse was last over (Ctrl+Shift+A).",
    ),
    "class": ("Accept class", "Take the selected class of the prediction, on all slices."),
    "volume": ("Accept all", "Take the whole prediction into the final labels."),
}
