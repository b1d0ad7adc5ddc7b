"""Locks slices, classes and objects of the final labels against the tool."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_regcon.errors import InputError
from napari_regcon.session.accept import object_planes
from napari_regcon.session.painted import crop

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_regcon._qt.background import Background
    from napari_regcon._qt.workspace import ImageWork, Workspace
    from napari_regcon.session.painted import Patch, Prefix
    from napari_regcon.types import LazyArray


class Locking(QObject):
    """Locks parts of the chosen image.

    Parameters
    ----------
    workspace : Workspace
        The images.
    background : Background
        Follows objects.
    parent : QObject, optional
        Owner.

    Attributes
    ----------
    changed : Signal
        Something was locked or unlocked.
    noted : Signal
        str: what was locked, or why not.
    """

    changed = Signal()
    noted = Signal(str)

    def __init__(
        self, workspace: Workspace, background: Background, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._background = background

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

    def lock_object(self) -> None:
        """Lock the object of the final labels that the mouse was last over."""
        work = self._workspace.current
        if work is None or work.final is None:
            return
        place = self._workspace.sight.place_under_mouse(work)
        if place is None:
            self.noted.emit("Point at an object of the final labels first, then use the key.")
            return
        try:
            labels = work.state.geometry.label_array(work.final.data)
        except InputError as error:
            self.noted.emit(str(error))
            return
        self._background.start(
            _follow(labels, place),
            done=lambda found: self._lock(work, found),
            failed=self.noted.emit,
        )

    def _lock(self, work: ImageWork, found: dict[Prefix, Patch]) -> None:
        for prefix, patch in found.items():
            work.state.locks.lock_pixels(prefix, patch.origin, patch.labels)
        n = len(found)
        self.noted.emit(f"Locked the object, on {n} slice{'s' if n != 1 else ''}.")
        self.changed.emit()

    def unlock_all(self) -> None:
        """Unlock everything but what is painted in the label layer."""
        work = self._workspace.current
        if work is not None:
            work.state.locks.clear()
            self.changed.emit()


def _follow(
    labels: LazyArray, place: tuple[int, ...]
) -> Generator[None, None, dict[Prefix, Patch]]:
    yield
    return {prefix: crop(mask) for prefix, mask in object_planes(labels, place).items()}
