"""The visible slice as another method sees it: asked of the engine, one slice at a time.

What is done with the answer is the asker's affair. Nothing here knows layers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_regcon._qt.plane_buffers import PlaneBuffers
from napari_regcon.types import Box
from napari_regcon.worker.protocol import EngineDied, JobDone, JobFailed, Preview, PreviewDone

if TYPE_CHECKING:
    from napari_regcon._qt.jobs import EngineLink
    from napari_regcon._qt.workspace import ImageWork, Workspace
    from napari_regcon.session.painted import Prefix
    from napari_regcon.worker.protocol import Configure


class PlaneRequest(QObject):
    """Asks for whole slices, of which the newest counts.

    Parameters
    ----------
    workspace : Workspace
        The images.
    link : EngineLink
        Is asked.
    kind : str
        What the slices are for. A newer request of the same kind makes an older one void.
    parent : QObject, optional
        Owner.

    Attributes
    ----------
    busy : Signal
        bool: whether an answer is awaited. False comes before any of the following.
    found : Signal
        ImageWork, tuple of int, numpy.ndarray: the image, the slice, and uint8 classes ``(Y, X)``
        that the next answer overwrites.
    failed : Signal
        str: why there is no answer.
    """

    busy = Signal(bool)
    found = Signal(object, object, object)
    failed = Signal(str)

    def __init__(
        self,
        workspace: Workspace,
        link: EngineLink,
        kind: str,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._sight = workspace.sight
        self._link = link
        self._kind = kind
        self._buffers = PlaneBuffers()
        self._asked: tuple[int, ImageWork, Prefix] | None = None
        link.event.connect(self._on_event)
        workspace.removed.connect(self._drop)

    def ask(self, work: ImageWork, model: Configure) -> None:
        """Ask what a method makes of the visible slice of an image."""
        generation, prefix = self._link.next_generation(), self._sight.visible_prefix(work)
        self._asked = (generation, work, prefix)
        whole = Box.of_shape(work.state.geometry.plane_shape)
        out = self._buffers.of(work, self._kind).handle
        self._link.send(
            Preview(generation, work.image_id, prefix, whole, out, kind=self._kind, model=model)
        )
        self.busy.emit(True)

    def cancel(self) -> None:
        """Await no answer any more."""
        if self._asked is not None:
            self._link.cancel(self._asked[0])
            self._end()

    def close(self) -> None:
        """Give the memory back."""
        self._buffers.close()

    def _on_event(self, event: Any) -> None:
        if self._asked is None:
            return
        generation, work, prefix = self._asked
        match event:
            case PreviewDone(final=True) if event.generation == generation:
                self._end()
                self.found.emit(work, prefix, self._buffers.of(work, self._kind).array)
            case JobDone() if event.generation == generation:
                self._end()
            case JobFailed() if event.generation == generation:
                self._end()
                self.failed.emit(event.message)
            case EngineDied() if generation in event.pending:
                self._end()

    def _end(self) -> None:
        self._asked = None
        self.busy.emit(False)

    def _drop(self, work: ImageWork) -> None:
        if self._asked is not None and self._asked[1] is work:
            self._end()
        self._buffers.drop(work)
