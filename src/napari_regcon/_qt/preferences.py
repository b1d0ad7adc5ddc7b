"""Preferences that a user sets in napari's own dialog, as the manifest describes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PLUGIN = "napari-regcon"


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
    """

    device: str = "auto"
    weights: str = ""
    live: bool = True
    scratch_folder: Path | None = None


def load_preferences() -> Preferences:
    """Return the user's preferences; the defaults where napari is too old to have any."""
    try:
        from napari.settings import get_plugin_settings

        values = get_plugin_settings(PLUGIN).general
    except (ImportError, KeyError, AttributeError):
        return Preferences()
    folder = str(values.scratch_folder).strip()
    return Preferences(
        device=str(values.device),
        weights=str(values.weights).strip(),
        live=bool(values.live),
        scratch_folder=Path(folder).expanduser() if folder else None,
    )
