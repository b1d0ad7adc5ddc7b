"""The prediction layer of each image: made when first needed, written box by box.

The tool writes only here, and nobody can paint here, as the next preview would wipe it out. An
answer that is older than what is on a plane is dropped. Opacity and visibility stay as the user
set them.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_regcon._qt.layers import (
    apply_colors,
    layer_made_for,
    make_layer,
    make_map,
    new_label_array,
    refresh_box,
)
from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from napari.layers import Labels, Layer

    from napari_regcon._qt.classes import Classes
    from napari_regcon._qt.workspace import ImageWork, Workspace
    from napari_regcon.session.painted import Prefix
    from napari_regcon.types import Box, LazyArray

OPACITY = 0.45
TOGETHER_MS = 50
"""Parts of an uncertainty that arrive within this time are shown together."""


class Results(QObject):
    """Writes what the engine predicted into layers.

    Parameters
    ----------
    workspace : Workspace
        The images.
    classes : Classes
        Their colours.
    scratch : pathlib.Path
        Folder for label volumes too large for the memory.
    parent : QObject, optional
        Owner.

    Attributes
    ----------
    layer_made : Signal
        ImageWork: its prediction layer is there now.
    """

    layer_made = Signal(object)

    def __init__(
        self,
        workspace: Workspace,
        classes: Classes,
        scratch: Path,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._classes = classes
        self._scratch = scratch
        self._refreshing = QTimer(self)
        self._refreshing.setSingleShot(True)
        self._refreshing.setInterval(TOGETHER_MS)
        self._refreshing.timeout.connect(self._refresh_uncertainty)
        classes.changed.connect(self._recolor)

    def show_preview(
        self, work: ImageWork, prefix: Prefix, box: Box, pixels: np.ndarray, generation: int
    ) -> None:
        """Write a predicted box of a plane, and show it if the plane is on screen.

        Parameters
        ----------
        work : ImageWork
            The image.
        prefix, box : tuple of int, Box
            The plane, and the Y, X box on it.
        pixels : numpy.ndarray
            Labels of the box.
        generation : int
            Of the request; nothing is written if the plane holds something newer.
        """
        book = work.state.predictions
        if book.may_write(prefix, generation):
            book.preview_done(prefix, generation)
            self._write(work, prefix, box, pixels)

    def write_plane(
        self, work: ImageWork, prefix: Prefix, box: Box, pixels: np.ndarray, generation: int
    ) -> None:
        """Write a box of a plane from whole-volume work; parameters as :meth:`show_preview`."""
        if work.state.predictions.may_write(prefix, generation):
            self._write(work, prefix, box, pixels)

    def prediction_of(self, work: ImageWork) -> tuple[Labels, LazyArray]:
        """Return the prediction layer of an image, made if needed, and its labels."""
        if work.prediction is None:
            layers = self._workspace.viewer.layers
            work.prediction = layer_made_for(layers, work.layer, "prediction")
        if work.prediction is not None:
            try:
                return work.prediction, work.state.geometry.label_array(work.prediction.data)
            except InputError:
                work.prediction = None  # somebody gave it other data: leave it to them
        layer = self._make(work)
        return layer, work.state.geometry.label_array(layer.data)

    def show_uncertainty(
        self, work: ImageWork, prefix: Prefix, box: Box, pixels: np.ndarray
    ) -> None:
        """Write and show how unsure a prediction is; parameters as :meth:`show_preview`."""
        geometry = work.state.geometry
        if work.uncertainty is None:
            file = self._scratch / f"uncertainty-{uuid.uuid4().hex[:8]}.npy"
            data = new_label_array(geometry.layer_shape, np.uint8, file)
            work.uncertainty = make_map(work.layer, geometry, data)
            self.add_below(work.uncertainty, work.labels)
        array: Any = geometry.label_array(work.uncertainty.data)
        array[(*prefix, *box.slices)] = pixels
        if not self._refreshing.isActive():
            self._refreshing.start()

    def toggle(self) -> None:
        """Show or hide the prediction of the chosen image."""
        work = self._workspace.current
        if work is not None and work.prediction is not None:
            work.prediction.visible = not work.prediction.visible

    def add_below(self, layer: Layer, above: Layer | None) -> None:
        """Add a layer under another one, leaving the selection as it is."""
        layers = self._workspace.viewer.layers
        active = layers.selection.active
        index = layers.index(above) if above is not None and above in layers else len(layers)
        layers.insert(index, layer)
        if active is not None:
            layers.selection.active = active

    def add_layer(self, work: ImageWork, role: str, *, hide_background: bool = True) -> Labels:
        """Add an empty layer for what the tool says of an image, under the painted labels.

        Parameters
        ----------
        work : ImageWork
            The image.
        role : str
            What this plugin calls the layer; its name begins with that.
        hide_background : bool
            Whether the background is transparent.
        """
        geometry = work.state.geometry
        file = self._scratch / f"{role}-{uuid.uuid4().hex[:8]}.npy"
        data = new_label_array(geometry.layer_shape, np.uint8, file)
        name = f"{role}: {work.layer.name}"
        layer = make_layer(work.layer, geometry, data, name, role, opacity=OPACITY)
        apply_colors(layer, self._classes.table, hide_background=hide_background)
        self.add_below(layer, work.labels)
        return layer

    def _make(self, work: ImageWork) -> Labels:
        work.prediction = self.add_layer(work, "prediction")
        work.prediction.editable = False
        self.layer_made.emit(work)
        return work.prediction

    def _write(self, work: ImageWork, prefix: Prefix, box: Box, pixels: np.ndarray) -> None:
        layer, labels = self.prediction_of(work)
        labels[(*prefix, *box.slices)] = pixels  # type: ignore[index]
        if prefix == self._workspace.sight.visible_prefix(work):
            refresh_box(layer, work.state.geometry, box)

    def _refresh_uncertainty(self) -> None:
        """Show what is new; napari sends the whole slice of an image to the screen each time."""
        work = self._workspace.current
        if work is not None and work.uncertainty is not None:
            work.uncertainty.refresh(thumbnail=False, highlight=False, extent=False)

    def close(self) -> None:
        """Show nothing more."""
        self._refreshing.stop()

    def _recolor(self) -> None:
        for work in self._workspace.works():
            if work.prediction is not None:
                apply_colors(work.prediction, self._classes.table, hide_background=True)
            if work.filled is not None:
                apply_colors(work.filled, self._classes.table, hide_background=False)
