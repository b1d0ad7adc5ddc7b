"""Notices whatever a user does to a label layer: stroke, fill, erase, undo, redo, new data.

napari tells of strokes and fills and where they are, but not of undo and redo, which only refresh
the layer. So after a stroke its box, and after a refresh the visible plane and, in the breaks of
the event loop, the planes painted before are compared with what is known of them. Planes that may
just have been edited come before those of a layer that is looked through as a whole. What changed
is kept in :class:`PaintedPlanes`; what becomes of it is not known here.
"""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Qt, QTimer, Signal

from napari_regcon._qt.atoms import boxes_of
from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from napari.layers import Labels

    from napari_regcon.session.geometry import Geometry
    from napari_regcon.session.painted import PaintedPlanes, Prefix
    from napari_regcon.types import Box

SLICE_S = 0.008
"""How long one break of the event loop is used for comparing planes."""
CATCH_UP_S = 0.025
"""How long the window may wait for what was just edited before something is asked for."""


class PaintTracker(QObject):
    """Keeps the painted planes of one label layer up to date.

    Parameters
    ----------
    layer : napari.layers.Labels
        The layer a user paints on.
    geometry : Geometry
        Axes of its image.
    painted : PaintedPlanes
        Kept up to date.
    visible : callable
        Returns the plane that is shown.
    parent : QObject, optional
        Owner.

    Attributes
    ----------
    changed : Signal
        Planes are not as they were.
    refused : Signal
        str: why what is painted cannot be used.
    caught_up : Signal
        All edits are known; where ``scanning`` is false too, so is everything else.
    """

    changed = Signal()
    refused = Signal(str)
    caught_up = Signal()
    _noticed = Signal()

    def __init__(
        self,
        layer: Labels,
        geometry: Geometry,
        painted: PaintedPlanes,
        visible: Callable[[], Prefix],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.layer = layer
        self._geometry = geometry
        self._painted = painted
        self._visible = visible
        self._labels = geometry.label_array(layer.data)
        self._shown = visible()
        self._edited: dict[Prefix, Box | None] = {}
        """Where; None for anywhere on the plane."""
        self._unread: dict[Prefix, Box | None] = {}
        self._doubtful: set[Prefix] = set()
        """Planes that were refused, or not looked at because another one was."""
        self._timer = QTimer(self)
        self._timer.setInterval(0)
        self._timer.timeout.connect(lambda: self._compare_some(SLICE_S))
        # Queued, it arrives before the window is drawn anew, a timer only after that.
        self._noticed.connect(self._compare_edited, Qt.ConnectionType.QueuedConnection)
        layer.events.paint.connect(self._on_paint)
        layer.events.set_data.connect(self._on_refresh)
        layer.events.data.connect(self._on_new_data)

    def scan_all(self) -> None:
        """Look at every plane, a few at a time, for example of a layer that was just chosen."""
        outer = self._geometry.label_shape[:-2]
        self._unread = dict.fromkeys(itertools.product(*(range(n) for n in outer)))
        self.look_at([self._visible()])

    def look_at(self, planes: Iterable[Prefix]) -> None:
        """Compare these planes soon: they may have been edited."""
        self._edited |= dict.fromkeys(planes)
        self._notice()

    def _notice(self) -> None:
        if self._edited:
            self._timer.start()
            self._noticed.emit()

    @property
    def scanning(self) -> bool:
        """Whether there are planes of the whole layer still to be looked at."""
        return bool(self._unread)

    @property
    def behind(self) -> bool:
        """Whether planes that may have been edited are still to be looked at."""
        return bool(self._edited)

    def catch_up(self) -> bool:
        """Look at edited planes at once, but not for long; tell whether all are known now."""
        if self.behind:
            self._compare_some(CATCH_UP_S)
        return not self.behind

    def finish(self) -> bool:
        """Look at all edited planes, telling nobody; return whether anything was new."""
        edited, self._edited = self._edited, {}
        new = [self._compare(prefix, box) for prefix, box in edited.items()]
        return any(new)

    def close(self) -> None:
        """Stop listening."""
        self._timer.stop()
        self._forget_queues()
        self.layer.events.paint.disconnect(self._on_paint)
        self.layer.events.set_data.disconnect(self._on_refresh)
        self.layer.events.data.disconnect(self._on_new_data)

    def _on_paint(self, event: Any) -> None:
        # napari may tell of a stroke before it is in the data, so nothing is compared right now.
        for atom in event.value:
            for prefix, box in boxes_of(atom, self._geometry):
                known = None if prefix in self._doubtful else self._edited.get(prefix, box)
                self._edited[prefix] = known and known.around(box)
        self._notice()

    def _on_refresh(self, _event: Any = None) -> None:
        shown, before = self._visible(), self._shown
        self._shown = shown
        self.look_at([shown])
        if shown == before:
            self.look_at(self._painted.seen())

    def _on_new_data(self, _event: Any = None) -> None:
        try:
            self._labels = self._geometry.label_array(self.layer.data)
        except InputError as error:
            self.refused.emit(str(error))
            return
        self.scan_all()

    def _compare_edited(self) -> None:
        if self.behind:
            self._compare_some(SLICE_S)

    def _compare_some(self, seconds: float) -> None:
        end = time.perf_counter() + seconds
        changed = False
        was_behind = self.behind
        while (queue := self._edited or self._unread) and time.perf_counter() < end:
            prefix = next(iter(queue))
            changed |= self._compare(prefix, queue.pop(prefix))
        if not queue:
            self._timer.stop()
        if changed:
            self.changed.emit()
        if not self.behind and (was_behind or not self.scanning):
            self.caught_up.emit()

    def _compare(self, prefix: Prefix, box: Box | None) -> bool:
        try:
            changed = self._painted.update(prefix, np.asarray(self._labels[prefix]), box)
        except InputError as error:
            self._doubtful |= {prefix, *self._edited, *self._unread}
            self._forget_queues()
            self.refused.emit(str(error))
            return False
        if box is None:
            self._doubtful.discard(prefix)
        return changed

    def _forget_queues(self) -> None:
        self._edited.clear()
        self._unread.clear()
