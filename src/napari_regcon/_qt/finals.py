"""The final label layer of each image: what the user accepted, corrected, or started from.

The layer lives in a file of the session folder, so that it survives a crash. What becomes of what
a person paints into it is not known here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_regcon._qt.layers import apply_colors, layer_made_for, make_layer
from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari.layers import Labels

    from napari_regcon._qt.classes import Classes
    from napari_regcon._qt.results import Results
    from napari_regcon._qt.workspace import ImageWork, Workspace
    from napari_regcon.types import LazyArray


class Finals(QObject):
    """Makes, colours and watches final label layers.

    Parameters
    ----------
    workspace : Workspace
        The images.
    classes : Classes
        Their colours.
    results : Results
        Adds layers without touching the selection.
    file_for : callable
        Returns the file that the final labels of an image live in, or None for memory.
    parent : QObject, optional
        Owner.

    Attributes
    ----------
    layer_made : Signal
        ImageWork: its final layer is there now.
    painted : Signal
        ImageWork, list: a person painted into its final layer; a step of napari's paint history.
    refreshed : Signal
        ImageWork: its final layer was drawn anew, as after an undo.
    """

    layer_made = Signal(object)
    painted = Signal(object, object)
    refreshed = Signal(object)

    def __init__(
        self,
        workspace: Workspace,
        classes: Classes,
        results: Results,
        file_for: Callable[[ImageWork], Path | None],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._classes = classes
        self._results = results
        self._file_for = file_for
        classes.changed.connect(self._recolor)
        workspace.removed.connect(self._forget)

    def final_of(self, work: ImageWork) -> tuple[Labels, LazyArray]:
        """Return the final layer of an image, made if needed, and its labels."""
        if work.final is None:
            self._use(work, layer_made_for(self._workspace.viewer.layers, work.layer, "final"))
        if work.final is not None:
            try:
                return work.final, work.state.geometry.label_array(work.final.data)
            except InputError:
                self._forget(work)  # somebody gave it other data: leave it to them
        layer = self.make(work, _new_array(work.state.geometry.layer_shape, self._file_for(work)))
        return layer, work.state.geometry.label_array(layer.data)

    def make(self, work: ImageWork, data: np.ndarray) -> Labels:
        """Make the final layer of an image from labels of the layer's shape."""
        name = f"final: {work.layer.name}"
        layer = make_layer(work.layer, work.state.geometry, data, name, "final", opacity=0.6)
        apply_colors(layer, self._classes.table, hide_background=True)
        self._results.add_below(layer, work.labels)
        self._use(work, layer)
        self.layer_made.emit(work)
        return layer

    def close(self) -> None:
        """Stop watching."""
        for work in self._workspace.works():
            self._forget(work)

    def _use(self, work: ImageWork, layer: Labels | None) -> None:
        work.final = layer
        if layer is not None:
            layer.events.paint.connect(self._on_paint)
            layer.events.set_data.connect(self._on_refresh)

    def _forget(self, work: ImageWork) -> None:
        if work.final is not None:
            work.final.events.paint.disconnect(self._on_paint)
            work.final.events.set_data.disconnect(self._on_refresh)
            work.final = None

    def _on_paint(self, event: Any) -> None:
        work = self._with_final(event.source)
        if work is not None:
            self.painted.emit(work, event.value)

    def _on_refresh(self, event: Any) -> None:
        work = self._with_final(event.source)
        if work is not None:
            self.refreshed.emit(work)

    def _with_final(self, layer: Labels) -> ImageWork | None:
        return next((w for w in self._workspace.works() if w.final is layer), None)

    def _recolor(self) -> None:
        for work in self._workspace.works():
            if work.final is not None:
                apply_colors(work.final, self._classes.table, hide_background=True)


def _new_array(shape: tuple[int, ...], file: Path | None) -> np.ndarray:
    if file is None:
        return np.zeros(shape, dtype=np.uint8)
    file.parent.mkdir(parents=True, exist_ok=True)
    return np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape)
