"""The region brush: click or drag over regions to paint them with the class that is picked.

What it paints are ordinary labels, and one press of the button is one step to be undone. It
holds the label layer in napari's pan mode, with panning off; any other tool takes it away.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_regcon._qt.painting import paint_pixels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.layers import Labels

    from napari_regcon._qt.labelling import Labelling
    from napari_regcon._qt.regions import Regions
    from napari_regcon._qt.workspace import Workspace

HELD_MODE = "pan_zoom"


class RegionBrush(QObject):
    """Paints whole regions onto the label layer.

    Parameters
    ----------
    workspace : Workspace
        The images.
    labelling : Labelling
        Makes the label layer.
    regions : Regions
        What is painted.
    parent : QObject, optional
        Owner.

    Attributes
    ----------
    least_similarity : float
        How similar a region has to be to be painted with the one that is shift-clicked.
    toggled : Signal
        bool: whether the brush is in hand now.
    noted : Signal
        str: what was painted, or why not.
    """

    toggled = Signal(bool)
    noted = Signal(str)

    def __init__(
        self,
        workspace: Workspace,
        labelling: Labelling,
        regions: Regions,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.least_similarity = 0.8
        self._workspace = workspace
        self._labelling = labelling
        self._regions = regions
        self._layer: Labels | None = None
        labelling.layer_changed.connect(self.put_down)
        workspace.current_changed.connect(self.put_down)

    def set_on(self, on: bool) -> None:
        """Take the brush in hand, or put it down."""
        if on:
            self._take_up()
        else:
            self.put_down()

    def set_least_similarity(self, least: float) -> None:
        """Let a shift-click paint regions that are at least so similar."""
        self.least_similarity = least

    def paint(self, chosen: np.ndarray) -> int:
        """Paint some regions with the class that is picked; return how many pixels changed.

        What is locked stays, and so does what is painted where napari's "preserve labels" is on.

        Parameters
        ----------
        chosen : numpy.ndarray
            Numbers of regions; 0 is none.
        """
        layer, place, partition = self._layer, self._regions.place, self._regions.partition
        if layer is None or place is None or partition is None or not chosen.any():
            return 0
        wanted = np.zeros(len(partition.sizes) + 1, dtype=bool)
        wanted[chosen] = True
        geometry, value = place.work.state.geometry, layer.selected_label
        plane = np.asarray(geometry.label_array(layer.data)[place.prefix])
        free = ~place.work.state.locks.locked(place.prefix, plane) & (plane != value)
        if layer.preserve_labels:
            free &= plane == 0
        rows, columns = np.nonzero(wanted[partition.labels] & free[place.box.slices])
        if rows.size:
            y, x = place.box.start
            paint_pixels(layer, geometry, place.prefix, rows + y, columns + x, value)
        return int(rows.size)

    def put_down(self) -> None:
        """Leave the label layer to napari's own tools."""
        layer, self._layer = self._layer, None
        if layer is None:
            return
        layer.events.mode.disconnect(self._on_mode)
        with suppress(ValueError):
            layer.mouse_drag_callbacks.remove(self._drag)
        if layer.mode == HELD_MODE:
            layer.mouse_pan = True
        self._labelling.held_mode = ""
        self.toggled.emit(False)

    def _take_up(self) -> None:
        work = self._workspace.current
        if work is None or self._layer is not None:
            self.toggled.emit(self._layer is not None)
            return
        layer = work.labels if work.labels is not None else self._labelling.new_layer()
        if layer is None:
            self.toggled.emit(False)
            return
        self._workspace.viewer.layers.selection.active = layer
        layer.mode = HELD_MODE
        layer.mouse_pan = False
        layer.mouse_drag_callbacks.append(self._drag)
        layer.events.mode.connect(self._on_mode)
        self._layer = layer
        self._labelling.held_mode = HELD_MODE
        self.toggled.emit(True)

    def _on_mode(self, event: Any) -> None:
        if str(event.source.mode) != HELD_MODE:
            self.put_down()

    def _drag(self, layer: Labels, event: Any) -> Iterator[None]:
        """Paint what is clicked, or dragged over, as one step."""
        if event.button != 1 or not layer.editable:
            return
        with layer.block_history():
            region = self._regions.region_at(event.position)
            if "Shift" in event.modifiers and region:
                painted = self.paint(self._regions.alike(region, self.least_similarity))
                yield
            else:
                painted = self.paint(np.array([region]))
                yield
                while event.type == "mouse_move":
                    painted += self.paint(np.array([self._regions.region_at(event.position)]))
                    yield
        self.noted.emit(self._summary(painted))

    def _summary(self, n_painted: int) -> str:
        if self._regions.partition is None:
            return "There are no regions here yet."
        if not n_painted:
            return "Nothing was painted: it has this class already, or it is locked."
        return f"Painted {n_painted:,} pixels."
