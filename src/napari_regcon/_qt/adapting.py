"""Adapts features to the images of the workspace, in the background, while painting goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_regcon._qt.training import Training
from napari_regcon.worker.protocol import AdaptFeatures

if TYPE_CHECKING:
    from pathlib import Path

    from napari_regcon.worker.protocol import Request


class Adapting(Training):
    """One adaptation at a time; like a training, but what is painted does not count."""

    PREFIX = "adapted"

    def _request(self, out: Path, config: Any, start: str | None, device: str) -> Request:
        return AdaptFeatures(self._generation, out, config, start, device)
