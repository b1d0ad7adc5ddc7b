"""Fills the visible slice from its strokes, shows that, and makes it a complete slice if wanted.

What is filled lies in a layer of its own, where it can be corrected; the label layer is written
only when the user takes it, in one step, and only where nothing is painted. Undoing that step takes
the mark "complete" back as well: a few strokes marked complete would say something wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_regcon._qt.atoms import changes_of
from napari_regcon._qt.layers import refresh_box
from napari_regcon._qt.painting import paint_free
from napari_regcon._qt.plane_request import PlaneRequest
from napari_regcon.session.locks import Locks
from napari_regcon.session.painted import crop
from napari_regcon.types import Box
from napari_regcon.worker.protocol import Configure

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Labels

    from napari_regcon._qt.jobs import EngineLink
    from napari_regcon._qt.labelling import Labelling
    from napari_regcon._qt.marking import Marking
    from napari_regcon._qt.paint_watch import PaintWatch
    from napari_regcon._qt.results import Results
    from napari_regcon._qt.workspace import ImageWork, Workspace
    from napari_regcon.session.marks import Mark
    from napari_regcon.session.painted import Patch, Prefix


@dataclass(eq=False)
class _Taken:
    """A slice that was taken: what was painted and marked before and after, and if it is undone."""

    before: Patch
    after: Patch
    marks: tuple[Mark, ...]
    undone: bool = False


@dataclass(eq=False)
class _Layer:
    """What of a layer is of use: planes that are filled, and pixels that were corrected in it."""

    filled: set[Prefix] = field(default_factory=set)
    edited: Locks = field(default_factory=Locks)


class Filling(QObject):
    """Fills slices of the chosen image.

    Parameters
    ----------
    workspace : Workspace
        The images.
    link : EngineLink
        Does it.
    watch : PaintWatch
        Knows what is painted.
    labelling, marking : Labelling, Marking
        The label layer and the complete parts.
    results : Results
        Adds the layer.
    device : callable
        Returns what computes.
    parent : QObject, optional
        Owner.

    Attributes
    ----------
    busy : Signal
        bool: whether a slice is being filled.
    changed : Signal
        Something is filled now, or no longer.
    noted : Signal
        str: what was done, or why not.
    failed : Signal
        str: why a slice cannot be filled.
    """

    busy = Signal(bool)
    changed = Signal()
    noted = Signal(str)
    failed = Signal(str)

    def __init__(
        self,
        workspace: Workspace,
        link: EngineLink,
        watch: PaintWatch,
        labelling: Labelling,
        marking: Marking,
        results: Results,
        device: Callable[[], str],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._watch = watch
        self._marking = marking
        self._results = results
        self._device = device
        self._waits = False
        self._layers: dict[Labels, _Layer] = {}
        self._taken: dict[tuple[ImageWork, Prefix], _Taken] = {}
        self._request = PlaneRequest(workspace, link, "filled", self)
        self._request.busy.connect(self.busy)
        self._request.found.connect(self._show)
        self._request.failed.connect(self.failed)
        watch.caught_up.connect(self._ask_if_waiting)
        labelling.painted.connect(self._follow_undo)
        workspace.removed.connect(self._drop)
        workspace.layer_lost.connect(self._forget_layers)

    def is_filled(self, work: ImageWork, prefix: Prefix) -> bool:
        """Tell whether a plane is filled, and not taken yet."""
        return work.filled is not None and bool(self._plane(work, prefix).any())

    def fill(self) -> None:
        """Fill the visible slice, also anew; what was corrected in the layer stays."""
        self._waits = True
        self._watch.catch_up()
        self._ask_if_waiting()

    def take(self) -> None:
        """Paint what is filled where nothing is painted, and mark the slice as complete."""
        work = self._workspace.current
        if work is None or work.labels is None or work.filled is None:
            return
        prefix, state = self._workspace.sight.visible_prefix(work), work.state
        if prefix in state.locks.slices:
            self.noted.emit("This slice is locked. Unlock it first (section Correct).")
            return
        marks = tuple(mark for mark in state.marks if mark.prefix == prefix)
        before = crop(self._labels(work, work.labels)[prefix])
        values = np.where(*self._final(work, prefix), self._plane(work, prefix))
        paint_free(work.labels, state.geometry, prefix, values)
        after = crop(self._labels(work, work.labels)[prefix])
        self._taken[work, prefix] = _Taken(before, after, marks)
        self._marking.mark_slice()
        self._clear(work, prefix)
        self.noted.emit("The slice is complete now. Ctrl+Z in the label layer takes it back.")

    def discard(self) -> None:
        """Forget what is filled on the visible slice."""
        work = self._workspace.current
        if work is not None and work.filled is not None:
            self._clear(work, self._workspace.sight.visible_prefix(work))
            self.noted.emit("")

    def close(self) -> None:
        """Give the memory back."""
        self._request.close()

    def _final(self, work: ImageWork, prefix: Prefix) -> tuple[np.ndarray, np.ndarray]:
        """Return where the final labels are locked by hand, and what they are."""
        plane = np.zeros(work.state.geometry.plane_shape, np.uint8)
        if work.final is not None:
            plane = np.asarray(self._labels(work, work.final)[prefix])
        return work.state.locks.locked(prefix, plane) & (plane != 0), plane

    def _ask_if_waiting(self) -> None:
        work = self._workspace.current
        if not self._waits or work is None or not self._watch.knows_all():
            return
        self._waits = False
        if not self._workspace.supply.tell_painted(work):
            self.noted.emit("The image could not be read. Choose it again in the section Image.")
            return
        self._request.ask(work, Configure(self._device(), "spread"))

    def _show(self, work: ImageWork, prefix: Prefix, found: np.ndarray) -> None:
        if work.filled is None:
            work.filled = self._results.add_layer(work, "filled", hide_background=False)
            self._layers[work.filled] = _Layer()
            work.filled.events.paint.connect(self._on_edit)
        plane = self._plane(work, prefix)
        painted = np.zeros_like(plane)
        work.state.painted.patch(prefix).paint_on(painted)
        kept = self._layers[work.filled]
        kept.filled.add(prefix)
        corrected = kept.edited.locked(prefix, plane) & (painted == 0)
        np.copyto(plane, found, where=~corrected)
        work.filled.visible = True
        self._refresh(work, prefix)
        self.noted.emit(
            "Filled from your strokes, in the layer “filled”. Where it is wrong, paint more "
            "strokes and fill again, or paint into that layer. Then take it."
        )

    def _clear(self, work: ImageWork, prefix: Prefix) -> None:
        layer = work.filled
        if layer is None:
            return
        kept = self._layers[layer]
        self._plane(work, prefix)[...] = 0
        kept.edited.unlock_pixels(prefix)
        kept.filled.discard(prefix)
        if kept.filled or kept.edited.n_pixel_planes:
            self._refresh(work, prefix)
            return
        layers = self._workspace.viewer.layers
        was_active = layers.selection.active is layer
        layers.remove(layer)
        if was_active and work.labels is not None:
            layers.selection.active = work.labels

    def _refresh(self, work: ImageWork, prefix: Prefix) -> None:
        if work.filled is not None and prefix == self._workspace.sight.visible_prefix(work):
            whole = Box.of_shape(work.state.geometry.plane_shape)
            refresh_box(work.filled, work.state.geometry, whole)
        self.changed.emit()

    def _on_edit(self, event: Any) -> None:
        work = next((w for w in self._workspace.works() if w.filled is event.source), None)
        if work is not None:
            for change in changes_of(event.value, work.state.geometry):
                self._layers[event.source].edited.lock_pixels(
                    change.prefix, change.origin, change.mask
                )

    def _follow_undo(self, work: ImageWork) -> None:
        """Take marks back where the user undid what was taken, and set them where it was redone."""
        for (owner, prefix), taken in self._taken.items():
            patch, marks = work.state.painted.patch(prefix), work.state.marks
            if owner is not work:
                continue
            if not taken.undone and patch.same(taken.before):
                marks.replace_all([*(m for m in marks if m.prefix != prefix), *taken.marks])
            elif taken.undone and patch.same(taken.after):
                marks.add_slice(prefix)
            else:
                continue
            taken.undone = not taken.undone
            work.state.painted.touch(prefix)
            self._marking.marked.emit(work)

    def _labels(self, work: ImageWork, layer: Labels) -> np.ndarray:
        return np.asarray(work.state.geometry.label_array(layer.data))

    def _plane(self, work: ImageWork, prefix: Prefix) -> np.ndarray:
        plane: np.ndarray = self._labels(work, work.filled)[prefix]
        return plane

    def _forget_layers(self) -> None:
        there = [work.filled for work in self._workspace.works()]
        self._layers = {layer: kept for layer, kept in self._layers.items() if layer in there}
        self.changed.emit()

    def _drop(self, work: ImageWork) -> None:
        for key in [key for key in self._taken if key[0] is work]:
            del self._taken[key]
