"""Keeps the brush away while the sliders stand where an image has no slice.

With images of different depth the sliders reach further than the shorter ones. napari's brush
fails there, or paints on a slice from the other end. So the label layers of such an image cannot
be edited until the sliders are back; then they are as they were.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Labels

    from napari_regcon._qt.workspace import Workspace


class PaintGuard(QObject):
    """Makes label layers editable or not, as the sliders move.

    Parameters
    ----------
    workspace : Workspace
        The images and their layers.
    parent : QObject, optional
        Owner.
    """

    def __init__(self, workspace: Workspace, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._modes: dict[Labels, str] = {}
        self._closers: list[Callable[[], object]] = []
        for name in ("current_step", "ndisplay", "order"):
            event = getattr(workspace.viewer.dims.events, name)
            event.connect(self.check)
            self._closers.append(partial(event.disconnect, self.check))

    def check(self, _event: object = None) -> None:
        """Look at where the sliders stand, or at a layer that is new."""
        outside = [
            layer
            for work in self._workspace.works()
            if self._workspace.sight.outside(work)
            for layer in (work.labels, work.final)
            if layer is not None
        ]
        for layer in [layer for layer in self._modes if layer not in outside]:
            self._release(layer)
        for layer in outside:
            if layer.editable and layer not in self._modes:
                self._modes[layer] = str(layer.mode)
                _take_brush_away(layer)

    def close(self) -> None:
        """Let all layers be edited again."""
        for closer in self._closers:
            closer()
        for layer in list(self._modes):
            self._release(layer)

    def _release(self, layer: Labels) -> None:
        layer.editable = True
        layer.mode = self._modes.pop(layer)


def _take_brush_away(layer: Labels) -> None:
    """Make a layer one that cannot be edited; napari would forget what can be undone on it."""
    names = ("_undo_history", "_redo_history")
    steps = {name: getattr(layer, name) for name in names if hasattr(layer, name)}
    layer.editable = False
    for name, value in steps.items():
        setattr(layer, name, value)
