"""Saves what was painted and decided by itself, and offers it back on the same image.

A few seconds after a change the state is written in the background, one state after the other,
into a file of this dock's own. When an image is opened on which an earlier session left
something, it is offered, unless another dock still works on that.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_regcon._qt.background import Background
from napari_regcon.errors import InputError, RegconError
from napari_regcon.session import store
from napari_regcon.session.files import load_session, save_session
from napari_regcon.session.weights import with_sum

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from filelock import FileLock

    from napari_regcon._qt.snapshot import Snapshot
    from napari_regcon._qt.workspace import ImageWork, Workspace
    from napari_regcon.session.saved import SessionState

DELAY_MS = 2000


class Autosave(QObject):
    """Writes session files and finds those of earlier sessions.

    Parameters
    ----------
    workspace : Workspace
        The images.
    snapshot : Snapshot
        Says what is saved.
    background : Background
        Looks for earlier sessions.
    parent : QObject, optional
        Owner.

    Attributes
    ----------
    offered : Signal
        ImageWork, str: an earlier session on this image, in words.
    saved : Signal
        pathlib.Path: a session file was written.
    failed : Signal
        str: why saving or opening failed.
    """

    offered = Signal(object, str)
    saved = Signal(object)
    failed = Signal(str)

    def __init__(
        self,
        workspace: Workspace,
        snapshot: Snapshot,
        background: Background,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._snapshot = snapshot
        self._background = background
        self._saver = Background(self, n_threads=1)  # never behind long work, nor out of order
        self._saving: dict[Path, SessionState] = {}
        self._had_labels: set[str] = set()
        self._paths: dict[str, Path] = {}
        self._dirty: dict[str, tuple[SessionState, Path]] = {}
        self._held: dict[Path, FileLock] = {}
        self._asked: set[str] = set()
        self._earlier: dict[str, tuple[Path, SessionState]] = {}
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DELAY_MS)
        self._timer.timeout.connect(self._save_all)
        workspace.supply.recognised.connect(self.note)
        workspace.opened.connect(self._look_for_earlier)
        workspace.removed.connect(self._on_removed)

    def note(self, work: ImageWork | None = None) -> None:
        """Save soon what an image, or the chosen one, looks like now.

        An image whose label layer is gone is not noted: it may have gone with its window, and
        what was painted on it is wanted back.
        """
        work = work or self._workspace.current
        if work is None or self._has_lost_labels(work) or not work.state.fingerprint:
            return
        self._dirty[work.image_id] = (self._snapshot.of(work), self.path_for(work))
        if not self._timer.isActive():  # never put off, so that it happens in time
            self._timer.start()

    def path_for(self, work: ImageWork) -> Path:
        """Return the session file of an image in this dock."""
        if work.image_id not in self._paths:
            self._paths[work.image_id] = store.new_session_path(work.state.fingerprint)
        return self._paths[work.image_id]

    def final_file(self, work: ImageWork) -> Path | None:
        """Return the file for the final labels of an image; None before its pixels are known."""
        if not work.state.fingerprint:
            return None
        self.note(work)
        self._hold(self.path_for(work))
        return store.final_path(self.path_for(work))

    def take_earlier(self, work: ImageWork) -> tuple[SessionState, np.ndarray | None] | None:
        """Return the earlier session of an image and its final labels, to go on with them."""
        found = self._earlier.pop(work.image_id, None)
        if found is None or not self._take(found[0]):
            return None
        path, state = found
        if work.image_id in self._paths:
            self._let_go(self._paths[work.image_id])
        self._paths[work.image_id] = path
        final = store.final_path(path)
        if not final.exists():
            return state, None
        try:
            data = np.lib.format.open_memmap(final, mode="r+")
        except (OSError, ValueError) as error:
            self.failed.emit(f"The final labels of the session cannot be read: {error}")
            return state, None
        fits = data.shape == work.state.geometry.layer_shape and data.dtype == np.uint8
        return state, data if fits else None

    def discard_earlier(self, work: ImageWork) -> None:
        """Remove the earlier session of an image."""
        found = self._earlier.pop(work.image_id, None)
        if found is not None and self._take(found[0]):
            store.remove_session(found[0])
            self._let_go(found[0])

    def close(self) -> None:
        """Save what is not saved yet, at once."""
        self._timer.stop()
        self._saver.close()
        waiting = {**self._saving, **{path: state for state, path in self._dirty.values()}}
        self._dirty.clear()
        for path, state in waiting.items():
            self._save_now(state, path)
        for path in list(self._held):
            self._let_go(path)

    def keep_apart(self, work: ImageWork) -> None:
        """Write what an image looks like now into a file that nothing writes to again."""
        if work.state.fingerprint and work.labels is not None:
            path = store.new_session_path(work.state.fingerprint)
            self._start(self._snapshot.of(work), path)

    def _save_all(self) -> None:
        waiting, self._dirty = list(self._dirty.values()), {}
        for state, path in waiting:
            if _is_worth_it(state, path):
                self._hold(path)
            self._start(state, path)

    def _start(self, state: SessionState, path: Path) -> None:
        if _is_worth_it(state, path):
            self._saving[path] = state
            self._saver.start(
                _save(state, path),
                done=lambda _: self._on_saved(state, path),
                failed=self._on_failed,
            )

    def _on_saved(self, state: SessionState, path: Path) -> None:
        if self._saving.get(path) is state:
            del self._saving[path]
        self.saved.emit(path)

    def _save_now(self, state: SessionState, path: Path) -> None:
        try:
            if _is_worth_it(state, path):
                save_session(with_sum(state), path)
        except RegconError as error:
            self._on_failed(str(error))

    def _on_failed(self, message: str) -> None:
        self.failed.emit(f"What you painted could not be saved by itself: {message}")

    def _on_removed(self, work: ImageWork) -> None:
        if work.image_id in self._dirty:
            self._start(*self._dirty.pop(work.image_id))
        path = self._paths.pop(work.image_id, None)
        if path is not None:
            self._let_go(path)
        self._earlier.pop(work.image_id, None)

    def _hold(self, path: Path) -> bool:
        """Let no other dock take or remove a session; False if another one has it."""
        if path not in self._held:
            try:
                lock = store.hold(path)
            except OSError as error:
                self._on_failed(str(error))
                return False
            if lock is None:
                return False
            self._held[path] = lock
        return True

    def _let_go(self, path: Path) -> None:
        lock = self._held.pop(path, None)
        if lock is not None:
            store.let_go(lock)

    def _take(self, path: Path) -> bool:
        """Hold an earlier session, or say why not."""
        is_ours = self._hold(path)
        if not is_ours:
            self.failed.emit("Another dock or window works on this session by now.")
        return is_ours

    def _has_lost_labels(self, work: ImageWork) -> bool:
        if work.labels is not None:
            self._had_labels.add(work.image_id)
        return work.labels is None and work.image_id in self._had_labels

    def _look_for_earlier(self, work: ImageWork) -> None:
        if work.image_id in self._asked:
            return
        self._asked.add(work.image_id)
        own = self.path_for(work)
        self._background.start(
            _newest(work.state.fingerprint, work.state.geometry.label_shape, own),
            done=lambda found: self._offer(work, found),
            failed=self.failed.emit,
        )

    def _offer(self, work: ImageWork, found: tuple[Path, SessionState, float] | None) -> None:
        if found is None:
            return
        path, state, modified = found
        self._earlier[work.image_id] = (path, state)
        when = time.strftime("%d %b %Y, %H:%M", time.localtime(modified))
        n = len(state.image.patches)
        has_final = store.final_path(path).exists()
        parts = [f"{n} painted slice{'s' if n != 1 else ''}"] if n or not has_final else []
        what = " and ".join([*parts, "final labels"] if has_final else parts)
        self.offered.emit(work, f"You worked on this image before ({when}): {what}.")


def _is_worth_it(state: SessionState, path: Path) -> bool:
    """Tell whether there is something to save, or something saved that has changed."""
    return not state.image.is_empty or path.exists() or store.final_path(path).exists()


def _save(state: SessionState, path: Path) -> Generator[None, None, Path]:
    yield
    save_session(with_sum(state), path)
    yield
    store.remove_old(state.image.fingerprint, path)
    return path


def _newest(
    fingerprint: str, shape: tuple[int, ...], own: Path
) -> Generator[None, None, tuple[Path, SessionState, float] | None]:
    """Find the newest session of an image that holds something, fits, and is not our own."""
    for path in store.saved_sessions(fingerprint):
        yield
        if path == own or store.is_held(path):
            continue
        try:
            state = load_session(path)
            modified = path.stat().st_mtime
        except (InputError, OSError):
            continue  # damaged or gone: an older one may be whole
        empty = state.image.is_empty and not store.final_path(path).exists()
        if state.image.label_shape == shape and not empty:
            return path, state, modified
    return None
