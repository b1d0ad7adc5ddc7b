"""Paint a few labels on a microscopy volume and get the whole volume segmented.

This module is the public Python API. It knows nothing itself: names are resolved on first
use, so ``import napari_regcon`` costs milliseconds and imports neither torch nor napari.

>>> import napari_regcon as rc
>>> volume = rc.open_volume("stack.tif")  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from napari_regcon.data.phantom import Phantom, make_phantom
    from napari_regcon.data.support import SupportSet
    from napari_regcon.data.volumes import open_volume
    from napari_regcon.engine.finetune import FineTuning, finetune
    from napari_regcon.engine.regions import partition, partition_volume
    from napari_regcon.engine.registry import load_segmenter
    from napari_regcon.engine.spread import spread, spread_support, spread_volume
    from napari_regcon.engine.volume import segment_volume
    from napari_regcon.errors import RegconError
    from napari_regcon.session.files import load_session
    from napari_regcon.session.replay import fit_session
    from napari_regcon.types import Box, Volume

__all__ = [
    "Box",
    "FineTuning",
    "Phantom",
    "RegconError",
    "SupportSet",
    "Volume",
    "finetune",
    "fit_session",
    "load_segmenter",
    "load_session",
    "make_phantom",
    "open_volume",
    "partition",
    "partition_volume",
    "segment_volume",
    "spread",
    "spread_support",
    "spread_volume",
]

_HOMES = {
    "Box": "types",
    "FineTuning": "engine.finetune",
    "Phantom": "data.phantom",
    "RegconError": "errors",
    "SupportSet": "data.support",
    "Volume": "types",
    "finetune": "engine.finetune",
    "fit_session": "session.replay",
    "load_segmenter": "engine.registry",
    "load_session": "session.files",
    "make_phantom": "data.phantom",
    "open_volume": "data.volumes",
    "partition": "engine.regions",
    "partition_volume": "engine.regions",
    "segment_volume": "engine.volume",
    "spread": "engine.spread",
    "spread_support": "engine.spread",
    "spread_volume": "engine.spread",
}


def __getattr__(name: str) -> Any:
    """Import the module behind a public name on first use."""
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted([*__all__, "__version__"])
