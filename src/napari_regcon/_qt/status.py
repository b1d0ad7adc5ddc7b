"""What the dock is doing, in one line: idle, busy or failed, and on which device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

if TYPE_CHECKING:
    from napari_regcon._qt.parts import StateLine

NOTICEABLE_MS = 300
"""What takes less than this need not be announced: every repaint costs a frame."""
WAITING = "Ready. The engine starts when you make or choose a label layer."


class Status(QObject):
    """Gathers what is under way and shows the most important of it.

    A failure stays until it is dismissed or the same activity begins again.

    Parameters
    ----------
    line : StateLine
        Where it is shown.
    parent : QObject, optional
        Owner.
    """

    def __init__(self, line: StateLine, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._line = line
        self._busy: dict[str, str] = {}
        self._failure: tuple[str, str] | None = None
        self._device = ""
        self._reason = ""
        self._soon: dict[str, str] = {}
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(NOTICEABLE_MS)
        self._timer.timeout.connect(self._begin_all)
        line.dismissed.connect(self.dismiss)
        self._show()

    def begin(self, activity: str, text: str) -> None:
        """Say that something is under way; a failure of the same activity is forgotten."""
        self._busy[activity] = text
        self.forget_failure(activity)
        self._show()

    def begin_soon(self, activity: str, text: str) -> None:
        """Say that something is under way, once it takes long enough to be noticed."""
        self.forget_failure(activity)
        self._soon[activity] = text
        self._timer.start()

    def end(self, activity: str) -> None:
        """Say that it has ended."""
        self._soon.pop(activity, None)
        self._busy.pop(activity, None)
        self._show()

    def fail(self, activity: str, text: str) -> None:
        """Say that it failed, and why."""
        self._busy.pop(activity, None)
        self._failure = (activity, text)
        self._show()

    def forget_failure(self, activity: str) -> None:
        """Forget that an activity failed, because it is tried again."""
        if self._failure and self._failure[0] == activity:
            self.dismiss()

    def dismiss(self) -> None:
        """Forget a failure."""
        self._failure = None
        self._show()

    def device(self, label: str, reason: str) -> None:
        """Say what computes."""
        self._device, self._reason = label, reason
        self._show()

    def _begin_all(self) -> None:
        soon, self._soon = self._soon, {}
        for activity, text in soon.items():
            self.begin(activity, text)

    def _show(self) -> None:
        if self._failure is not None:
            self._line.show_state("failed", self._failure[1])
        elif self._busy:
            self._line.show_state("busy", list(self._busy.values())[-1])
        elif self._device:
            self._line.show_state("idle", f"Ready · {self._device}", self._reason)
        else:
            self._line.show_state("off", WAITING)
