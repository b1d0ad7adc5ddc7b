"""The label layer a user paints on: made or chosen, and coloured."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_regcon._qt.layers import (
    apply_colors,
    layer_made_for,
    make_layer,
    new_label_array,
    role_of,
)
from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari_regcon._qt.classes import Classes
    from napari_regcon._qt.paint_watch import PaintWatch
    from napari_regcon._qt.workspace import ImageWork, Workspace
    from napari_regcon.session.painted import Patch, Prefix


class Labelling(QObject):
    """Keeps the label layer of each image and tells when somebody painted.

    Parameters
    ----------
    workspace : Workspace
        The images.
    classes : Classes
        What can be painted.
    watch : PaintWatch
        Notices what is painted.
    scratch : pathlib.Path
        Folder for label volumes too large for the memory.
    parent : QObject, optional
        Owner.

    Attributes
    ----------
    held_mode : str
        Mode of the layer that a tool of ours paints in; empty while none does.
    painted : Signal
        ImageWork: something was painted or erased.
    layer_changed : Signal
        Another label layer is used, or none.
    class_picked : Signal
        int: label value that is painted now.
    refused : Signal
        str: why something cannot be done.
    begun : Signal
        The user is about to paint: a layer was made or chosen, or a class.
    """

    painted = Signal(object)
    layer_changed = Signal()
    class_picked = Signal(int)
    refused = Signal(str)
    begun = Signal()

    def __init__(
        self,
        workspace: Workspace,
        classes: Classes,
        watch: PaintWatch,
        scratch: Path,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.held_mode = ""
        self._workspace = workspace
        self._classes = classes
        self._scratch = scratch
        self._watch = watch
        watch.changed.connect(self._on_painted)
        watch.picked.connect(self.class_picked)
        watch.refused.connect(self.refused)
        classes.changed.connect(self._recolor)
        workspace.current_changed.connect(self._take_up)
        workspace.removed.connect(watch.stop)
        workspace.layer_lost.connect(self._on_layer_lost)

    def new_layer(
        self, work: ImageWork | None = None, patches: Mapping[Prefix, Patch] | None = None
    ) -> Labels | None:
        """Make a label layer for an image, and paint on it from now on.

        Parameters
        ----------
        work : ImageWork, optional
            The image; the chosen one where not given.
        patches : mapping, optional
            What is painted on it already; nothing where not given.
        """
        work = work or self._workspace.current
        if work is None:
            return None
        geometry = work.state.geometry
        file = self._scratch / f"labels-{uuid.uuid4().hex[:8]}.npy"
        data = new_label_array(geometry.layer_shape, np.uint8, file)
        labels = geometry.label_array(data)
        for prefix, patch in (patches or {}).items():
            patch.paint_on(labels[prefix])
        name = f"labels: {work.layer.name}"
        layer = make_layer(work.layer, geometry, data, name, "labels", opacity=0.8)
        layer.brush_size = max(3, round(max(geometry.plane_shape) / 100))
        self._workspace.viewer.add_layer(layer)
        if self._use(work, layer):
            self.begun.emit()
        for prefix, patch in (patches or {}).items():  # known without looking for it
            work.state.painted.put(prefix, patch)
        return layer

    def use_layer(self, layer: Labels) -> bool:
        """Take a label layer as what the user says about the chosen image.

        Returns
        -------
        bool
            False, after :attr:`refused`, if it does not fit.
        """
        work = self._workspace.current
        is_used = work is not None and self._use(work, layer)
        if is_used:
            self.begun.emit()
        return is_used

    def _use(self, work: ImageWork, layer: Labels) -> bool:
        if layer is work.labels:
            return True
        try:
            self._watch.start(work, layer)
        except InputError as error:
            self.refused.emit(str(error))
            return False
        work.labels = layer
        work.state.painted.clear()
        apply_colors(layer, self._classes.table, hide_background=False)
        self.layer_changed.emit()
        self.painted.emit(work)
        return True

    def fitting_layers(self) -> list[Labels]:
        """Return the label layers of the viewer that fit the chosen image and are not results."""
        work = self._workspace.current
        if work is None:
            return []
        return [
            layer
            for layer in self._workspace.viewer.layers
            if isinstance(layer, Labels)
            and not layer.multiscale
            and tuple(layer.data.shape) == work.state.geometry.layer_shape
            and role_of(layer) in ("", "labels")
        ]

    def pick_class(self, value: int) -> None:
        """Paint this class from now on, with a label layer ready for it."""
        work = self._workspace.current
        if work is None or value not in self._classes.table:
            return
        layer = work.labels if work.labels is not None else self.new_layer()
        if layer is None:
            return
        self.begun.emit()
        layer.selected_label = value
        self._workspace.viewer.layers.selection.active = layer
        if layer.mode not in ("paint", "fill", "polygon", self.held_mode):
            layer.mode = "paint"

    def pick_nth_class(self, index: int) -> None:
        """Paint the class in this row of the list, if there is one."""
        values = [item.value for item in self._classes.table]
        if index < len(values):
            self.pick_class(values[index])

    def add_class(self) -> None:
        """Add a class, and paint it from now on where there is a layer."""
        item = self._classes.add()
        work = self._workspace.current
        if item is not None and work is not None and work.labels is not None:
            self.pick_class(item.value)

    def painted_px(self, value: int) -> int:
        """Return how many pixels of all images are painted with a label value."""
        return sum(w.state.painted.counts().get(value, 0) for w in self._workspace.works())

    def _on_painted(self, work: ImageWork) -> None:
        name = work.labels.name if work.labels is not None else "labels"
        if self._classes.ensure(work.state.painted.counts(), name):
            self.painted.emit(work)

    def _take_up(self) -> None:
        """Go on with the layer of an earlier dock."""
        work = self._workspace.current
        if work is not None and work.labels is None:
            layer = layer_made_for(self._workspace.viewer.layers, work.layer, "labels")
            if layer is not None:
                self._use(work, layer)  # painting may go on, or the dock may just be looked at

    def _on_layer_lost(self, work: ImageWork, role: str) -> None:
        if role == "labels":
            work.state.painted.clear()
            self.layer_changed.emit()
            self.painted.emit(work)
            self._watch.stop(work)

    def _recolor(self) -> None:
        for work in self._workspace.works():
            if work.labels is not None:
                apply_colors(work.labels, self._classes.table, hide_background=False)
