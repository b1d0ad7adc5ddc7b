"""The regions of the visible slice: asked of the engine, kept as a tree, cut as finely as wanted.

Nothing is asked for while they are switched off. Another granularity needs no answer from the
engine. Planes too large to be cut in one go are cut around the middle of the view.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_regcon.config import PixelHeadConfig, RegionsConfig
from napari_regcon.data.region_tree import Partition, RegionTree, plane_parts
from napari_regcon.worker.protocol import EngineDied, FindRegions, JobDone, JobFailed, RegionsFound
from napari_regcon.worker.shared import SharedBuffer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_regcon._qt.jobs import EngineLink
    from napari_regcon._qt.workspace import ImageWork, Workspace
    from napari_regcon.session.painted import Prefix
    from napari_regcon.types import Box
    from napari_regcon.worker.protocol import Configure

SETTLE_MS = 60
"""Regions are asked for once the view has stood still for so long."""


@dataclass(frozen=True, eq=False)
class Place:
    """A part of a plane of an image.

    Parameters
    ----------
    work : ImageWork
        The image.
    prefix, box : tuple of int, Box
        The plane, and the Y, X box on it.
    """

    work: ImageWork
    prefix: Prefix
    box: Box

    def is_same(self, other: Place | None) -> bool:
        """Tell whether both are the same part of the same plane."""
        return other is not None and (
            (self.work, self.prefix, self.box) == (other.work, other.prefix, other.box)
        )


class Regions(QObject):
    """Keeps the regions of the visible slice.

    Parameters
    ----------
    workspace : Workspace
        The images.
    link : EngineLink
        Is asked for regions.
    model : callable
        Returns what is chosen in the model section; a network chosen there is cut along, too.
    parent : QObject, optional
        Owner.

    Attributes
    ----------
    place : Place or None
        Where the regions are that are there now.
    partition : Partition or None
        These regions.
    changed : Signal
        There are other regions now, or none.
    busy : Signal
        bool: whether regions are being found.
    failed : Signal
        str: why they cannot be found.
    """

    changed = Signal()
    busy = Signal(bool)
    failed = Signal(str)

    def __init__(
        self,
        workspace: Workspace,
        link: EngineLink,
        model: Callable[[], Configure],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.enabled = False
        self.place: Place | None = None
        self.partition: Partition | None = None
        self._granularity: float = RegionsConfig.granularity
        self._workspace = workspace
        self._link = link
        self._model = model
        self._tree: RegionTree | None = None
        self._asked: dict[int, tuple[Place, SharedBuffer]] = {}
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(SETTLE_MS)
        self._timer.timeout.connect(self._look)
        link.event.connect(self._on_event)
        workspace.opened.connect(self._on_opened)
        workspace.current_changed.connect(self.look)
        viewer = workspace.viewer
        camera = getattr(viewer, "scene", viewer).camera  # napari 0.9 has moved it
        names = ("current_step", "ndisplay", "order")
        self._moves = [getattr(viewer.dims.events, name) for name in names]
        self._moves += [camera.events.center, camera.events.zoom]
        for move in self._moves:
            move.connect(self.look)

    def set_enabled(self, on: bool) -> None:
        """Find regions from now on, or no longer."""
        self.enabled = on
        self._look()

    def set_granularity(self, granularity: float) -> None:
        """Cut more finely, up to 1, or more coarsely, down to 0."""
        self._granularity = granularity
        self._cut()

    def look(self, *_: Any) -> None:
        """Find the regions of what is on screen soon, if that is another place."""
        self._timer.start()

    def region_at(self, position: Sequence[float]) -> int:
        """Return the region at a position in the world, 0 where there is none."""
        pixel = self._pixel_at(position)
        if pixel is None or self.partition is None:
            return 0
        return int(self.partition.labels[pixel])

    def alike(self, region: int, least: float) -> np.ndarray:
        """Return the regions in view that are at least so similar to one of them, itself too."""
        if self.place is None or self.partition is None:
            return np.zeros(0, dtype=np.int64)
        back = tuple(-i for i in self.place.box.start)
        seen = self._workspace.sight.visible_box(self.place.work).shift(back).slices
        alike = np.flatnonzero(self.partition.similarity(region) >= least) + 1
        return np.union1d(np.intersect1d(alike, self.partition.labels[seen]), [region])

    def close(self) -> None:
        """Ask for nothing more, and give the memory back."""
        self._timer.stop()
        for move in self._moves:
            move.disconnect(self.look)
        for _, buffer in self._asked.values():
            buffer.close()
        self._asked.clear()

    def _pixel_at(self, position: Sequence[float]) -> tuple[int, int] | None:
        if self.place is None:
            return None
        work, box = self.place.work, self.place.box
        index = work.layer.world_to_data(position)
        y, x = (round(float(index[slider])) for slider in work.state.geometry.plane_sliders)
        inside = box.start[0] <= y < box.stop[0] and box.start[1] <= x < box.stop[1]
        return (y - box.start[0], x - box.start[1]) if inside else None

    def _look(self) -> None:
        wanted = self._visible()
        if self.place is not None and not self.place.is_same(wanted):
            self._forget()
        if wanted is None or wanted.is_same(self.place) or self._is_asked(wanted):
            return
        if self._workspace.supply.tell_painted(wanted.work):
            self._ask(wanted)

    def _visible(self) -> Place | None:
        """Return the part of the visible plane that holds the middle of the view."""
        work = self._workspace.current
        if not self.enabled or work is None or self._workspace.sight.outside(work):
            return None
        if not self._workspace.sight.shows_planes(work):
            return None
        view = self._workspace.sight.visible_box(work)
        middle = [(a + b) // 2 for a, b in zip(view.start, view.stop, strict=True)]
        for part in plane_parts(work.state.geometry.plane_shape):
            if all(a <= i < b for a, i, b in zip(part.start, middle, part.stop, strict=True)):
                return Place(work, self._workspace.sight.visible_prefix(work), part)
        return None

    def _is_asked(self, place: Place) -> bool:
        return any(place.is_same(asked) for asked, _ in self._asked.values())

    def _ask(self, place: Place) -> None:
        generation = self._link.next_generation()
        buffer = SharedBuffer.create(place.box.shape, np.int32)
        self._asked[generation] = (place, buffer)
        choice = self._model()
        self._link.send(
            FindRegions(
                generation,
                place.work.image_id,
                place.prefix,
                place.box,
                buffer.handle,
                RegionsConfig(),
                _network(choice),
                choice.device,
            )
        )
        self.busy.emit(True)

    def _on_event(self, event: Any) -> None:
        match event:
            case RegionsFound() if event.generation in self._asked:
                place, buffer = self._asked[event.generation]
                leaves = buffer.array.copy()
                self._end(event.generation)
                if place.is_same(self._visible()):
                    self.place = place
                    self._tree = RegionTree(leaves, event.merges, event.sizes, event.features)
                    self._cut()
            case JobDone() if event.generation in self._asked:
                self._end(event.generation)
            case JobFailed() if event.generation in self._asked:
                self._end(event.generation)
                self.failed.emit(event.message)
            case EngineDied():
                for generation in set(self._asked) & set(event.pending):
                    self._end(generation)

    def _end(self, generation: int) -> None:
        _, buffer = self._asked.pop(generation)
        buffer.close()
        self.busy.emit(bool(self._asked))

    def _cut(self) -> None:
        if self._tree is not None:
            self.partition = self._tree.cut(self._granularity)
            self.changed.emit()

    def _forget(self) -> None:
        self.place = self.partition = self._tree = None
        self.changed.emit()

    def _on_opened(self, work: ImageWork) -> None:
        if self.place is not None and self.place.work is work:
            self._forget()  # its pixels are others now
        self.look()


def _network(choice: Configure) -> str | None:
    """Return the weights of the network that the chosen method sees with, if it does."""
    if choice.method != "pixel-head":
        return None
    default = PixelHeadConfig(**dict(choice.parameters)).default_weights
    return None if default is None else choice.weights or default
