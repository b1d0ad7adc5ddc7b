"""Takes the user to the place where the next stroke would help most.

A few slices spread over the volume are predicted with their uncertainty; the best place on any
of them is shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_regcon._qt.layers import make_ring
from napari_regcon.session.where_next import Place, best_place, candidates, slices_away
from napari_regcon.types import Box
from napari_regcon.worker.protocol import EngineDied, JobDone, JobFailed, Preview, PreviewDone
from napari_regcon.worker.shared import SharedBuffer

if TYPE_CHECKING:
    from napari.layers import Points

    from napari_regcon._qt.jobs import EngineLink
    from napari_regcon._qt.paint_watch import PaintWatch
    from napari_regcon._qt.results import Results
    from napari_regcon._qt.workspace import ImageWork, Workspace
    from napari_regcon.session.painted import Prefix

MOST_SLICES = 9


class Guide(QObject):
    """Finds the place to look at next.

    Parameters
    ----------
    workspace : Workspace
        The images.
    link : EngineLink
        Is asked for previews with uncertainty.
    watch : PaintWatch
        Knows what is painted.
    results : Results
        Shows the predictions made on the way.
    parent : QObject, optional
        Owner.

    Attributes
    ----------
    running : bool
        Whether it is looking.
    progressed : Signal
        str: how far it is.
    found : Signal
        Place: where the viewer was taken.
    ended : Signal
        str: why it stopped without a place, or an empty string.
    """

    progressed = Signal(str)
    found = Signal(object)
    ended = Signal(str)

    def __init__(
        self,
        workspace: Workspace,
        link: EngineLink,
        watch: PaintWatch,
        results: Results,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._link = link
        self._watch = watch
        self._results = results
        self._work: ImageWork | None = None
        self._queue: list[Prefix] = []
        self._total = 0
        self._places: list[Place] = []
        self._generation = 0
        self._ring: Points | None = None
        self._buffers: tuple[SharedBuffer, SharedBuffer] | None = None
        link.event.connect(self._on_event)
        watch.caught_up.connect(self._begin)
        workspace.removed.connect(self._on_removed)

    @property
    def running(self) -> bool:
        """Whether it is looking."""
        return self._work is not None

    def start(self) -> None:
        """Look for the next place on the chosen image."""
        if self._workspace.current is None or self.running:
            return
        self._work = self._workspace.current
        self._watch.catch_up()
        self._begin()

    def _begin(self) -> None:
        """Choose the slices, once everything painted up to now is known."""
        work = self._work
        if work is None or self._buffers is not None:
            return
        if not self._watch.knows_all():
            self.progressed.emit("Looking at the images and at what is painted first …")
            return
        if not self._workspace.supply.tell_painted(work):
            self._stop(f"{work.state.name!r} could not be read.")
            return
        geometry = work.state.geometry
        painted = [prefix for prefix, _ in work.state.painted.items()]
        shown = self._workspace.sight.visible_prefix(work)
        self._queue = candidates(geometry.label_shape[:-2], shown, painted, MOST_SLICES)
        self._total, self._places = len(self._queue), []
        shape = geometry.plane_shape
        self._buffers = (SharedBuffer.create(shape, np.uint8), SharedBuffer.create(shape, np.uint8))
        self._ask_next()

    def clear_mark(self, _work: object = None) -> None:
        """Take the ring around the last place away."""
        layers = self._workspace.viewer.layers
        if self._ring is not None and self._ring in layers:
            layers.remove(self._ring)
        self._ring = None

    def close(self) -> None:
        """Stop, and give the memory back."""
        self._work = None
        for buffer in self._buffers or ():
            buffer.close()
        self._buffers = None

    def _ask_next(self) -> None:
        if self._work is None or self._buffers is None:
            return
        done = self._total - len(self._queue)
        self.progressed.emit(f"Looking for the next place: slice {done + 1} of {self._total} …")
        self._generation = self._link.next_generation()
        whole = Box.of_shape(self._work.state.geometry.plane_shape)
        labels, unsure = (buffer.handle for buffer in self._buffers)
        image_id, prefix = self._work.image_id, self._queue[0]
        self._link.send(Preview(self._generation, image_id, prefix, whole, labels, unsure))

    def _on_event(self, event: Any) -> None:
        if self._work is None:
            return
        match event:
            case PreviewDone(final=True) if event.generation == self._generation:
                self._take(self._work, event)
            case JobFailed() if event.generation == self._generation:
                self._stop(event.message)
            case JobDone() if event.generation == self._generation:
                self._stop("Stopped looking, because the preview was needed. Try again.")
            case EngineDied() if self._generation in event.pending:
                self._stop("")

    def _take(self, work: ImageWork, event: PreviewDone) -> None:
        if self._buffers is None:
            return
        labels, unsure = (buffer.array for buffer in self._buffers)
        box = Box.of_shape(labels.shape)
        self._results.show_preview(work, event.prefix, box, labels, event.generation)
        painted = [prefix for prefix, _ in work.state.painted.items()]
        patch = work.state.painted.patch(event.prefix)
        far = slices_away(event.prefix, painted)
        self._places.append(best_place(event.prefix, unsure, patch, far))
        self._queue.pop(0)
        if self._queue:
            self._ask_next()
            return
        self.close()
        place = max(self._places, key=lambda p: p.score)
        self._workspace.sight.look_at(work, place.prefix, place.y, place.x)
        self._mark(work, place)
        self.ended.emit("")
        self.found.emit(place)

    def _mark(self, work: ImageWork, place: Place) -> None:
        """Put a ring around the place, until the next stroke."""
        self.clear_mark()
        geometry = work.state.geometry
        index = geometry.slider_index(place.prefix, place.y, place.x)
        self._ring = make_ring(work.layer, index, max(geometry.plane_shape) / 8)
        layers = self._workspace.viewer.layers
        active = layers.selection.active
        layers.append(self._ring)
        if active is not None:
            layers.selection.active = active

    def _stop(self, reason: str) -> None:
        self.close()
        self.ended.emit(reason)

    def _on_removed(self, work: ImageWork) -> None:
        if work is self._work:
            self._stop("")
