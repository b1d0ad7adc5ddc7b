"""What the engine is given of the images: their pixels, their place, and what is painted on them.

Pixels are made reachable in the background, and given back when an image goes. The engine is told
of an image again where its scale or place is another one, and only of what has changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_regcon._qt.layers import finest
from napari_regcon._qt.sources import make_source, opening, paths_behind
from napari_regcon.worker.protocol import CloseImage, Paint

if TYPE_CHECKING:
    from napari_regcon._qt.background import Background
    from napari_regcon._qt.jobs import EngineLink
    from napari_regcon._qt.sources import Source
    from napari_regcon._qt.workspace import ImageWork


class ImageSupply(QObject):
    """Supplies the engine with images.

    Parameters
    ----------
    link : EngineLink
        Is told of them.
    background : Background
        Makes their pixels reachable.
    parent : QObject, optional
        Owner.

    Attributes
    ----------
    recognised : Signal
        ImageWork: it is known which image it is, though its pixels may still have to be copied.
    opened : Signal
        ImageWork: the engine can reach its pixels now.
    failed : Signal
        str: why it cannot.
    """

    recognised = Signal(object)
    opened = Signal(object)
    failed = Signal(str)

    def __init__(
        self, link: EngineLink, background: Background, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._link = link
        self._background = background
        self._works: list[ImageWork] = []

    def open(self, work: ImageWork) -> None:
        """Make the pixels of an image reachable as they are now."""
        self._let_go(work)
        if work not in self._works:
            self._works.append(work)
        geometry = work.state.geometry
        array = geometry.image_array(finest(work.layer))
        work.opening = self._background.start(
            make_source(array, geometry.axes, paths_behind(work.layer)),
            done=lambda source: self._on_source(work, source),
            failed=lambda message: self._on_no_source(work, message),
            unused=_give_back,
            step=lambda found: self._on_step(work, found),
        )

    def is_reading(self, current: ImageWork | None) -> bool:
        """Tell whether an image that counts is still being read: this one, or a painted one."""
        return any(
            work.opening is not None and (work is current or work.state.is_painted)
            for work in self._works
        )

    def close(self, work: ImageWork) -> None:
        """Let go of an image."""
        self._let_go(work)
        self._works.remove(work)

    def tell_painted(self, work: ImageWork) -> bool:
        """Tell the engine what is newly painted, on any image; False while it cannot see this."""
        for each in self._works:
            if each.source is not None:
                self._tell_image(each, each.source)
                planes = each.state.painted.take_changes()
                if planes:
                    self._link.send(Paint(each.image_id, planes))
        return work.source is not None

    def _let_go(self, work: ImageWork) -> None:
        if work.opening is not None:
            work.opening.cancel()
            work.opening = None
        if work.source is not None:
            self._link.send(CloseImage(work.image_id))
            _give_back(work.source)
            work.source = work.told = None

    def _tell_image(self, work: ImageWork, source: Source) -> None:
        request = opening(work.state, work.layer, source)
        if request != work.told:
            work.told = request
            self._link.send(request)
            work.state.painted.touch_all()

    def _on_step(self, work: ImageWork, found: str | None) -> None:
        if found is not None:
            work.state.fingerprint = found
            self.recognised.emit(work)

    def _on_source(self, work: ImageWork, source: Source) -> None:
        work.opening = None
        work.source = source
        self._tell_image(work, source)
        self.opened.emit(work)

    def _on_no_source(self, work: ImageWork, message: str) -> None:
        work.opening = None
        self.failed.emit(message)


def _give_back(source: Source) -> None:
    if source.buffer is not None:
        source.buffer.close()
