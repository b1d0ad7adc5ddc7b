"""What a person paints into final labels: locked against the tool, and said to the model.

Only what napari tells of as a stroke, fill or polygon counts, so nothing that a tool has written.
An undo, of which napari does not tell, is noticed as the final layer is drawn anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_regcon._qt.atoms import changes_of
from napari_regcon._qt.layers import refresh_box
from napari_regcon.types import Box

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.layers import Labels

    from napari_regcon._qt.classes import Classes
    from napari_regcon._qt.correction import Correction
    from napari_regcon._qt.finals import Finals
    from napari_regcon._qt.labelling import Labelling
    from napari_regcon._qt.paint_watch import PaintWatch
    from napari_regcon._qt.workspace import ImageWork, Workspace
    from napari_regcon.session.corrections import PlaneChange
    from napari_regcon.session.painted import Prefix
    from napari_regcon.types import LazyArray


class Handwork(QObject):
    """Follows what a person does to final layers.

    Parameters
    ----------
    workspace : Workspace
        The images.
    classes : Classes
        Which one is the background.
    labelling : Labelling
        Where the model is told something.
    watch : PaintWatch
        Is told where to look.
    finals : Finals
        Tell of strokes.
    correction : Correction
        Writes into final labels, too.
    parent : QObject, optional
        Owner.

    Attributes
    ----------
    changed : Signal
        ImageWork: a person painted into its final layer, or undid that.
    noted : Signal
        str: what the model was told, or not.
    """

    changed = Signal(object)
    noted = Signal(str)

    def __init__(
        self,
        workspace: Workspace,
        classes: Classes,
        labelling: Labelling,
        watch: PaintWatch,
        finals: Finals,
        correction: Correction,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._teaches = True
        self._workspace = workspace
        self._classes = classes
        self._labelling = labelling
        self._watch = watch
        self._correction = correction
        finals.painted.connect(self._on_painted)
        finals.refreshed.connect(self._follow)
        correction.changed.connect(self._on_written)

    def set_teaching(self, on: bool) -> None:
        """Tell the model of what is painted into final labels from now on, or not."""
        self._teaches = on

    def _on_painted(self, work: ImageWork, item: Iterable[Any]) -> None:
        changes = list(changes_of(item, work.state.geometry))
        self._have_the_last_word(work, changes)
        labels = self._labels_for(work, changes) if self._teaches else None
        background, state = self._classes.table.background or 0, work.state
        planes, n_kept = state.corrections.add(changes, labels, background, state.locks)
        self._show_said(work, planes)
        if n_kept:
            self.noted.emit(
                f"The model was not told of {n_kept:,} corrected px: strokes in the labels say "
                "something else there. Erase those if they are wrong."
            )
        elif planes:
            self.noted.emit("The model learns from your correction, too: see the labels.")
        self.changed.emit(work)

    def _have_the_last_word(self, work: ImageWork, changes: list[PlaneChange]) -> None:
        """Paint again what the tool wrote over while the mouse button was still down."""
        final: Any = work.labels_in(work.final)
        for change in changes if final is not None else ():
            place = (*change.prefix, *change.box.slices)
            here = np.asarray(final[place])
            if not np.array_equal(here[change.mask], change.after[change.mask]):
                final[place] = np.where(change.mask, change.after, here)
                self._show(work, work.final, [change.prefix])

    def _follow(self, work: ImageWork) -> None:
        """Notice what was undone or redone; what the tool is writing is neither."""
        if self._correction.busy:
            return
        final = work.labels_in(work.final)
        if final is not None:
            labels = work.labels_in(work.labels)
            is_new, planes = work.state.corrections.follow(final, labels, work.state.locks)
            self._show_said(work, planes)
            if is_new:
                self.changed.emit(work)

    def _on_written(self) -> None:
        for work in self._workspace.works():
            work.state.corrections.forget_undone()

    def _labels_for(self, work: ImageWork, changes: list[PlaneChange]) -> LazyArray | None:
        """Return the labels to write into, made if there is something to say."""
        background = self._classes.table.background or 0
        if work.labels is None and any(c.means(background).any() for c in changes):
            selection = self._workspace.viewer.layers.selection
            active = selection.active
            self._labelling.new_layer(work)
            selection.active = active  # whoever is painting goes on with it
        return work.labels_in(work.labels)

    def _show_said(self, work: ImageWork, planes: list[Prefix]) -> None:
        if planes:
            self._watch.look_at(work, planes)
            self._show(work, work.labels, planes)

    def _show(self, work: ImageWork, layer: Labels | None, planes: list[Prefix]) -> None:
        if layer is not None and self._workspace.sight.visible_prefix(work) in planes:
            whole = Box.of_shape(work.state.geometry.plane_shape)
            refresh_box(layer, work.state.geometry, whole)
