"""Watches the label layer of every image, and knows when everything painted is known.

What is painted on an image that is still being read counts as not yet known: the engine could
not be told of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_regcon._qt.paint_tracker import PaintTracker
from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.layers import Labels

    from napari_regcon._qt.workspace import ImageWork, Workspace
    from napari_regcon.session.painted import Prefix


class PaintWatch(QObject):
    """One :class:`PaintTracker` for each image that has a label layer.

    Parameters
    ----------
    workspace : Workspace
        The images.
    parent : QObject, optional
        Owner.

    Attributes
    ----------
    changed : Signal
        ImageWork: what is painted on it is not as it was.
    picked : Signal
        int: label value that is painted now.
    refused : Signal
        str: why what is painted cannot be used.
    caught_up : Signal
        Everything painted up to now, on any image, is known, and can be told to the engine
        unless its image cannot be read.
    """

    changed = Signal(object)
    picked = Signal(int)
    refused = Signal(str)
    caught_up = Signal()

    def __init__(self, workspace: Workspace, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._trackers: dict[ImageWork, PaintTracker] = {}
        workspace.opened.connect(self._on_caught_up)
        workspace.failed.connect(self._on_caught_up)

    def start(self, work: ImageWork, layer: Labels) -> None:
        """Watch this layer of an image from now on, and no other.

        Raises
        ------
        InputError
            If it cannot be painted on; then the one before is watched as ever.
        """
        if layer.multiscale:
            raise InputError(
                "Labels with several resolutions cannot be painted on.",
                next_step="Make a new label layer.",
            )
        tracker = PaintTracker(
            layer,
            work.state.geometry,
            work.state.painted,
            lambda: self._workspace.sight.visible_prefix(work),
            self,
        )
        self._end(work)
        layer.events.selected_label.connect(self._on_selected_label)
        tracker.changed.connect(lambda: self.changed.emit(work))
        tracker.refused.connect(self.refused)
        tracker.caught_up.connect(self._on_caught_up)
        self._trackers[work] = tracker
        tracker.scan_all()

    def stop(self, work: ImageWork) -> None:
        """Watch nothing on an image any more."""
        self._end(work)
        self._on_caught_up()  # nobody has to wait for its strokes any more

    def look_at(self, work: ImageWork, planes: Iterable[Prefix]) -> None:
        """Look soon at planes of a label layer that were written without a stroke."""
        if work in self._trackers:
            self._trackers[work].look_at(planes)

    def catch_up(self) -> bool:
        """Notice what was painted a moment ago; False where that takes longer than a frame."""
        for tracker in self._trackers.values():
            tracker.catch_up()
        return not any(tracker.behind for tracker in self._trackers.values())

    def knows_all(self) -> bool:
        """Tell whether label layers have been looked at since they were edited, and images read."""
        if self._workspace.supply.is_reading(self._workspace.current):
            return False
        return not any(t.behind or t.scanning for t in self._trackers.values())

    def finish(self) -> list[ImageWork]:
        """Notice the last edits without telling of them, and return the images they are on."""
        return [work for work, tracker in self._trackers.items() if tracker.finish()]

    def close(self) -> None:
        """Stop watching all layers."""
        for work in list(self._trackers):
            self._end(work)

    def _end(self, work: ImageWork) -> None:
        tracker = self._trackers.pop(work, None)
        if tracker is not None:
            tracker.layer.events.selected_label.disconnect(self._on_selected_label)
            tracker.close()
            tracker.deleteLater()

    def _on_selected_label(self, event: Any) -> None:
        self.picked.emit(int(event.source.selected_label))

    def _on_caught_up(self, *_: object) -> None:
        if self.knows_all():
            self.caught_up.emit()
