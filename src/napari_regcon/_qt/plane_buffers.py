"""Shared memory into which the engine writes previews, one plane for each image and kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_regcon.worker.shared import SharedBuffer

if TYPE_CHECKING:
    from napari_regcon._qt.workspace import ImageWork


class PlaneBuffers:
    """Planes of ``uint8``, made when first asked for and kept until their image goes."""

    def __init__(self) -> None:
        self._planes: dict[tuple[str, str], SharedBuffer] = {}

    def __len__(self) -> int:
        return len(self._planes)

    def of(self, work: ImageWork, kind: str) -> SharedBuffer:
        """Return the plane of an image for ``"labels"`` or ``"uncertainty"``, ``(Y, X)``."""
        key = (work.image_id, kind)
        if key not in self._planes:
            shape = work.state.geometry.plane_shape
            self._planes[key] = SharedBuffer.create(shape, np.uint8)
        return self._planes[key]

    def drop(self, work: ImageWork) -> None:
        """Give the memory of an image back."""
        for key in [key for key in self._planes if key[0] == work.image_id]:
            self._planes.pop(key).close()

    def close(self) -> None:
        """Give all memory back."""
        for buffer in self._planes.values():
            buffer.close()
        self._planes.clear()
