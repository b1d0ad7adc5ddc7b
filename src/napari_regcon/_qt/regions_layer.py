"""The layer that shows regions, as borders or areas, in the colours the user wants.

It is a picture, made anew when regions or colours change; nothing is stored in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps import AVAILABLE_COLORMAPS, ensure_colormap
from qtpy.QtCore import QObject, QTimer

from napari_regcon._qt.layers import make_picture, spread, translation
from napari_regcon.session.region_picture import border_mask, distinct_colors, draw, majority, means

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_regcon._qt.classes import Classes
    from napari_regcon._qt.regions import Place, Regions
    from napari_regcon._qt.results import Results
    from napari_regcon._qt.workspace import Workspace
    from napari_regcon.data.region_tree import Partition

COLOR_BY = {
    "random": "Its own colour",
    "class": "Class",
    "confidence": "Confidence",
    "similarity": "Similarity to the pointer",
}
"""Ways to colour regions, and what they are called."""

_REDRAW_MS = 30
_FAINT = (170, 170, 170, 110)
_AREA_ALPHA = 120


class RegionsLayer(QObject):
    """Draws regions.

    Parameters
    ----------
    workspace : Workspace
        The images.
    regions : Regions
        What is drawn.
    classes : Classes
        Their colours.
    results : Results
        Adds layers without touching the selection.
    parent : QObject, optional
        Owner.
    """

    def __init__(
        self,
        workspace: Workspace,
        regions: Regions,
        classes: Classes,
        results: Results,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._regions = regions
        self._classes = classes
        self._results = results
        self._filled = False
        self._color_by = "random"
        self._pointed = 0
        self._borders: tuple[Partition, np.ndarray] | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_REDRAW_MS)
        self._timer.timeout.connect(self._redraw)
        regions.changed.connect(self._redraw)
        workspace.viewer.mouse_move_callbacks.append(self._on_mouse)

    def set_filled(self, on: bool) -> None:
        """Draw areas, or borders only."""
        self._filled = on
        self._redraw()

    def set_color_by(self, what: str) -> None:
        """Colour by one of :data:`COLOR_BY`."""
        self._color_by = what
        self._redraw()

    def update_soon(self, *_: Any) -> None:
        """Draw anew where what is painted or predicted has an influence."""
        if self._color_by in ("class", "confidence") and not self._timer.isActive():
            self._timer.start()

    def close(self) -> None:
        """Draw nothing more."""
        self._timer.stop()
        self._workspace.viewer.mouse_move_callbacks.remove(self._on_mouse)

    def _on_mouse(self, _viewer: Any, event: Any) -> None:
        pointed = self._regions.region_at(event.position) or self._pointed
        if self._color_by == "similarity" and pointed != self._pointed:
            self._pointed = pointed
            if not self._timer.isActive():
                self._timer.start()

    def _redraw(self) -> None:
        place, partition = self._regions.place, self._regions.partition
        if place is None or partition is None:
            self._pointed = 0
            for work in self._workspace.works():
                if work.regions is not None:
                    work.regions.visible = False
            return
        colors = np.empty((len(partition.sizes), 4), dtype=np.uint8)
        colors[:, :3] = self._colors(place, partition)
        colors[:, 3] = _AREA_ALPHA if self._filled else 255
        if self._color_by == "class":
            colors[self._classes_of(place, partition) == 0] = _FAINT
        borders = None if self._filled else self._borders_of(partition)
        self._show(place, draw(partition.labels, colors, borders))

    def _show(self, place: Place, picture: np.ndarray) -> None:
        work, geometry, origin = place.work, place.work.state.geometry, place.box.start
        if work.regions is None:
            work.regions = make_picture(work.layer, geometry, picture, origin)
            self._results.add_below(work.regions, work.labels)
            return
        layer: Image = work.regions
        layer.data = spread(geometry, picture)
        layer.translate = translation(work.layer, geometry, origin)
        layer.visible = True

    def _borders_of(self, partition: Partition) -> np.ndarray:
        if self._borders is None or self._borders[0] is not partition:
            self._borders = (partition, border_mask(partition.labels))
        return self._borders[1]

    def _colors(self, place: Place, partition: Partition) -> np.ndarray:
        """Return ``(n, 3)`` colours of the regions."""
        match self._color_by:
            case "class":
                table = np.full((256, 3), _FAINT[:3], dtype=np.uint8)
                for value, color in self._classes.table.colors().items():
                    table[value] = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
                found: np.ndarray = table[self._classes_of(place, partition)]
                return found
            case "confidence":
                return _ramp("viridis", self._confidence(place, partition))
            case "similarity" if 0 < self._pointed <= len(partition.sizes):
                return _ramp("magma", partition.similarity(self._pointed))
        return distinct_colors(len(partition.sizes))

    def _classes_of(self, place: Place, partition: Partition) -> np.ndarray:
        """Return the class of each region: what most of it is painted, else predicted as."""
        painted, predicted = (
            majority(partition.labels, len(partition.sizes), self._plane(place, layer))
            for layer in (place.work.labels, place.work.prediction)
        )
        return np.where(painted != 0, painted, predicted)

    def _confidence(self, place: Place, partition: Partition) -> np.ndarray:
        """Return 0 to 1 for each region; all 0 where no uncertainty is shown."""
        if place.work.uncertainty is None:
            return np.zeros(len(partition.sizes))
        unsure = self._plane(place, place.work.uncertainty)
        return 1 - means(partition.labels, len(partition.sizes), unsure) / 255

    def _plane(self, place: Place, layer: Any) -> np.ndarray:
        """Return what a layer holds at the place of the regions; zeros where there is none."""
        labels = place.work.labels_in(layer)
        if labels is None:
            return np.zeros(place.box.shape, dtype=np.uint8)
        return np.asarray(labels[(*place.prefix, *place.box.slices)])


def _ramp(name: str, values: np.ndarray) -> np.ndarray:
    """Return uint8 ``(n, 3)`` colours of values from 0 to 1."""
    colormap = AVAILABLE_COLORMAPS.get(name) or ensure_colormap(name)
    found = colormap.map(np.asarray(values, dtype=np.float32))[:, :3]
    colors: np.ndarray = np.rint(255 * found).astype(np.uint8)
    return colors
