"""The section in which a slice or the whole volume is segmented."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QProgressBar, QWidget

from napari_regcon._qt.parts import ActionButton, Hint, Section, row_of

if TYPE_CHECKING:
    from napari_regcon.types import Progress


class SegmentPanel(Section):
    """Starts and stops segmentation, and shows how far it is.

    Attributes
    ----------
    live_toggled : Signal
        bool: update the preview by itself.
    slice_wanted, volume_wanted, resume_wanted, cancel_wanted, toggle_wanted : Signal
        Segment this slice, the whole volume, the rest of it; stop; show or hide the prediction.
    """

    live_toggled = Signal(bool)
    slice_wanted = Signal()
    volume_wanted = Signal()
    resume_wanted = Signal()
    cancel_wanted = Signal()
    toggle_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Segment", parent)
        self._live = QCheckBox("Live preview", self)
        self._live.setChecked(True)
        self._live.setToolTip("Segment the visible slice anew after every stroke (Ctrl+L).")
        self._live.toggled.connect(self.live_toggled)
        self._toggle = ActionButton(
            "Show / hide",
            "Show or hide the prediction (Ctrl+D).",
            self.toggle_wanted.emit,
            compact=True,
        )
        self._slice = ActionButton(
            "This slice", "Segment the visible slice now.", self.slice_wanted.emit
        )
        self._volume = ActionButton(
            "Whole volume",
            "Segment all slices in the background, nearest first. You can go on working.",
            self.volume_wanted.emit,
        )
        self._bar = QProgressBar(self)
        self._bar.setTextVisible(True)
        self._cancel = ActionButton(
            "Cancel", "Stop. What is done stays, and can be resumed.", self.cancel_wanted.emit
        )
        self._resume = ActionButton(
            "Resume", "Segment the slices that are missing.", self.resume_wanted.emit
        )
        self._hint = Hint()
        self._note = Hint()
        live_row = row_of(self._live, self._toggle)
        live_row.setStretch(0, 1)
        self.fill(live_row, row_of(self._slice, self._volume))
        self.fill(self._bar, row_of(self._cancel, self._resume), self._hint, self._note)
        self.show_idle(can_resume=False)
        self.expand(animate=False)

    def set_live(self, on: bool) -> None:
        """Show whether live mode is on."""
        self._live.setChecked(on)

    def toggle_live(self) -> None:
        """Turn live mode on or off, as a click would."""
        self._live.toggle()

    def allow(self, why_no_slice: str, why_no_volume: str, *, has_prediction: bool) -> None:
        """Enable the buttons, or say why they are disabled."""
        self._slice.allow(why_no_slice)
        self._volume.allow(why_no_volume)
        self._toggle.allow("" if has_prediction else "nothing is predicted yet.")

    def explain(self, text: str) -> None:
        """Say below the buttons what has to be done, or how the labels were used."""
        self._hint.say(text)

    def say(self, text: str) -> None:
        """Say what became of the work; stays until something else is said."""
        self._note.say(text)

    def forget(self, text: str) -> None:
        """Say nothing any more, if this is what was said."""
        if self._note.text() == text:
            self._note.say("")

    def show_running(self, progress: Progress | None, *, cancelling: bool) -> None:
        """Show that whole-volume work is under way, and how far it is."""
        if self._bar.isHidden():
            # Without a range it would move, and the whole window be drawn with every move.
            self._bar.setRange(0, 1)
            self._bar.setValue(0)
            self._bar.setFormat("starting…")
            self._bar.show()
            self._cancel.show()
            self._resume.hide()
            self._note.say("")
        self._cancel.allow("it is stopping." if cancelling else "")
        if cancelling:
            self._bar.setFormat("stopping…")
        elif progress is not None and progress.total:
            # The bar would repaint the window at once with every new value.
            self._bar.setUpdatesEnabled(False)
            self._bar.setRange(0, progress.total)
            self._bar.setValue(progress.done)
            left = progress.remaining_s
            rest = f" · {duration(left)} left" if left is not None else ""
            self._bar.setFormat(f"{100 * progress.done // progress.total} %{rest}")
            self._bar.setUpdatesEnabled(True)

    def show_idle(self, *, can_resume: bool) -> None:
        """Show that no whole-volume work is under way."""
        self._bar.hide()
        self._cancel.hide()
        self._resume.setVisible(can_resume)


def duration(seconds: float) -> str:
    """Return a duration in words that fit a progress bar."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
