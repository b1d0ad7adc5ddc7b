"""Locks slices and classes of the final labels against the tool."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

if TYPE_CHECKING:
    from napari_regcon._qt.workspace import Workspace


class Locking(QObject):
    """Locks parts of the chosen image.

    Parameters
    ----------
    workspace : Workspace
        The images.
    parent : QObject, optional
        Owner.

    Attributes
    ----------
    changed : Signal
        Something was locked or unlocked.
    """

    changed = Signal()

    def __init__(self, workspace: Workspace, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._workspace = workspace

    def toggle_slice(self) -> None:
        """Lock the visible slice, or unlock it."""
        work = self._workspace.current
        if work is not None:
            locks = work.state.locks  # new sets, as a thread may be reading the old ones
            locks.slices = locks.slices ^ {self._workspace.sight.visible_prefix(work)}
            self.changed.emit()

    def toggle_class(self, value: int) -> None:
        """Lock the pixels of a class, or unlock them."""
        work = self._workspace.current
        if work is not None and value:
            work.state.locks.classes = work.state.locks.classes ^ {value}
            self.changed.emit()

    def unlock_all(self) -> None:
        """Unlock everything but what is painted in the label layer."""
        work = self._workspace.current
        if work is not None:
            work.state.locks.clear()
            self.changed.emit()
