"""Preferences that a user sets in napari's own dialog, as the manifest describes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from napari_regcon.worker.protocol import UseCache

PLUGIN = "napari-regcon"
_GB = 2**30


@dataclass(frozen=True)
class Preferences:
    """What the manifest's ``configurations`` hold.

    Parameters
    ----------
    device : str
        Compute device for new docks.
    weights : str
        Weights for new docks; empty for the method's own.
    live : bool
        Whether the live preview is on in new docks.
    scratch_folder : pathlib.Path or None
        Where label volumes too large for the memory are kept; the system's place if None.
    cache : UseCache
        How much is kept of computed features, and where.
    """

    device: str = "auto"
    weights: str = ""
    live: bool = True
    scratch_folder: Path | None = None
    cache: UseCache = field(default_factory=lambda: UseCache(2 * _GB, 10 * _GB))


def load_preferences() -> Preferences:
    """Return the user's preferences; the defaults where napari is too old to have any."""
    try:
        from napari.settings import get_plugin_settings

        values = get_plugin_settings(PLUGIN).general
    except (ImportError, KeyError, AttributeError):
        return Preferences()
    return Preferences(
        device=str(values.device),
        weights=str(values.weights).strip(),
        live=bool(values.live),
        scratch_folder=_folder(values.scratch_folder),
        cache=UseCache(
            max(1, round(values.cache_memory_gb * _GB)),
            max(0, round(values.cache_disk_gb * _GB)),
            _folder(values.cache_folder),
        ),
    )


def _folder(text: object) -> Path | None:
    """Return the folder a user has typed; None where nothing is."""
    typed = str(text).strip()
    return Path(typed).expanduser() if typed else None
