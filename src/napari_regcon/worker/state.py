"""What the engine has been told, so that one that starts anew can be told the same.

Kept on the window's side. Painted labels are kept as the compressed bytes they travel in, so
this stays small next to the image. Nothing here knows how messages travel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_regcon.worker import wire
from napari_regcon.worker.protocol import (
    CloseImage,
    Configure,
    OpenImage,
    Paint,
    PaintedPlane,
    Request,
    SetClasses,
    UseCache,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

Prefix = tuple[int, ...]


class EngineState:
    """A copy of everything in the engine that a user would miss."""

    def __init__(self) -> None:
        self._cache: UseCache | None = None
        self._configure: Configure | None = None
        self._classes: SetClasses | None = None
        self._images: dict[str, OpenImage] = {}
        self._planes: dict[str, dict[Prefix, bytes]] = {}

    def apply(self, request: Request) -> bool:
        """Take a request into account; False if it changes nothing that has to be kept."""
        match request:
            case UseCache():
                self._cache = request
            case Configure():
                self._configure = request
            case SetClasses():
                self._classes = request
            case OpenImage(image_id=image_id):
                self._images[image_id] = request
                self._planes[image_id] = {}
            case CloseImage(image_id=image_id):
                self._images.pop(image_id, None)
                self._planes.pop(image_id, None)
            case Paint(image_id=image_id) if image_id in self._images:
                for plane in request.planes:
                    self._paint(image_id, plane)
            case _:
                return False
        return True

    def _paint(self, image_id: str, plane: PaintedPlane) -> None:
        if plane.complete or plane.labels.array.any():
            self._planes[image_id][plane.prefix] = wire.pack(plane)
        else:
            self._planes[image_id].pop(plane.prefix, None)

    def replay(self) -> Iterator[Request]:
        """Yield requests that bring a new engine to the same state."""
        settings = (self._cache, self._configure, self._classes)
        yield from (r for r in settings if r is not None)
        for image_id, request in self._images.items():
            yield request
            for packed in self._planes[image_id].values():
                yield Paint(image_id, (wire.unpack(packed),))
