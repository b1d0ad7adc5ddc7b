"""The folder in which sessions are saved by themselves.

Every dock writes a file of its own per image, named after the image's fingerprint and the time,
so that a new session never overwrites an old one. Old files are removed. Final labels live in
files beside them. A session that a dock works on is held by a lock of the operating system, which
goes with the process that has it, however that ends.
"""

from __future__ import annotations

import os
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
from filelock import FileLock, Timeout

from napari_regcon.session.files import SUFFIX

if TYPE_CHECKING:
    from collections.abc import Iterable

DIR_VARIABLE = "NAPARI_REGCON_SESSIONS_DIR"
"""Environment variable with another folder for sessions."""
MOST_PER_IMAGE = 5
MOST_FILES = 100
_PATIENCE_S = 0.05
"""For how long somebody may be looking whether a session is held."""


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


def hold(session: Path) -> FileLock | None:
    """Mark a session as in use, until :func:`let_go` or the end of this process.

    Returns
    -------
    filelock.FileLock or None
        What holds it; None if another dock, here or in another window, holds it.
    """
    session.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(_lock_path(session), timeout=_PATIENCE_S, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        return None
    return lock


def let_go(lock: FileLock) -> None:
    """Mark a session as no longer in use."""
    with suppress(OSError):  # Windows cannot remove what is open; the next line closes it
        Path(lock.lock_file).unlink()
    lock.release()
    with suppress(OSError):
        Path(lock.lock_file).unlink()


def is_held(session: Path) -> bool:
    """Tell whether a dock works on a session."""
    if not _lock_path(session).exists():
        return False
    lock = hold(session)
    if lock is not None:
        lock.release()
    return lock is None


def saved_sessions(fingerprint: str) -> list[Path]:
    """Return the sessions saved for an image, the newest first."""
    return _newest_first(sessions_dir().glob(f"{fingerprint}_*{SUFFIX}"))


def remove_session(session: Path) -> None:
    """Remove a session and the final labels that belong to it."""
    session.unlink(missing_ok=True)
    final_path(session).unlink(missing_ok=True)
    _lock_path(session).unlink(missing_ok=True)


def remove_old(fingerprint: str, keep: Path) -> None:
    """Remove the oldest sessions of an image, and of all images, that nobody works on.

    Parameters
    ----------
    fingerprint : str
        The image.
    keep : pathlib.Path
        The session that is under way.
    """
    for path in saved_sessions(fingerprint)[MOST_PER_IMAGE:]:
        if path != keep and not is_held(path):
            remove_session(path)
    for path in _newest_first(sessions_dir().glob(f"*{SUFFIX}"))[MOST_FILES:]:
        if path != keep and not is_held(path):
            remove_session(path)


def _lock_path(session: Path) -> Path:
    return session.with_suffix(".lock")


def _newest_first(paths: Iterable[Path]) -> list[Path]:
    dated = []
    for path in paths:
        try:
            dated.append((path.stat().st_mtime, path))
        except FileNotFoundError:
            continue  # another window was quicker
    return [path for _, path in sorted(dated, reverse=True)]
