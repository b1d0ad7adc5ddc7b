"""Accepting predictions into the final labels, and undoing that, or what a volume has changed.

What changes is worked out in the background, plane by plane, and written in the window's own
thread, as strokes are: what somebody paints meanwhile is never overwritten. One step at a time:
while one is under way, the next is refused with a word.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_regcon._qt.layers import refresh_box
from napari_regcon.errors import InputError
from napari_regcon.session.accept import Scope, accept, object_planes
from napari_regcon.session.start_from import copy_labels
from napari_regcon.types import Box

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari.layers import Labels

    from napari_regcon._qt.background import Background
    from napari_regcon._qt.classes import Classes
    from napari_regcon._qt.finals import Finals
    from napari_regcon._qt.workspace import ImageWork, Workspace
    from napari_regcon.session.before import Before
    from napari_regcon.session.history import BoxChange, Edit
    from napari_regcon.session.locks import Locks
    from napari_regcon.session.painted import PaintedPlanes, Prefix
    from napari_regcon.types import LazyArray


class Correction(QObject):
    """Merges predictions into final labels.

    Parameters
    ----------
    workspace : Workspace
        The images.
    classes : Classes
        Which one is the background.
    finals : Finals
        The final layers.
    background : Background
        Does the work.
    parent : QObject, optional
        Owner.

    Attributes
    ----------
    busy : bool
        Whether a step is under way.
    changed : Signal
        A step began or ended.
    failed : Signal
        str: why a step could not be done.
    noted : Signal
        str: what was done.
    """

    changed = Signal()
    failed = Signal(str)
    noted = Signal(str)

    def __init__(
        self,
        workspace: Workspace,
        classes: Classes,
        finals: Finals,
        background: Background,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.busy = False
        self._workspace = workspace
        self._classes = classes
        self._finals = finals
        self._background = background

    def accept_slice(self) -> None:
        """Take the prediction of the visible slice."""
        work = self._workspace.current
        outside = self._workspace.sight.outside(work) if work is not None else ""
        if outside:
            self.failed.emit(outside)
        elif work is not None:
            prefix = self._workspace.sight.visible_prefix(work)
            self._accept(work, lambda _: Scope(f"accept {_name(prefix)}", [prefix]))

    def accept_volume(self) -> None:
        """Take the whole prediction."""
        work = self._workspace.current
        if work is not None:
            self._accept(work, lambda _: Scope("accept everything", _planes(work)))

    def accept_class(self, value: int) -> None:
        """Take one class of the prediction, on all slices."""
        work = self._workspace.current
        if work is not None and value in self._classes.table:
            title = f"accept {self._classes.table[value].name}"
            self._accept(work, lambda _: Scope(title, _planes(work), value=value))

    def accept_object(self) -> None:
        """Take the object of the prediction that is under the mouse."""
        work = self._workspace.current
        if work is None:
            return
        place = self._workspace.sight.place_under_mouse(work)
        if place is None:
            self.failed.emit("Point at an object of the prediction first, then use the key.")
            return
        self._accept(work, lambda prediction: _object_scope(prediction, place))

    def start_from(self, layer: Labels) -> None:
        """Make labels that are there already, from any tool, the final labels to correct."""
        work = self._workspace.current
        if work is None:
            return
        try:
            source = work.state.geometry.label_array(layer.data)
        except InputError as error:
            self.failed.emit(str(error))
            return
        table = self._classes.table
        objects = next((c.value for c in table if c.value != table.background), 1)
        values = {c.value for c in table}
        final = self._finals.final_of(work)[1]
        steps = copy_labels(
            source, final, _planes(work), values, objects, table.background or 0,
            work.state.painted, work.state.locks,
        )  # fmt: skip
        self._run(work, steps, partial(self._write, work, final), self._done)

    def remember_volume(self, work: ImageWork, before: Before) -> None:
        """Make what whole-volume work has changed in the prediction a step that can be undone."""
        labels = work.labels_in(work.prediction)
        if labels is not None:
            planes = work.state.predictions.done_planes()
            steps = before.edit("segment the volume", labels, planes, "prediction")
            self._background.start(steps, done=lambda edit: self._keep(work, edit))

    def _keep(self, work: ImageWork, edit: Edit) -> None:
        if edit.changes:
            work.state.history.push(edit)
            self.changed.emit()

    def undo(self) -> None:
        """Take the last step back."""
        self._step_through(forward=False)

    def redo(self) -> None:
        """Do the last step that was taken back again."""
        self._step_through(forward=True)

    def _accept(self, work: ImageWork, scope: Callable[[LazyArray], Scope]) -> None:
        if work.prediction is None or work.state.predictions.is_empty:
            self.failed.emit("There is no prediction to accept yet.")
            return
        try:
            prediction = work.state.geometry.label_array(work.prediction.data)
            final = self._finals.final_of(work)[1]
        except (InputError, OSError) as error:
            self.failed.emit(str(error))
            return
        steps = _accept(prediction, final, work.state.painted, work.state.locks, scope)
        self._run(work, steps, partial(self._write, work, final), self._done)

    def _run(
        self,
        work: ImageWork,
        steps: Generator[BoxChange | None, None, Any],
        write: Callable[[BoxChange | None], None],
        done: Callable[[ImageWork, Any], None],
    ) -> None:
        if self.busy:
            self.failed.emit("The step before is still under way.")
            return
        self.busy = True
        self.changed.emit()
        self._background.start(
            steps,
            step=write,
            done=lambda value: done(work, value),
            failed=self._on_failed,
        )

    def _write(
        self,
        work: ImageWork,
        labels: LazyArray,
        change: BoxChange | None,
        *,
        target: str = "final",
        forward: bool = True,
    ) -> None:
        if change is None:
            return
        locks = work.state.locks if target == "final" else None
        box = change.apply(labels, forward=forward, locks=locks)
        layer = getattr(work, target)
        if layer is not None and box.start[:-2] == self._workspace.sight.visible_prefix(work):
            refresh_box(layer, work.state.geometry, Box(box.start[-2:], box.stop[-2:]))

    def _done(self, work: ImageWork, edit: Edit) -> None:
        self.busy = False
        if not edit.changes:
            self.noted.emit("Nothing changed: it was accepted already, or it is locked.")
        elif work.state.history.push(edit):
            self.noted.emit(f"Done: {edit.title}.")
        else:
            self.noted.emit(f"Done: {edit.title}. It is too large to be undone.")
        self.changed.emit()

    def _step_through(self, *, forward: bool) -> None:
        work = self._workspace.current
        if work is None or self.busy:
            return
        history = work.state.history
        edit = history.next_redo if forward else history.next_undo
        labels = None if edit is None else work.labels_in(getattr(work, edit.target))
        if edit is None or labels is None:
            return
        if edit.target == "prediction" and not forward:
            work.state.predictions.forget_volume()
        _ = history.redo() if forward else history.undo()
        write = partial(self._write, work, labels, target=edit.target, forward=forward)
        self._run(work, _changes(edit, forward=forward), write, self._stepped)

    def _stepped(self, _work: ImageWork, title: str) -> None:
        self.busy = False
        self.noted.emit(title)
        self.changed.emit()

    def _on_failed(self, message: str) -> None:
        self.busy = False
        self.failed.emit(message)
        self.changed.emit()


def _planes(work: ImageWork) -> list[Prefix]:
    return list(np.ndindex(work.state.geometry.label_shape[:-2]))


def _name(prefix: Prefix) -> str:
    return "slice " + ", ".join(str(i) for i in prefix) if prefix else "the image"


def _object_scope(prediction: LazyArray, place: tuple[int, ...]) -> Scope:
    masks = object_planes(prediction, place)
    return Scope("accept an object", list(masks), mask=masks)


def _accept(
    prediction: LazyArray,
    final: LazyArray,
    painted: PaintedPlanes,
    locks: Locks,
    scope: Callable[[LazyArray], Scope],
) -> Generator[BoxChange | None, None, Edit]:
    edit = yield from accept(prediction, final, painted, locks, scope(prediction))
    return edit


def _changes(edit: Edit, *, forward: bool) -> Generator[BoxChange, None, str]:
    yield from edit.changes
    return f"{'Did again' if forward else 'Took back'}: {edit.title}."
