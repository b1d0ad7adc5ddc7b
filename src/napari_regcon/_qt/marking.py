"""Marks the visible slice, or drawn boxes, as complete."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_regcon.errors import InputError
from napari_regcon.types import Box

if TYPE_CHECKING:
    from napari.layers import Shapes

    from napari_regcon._qt.workspace import ImageWork, Workspace
    from napari_regcon.session.marks import Mark
    from napari_regcon.session.painted import Prefix


class Marking(QObject):
    """Adds and removes marks on the chosen image.

    Parameters
    ----------
    workspace : Workspace
        The images.
    parent : QObject, optional
        Owner.

    Attributes
    ----------
    marked : Signal
        ImageWork: marks were added or removed.
    refused : Signal
        str: why something cannot be done.
    """

    marked = Signal(object)
    refused = Signal(str)

    def __init__(self, workspace: Workspace, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._workspace = workspace

    def mark_slice(self) -> None:
        """Mark the visible slice as complete."""
        work = self._workspace.current
        outside = self._workspace.sight.outside(work) if work is not None else ""
        if outside:
            self.refused.emit(outside)
        elif work is not None:
            prefix = self._workspace.sight.visible_prefix(work)
            work.state.marks.add_slice(prefix)
            self._told(work, prefix)

    def mark_boxes(self, shapes: Shapes) -> None:
        """Mark the boxes around the selected shapes as complete, or around all if none is."""
        work = self._workspace.current
        if work is None:
            return
        try:
            for prefix, box in self._boxes(work, shapes):
                work.state.marks.add_box(prefix, box)
                self._told(work, prefix)
        except InputError as error:
            self.refused.emit(str(error))

    def unmark(self, mark: Mark) -> None:
        """Take a mark away."""
        work = self._workspace.current
        if work is not None:
            work.state.marks.remove(mark)
            self._told(work, mark.prefix)

    def _told(self, work: ImageWork, prefix: Prefix) -> None:
        work.state.painted.touch(prefix)
        self.marked.emit(work)

    def _boxes(self, work: ImageWork, shapes: Shapes) -> list[tuple[Prefix, Box]]:
        """Return the planes and Y, X boxes of shapes, in pixels of the image.

        A pixel belongs to a box if its centre lies inside.
        """
        chosen = sorted(shapes.selected_data) or range(len(shapes.data))
        if not len(chosen):
            raise InputError(
                "There is no box.", next_step="Draw a rectangle in a shapes layer first."
            )
        found = []
        for index in chosen:
            corners = np.array(
                [work.layer.world_to_data(shapes.data_to_world(c)) for c in shapes.data[index]]
            )
            flat = corners[:, list(work.state.geometry.plane_sliders)]
            low = np.ceil(flat.min(axis=0)).astype(int)
            high = np.floor(flat.max(axis=0)).astype(int) + 1
            box = Box((int(low[0]), int(low[1])), (int(high[0]), int(high[1])))
            if shapes.ndim < work.layer.ndim:  # drawn in 2-D: meant for the slice on screen
                prefix = self._workspace.sight.visible_prefix(work)
            else:
                prefix = work.state.geometry.prefix_at([float(c) for c in corners[0]])
            found.append((prefix, box))
        return found
