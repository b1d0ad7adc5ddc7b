"""The folder in which sessions are saved by themselves.

Every dock writes a file of its own per image, named after the image's fingerprint and the time,
so that a new session never overwrites an old one. Old files are removed. Final labels live in
files beside them.
"""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from napari_regcon.session.files import SUFFIX

if TYPE_CHECKING:
    from collections.abc import Iterable

DIR_VARIABLE = "NAPARI_REGCON_SESSIONS_DIR"
"""Environment variable with another folder for sessions."""
MOST_PER_IMAGE = 5
MOST_FILES = 100


def sessions_dir() -> Path:
    """Return the folder; it need not exist yet."""
    chosen = os.environ.get(DIR_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    return platformdirs.user_data_path("napari-regcon", appauthor=False) / "sessions"


def new_session_path(fingerprint: str) -> Path:
    """Return a file for a new session on an image."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return sessions_dir() / f"{fingerprint}_{stamp}-{uuid.uuid4().hex[:6]}{SUFFIX}"


def final_path(session: Path) -> Path:
    """Return the file that the final labels of a session live in."""
    return session.with_suffix(".final.npy")


def saved_sessions(fingerprint: str) -> list[Path]:
    """Return the sessions saved for an image, the newest first."""
    return _newest_first(sessions_dir().glob(f"{fingerprint}_*{SUFFIX}"))


def remove_session(session: Path) -> None:
    """Remove a session and the final labels that belong to it."""
    session.unlink(missing_ok=True)
    final_path(session).unlink(missing_ok=True)


def remove_old(fingerprint: str, keep: Path) -> None:
    """Remove the oldest sessions of an image, and of all images.

    Parameters
    ----------
    fingerprint : str
        The image.
    keep : pathlib.Path
        The session that is under way.
    """
    for path in saved_sessions(fingerprint)[MOST_PER_IMAGE:]:
        if path != keep:
            remove_session(path)
    for path in _newest_first(sessions_dir().glob(f"*{SUFFIX}"))[MOST_FILES:]:
        if path != keep:
            remove_session(path)


def _newest_first(paths: Iterable[Path]) -> list[Path]:
    dated = []
    for path in paths:
        try:
            dated.append((path.stat().st_mtime, path))
        except FileNotFoundError:
            continue  # another window was quicker
    return [path for _, path in sorted(dated, reverse=True)]
