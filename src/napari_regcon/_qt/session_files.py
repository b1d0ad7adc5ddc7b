"""Saves and opens sessions where the user wants them.

Files are written and read in the background. Nothing here knows what becomes of a session that
was opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_regcon.errors import InputError
from napari_regcon.session.files import load_session, save_session
from napari_regcon.session.weights import with_sum

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from napari_regcon._qt.background import Background
    from napari_regcon._qt.paint_watch import PaintWatch
    from napari_regcon._qt.snapshot import Snapshot
    from napari_regcon._qt.workspace import ImageWork, Workspace
    from napari_regcon.session.saved import SessionState


class SessionFiles(QObject):
    """Session files of the chosen image.

    Parameters
    ----------
    workspace : Workspace
        The images.
    watch : PaintWatch
        Knows what is painted.
    snapshot : Snapshot
        Says what is saved.
    background : Background
        Does the work.
    parent : QObject, optional
        Owner.

    Attributes
    ----------
    saved : Signal
        pathlib.Path: the file that was written.
    opened : Signal
        SessionState, str: a session that fits the chosen image, and what to tell the user.
    failed : Signal
        str: why a file could not be written or used.
    """

    saved = Signal(object)
    opened = Signal(object, str)
    failed = Signal(str)

    def __init__(
        self,
        workspace: Workspace,
        watch: PaintWatch,
        snapshot: Snapshot,
        background: Background,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._watch = watch
        self._snapshot = snapshot
        self._background = background
        self._wanted: tuple[ImageWork, Path] | None = None
        watch.caught_up.connect(self._save_wanted)

    def save(self, path: Path) -> None:
        """Write a session file of the chosen image; the user agreed to replace what is there."""
        work = self._workspace.current
        if work is None or work.source is None:
            self.failed.emit("The image is still being read. Try again in a moment.")
            return
        self._wanted = (work, path)
        self._watch.catch_up()
        self._save_wanted()

    def _save_wanted(self) -> None:
        """Write, once everything painted up to now is known."""
        if self._wanted is None or not self._watch.knows_all():
            return
        (work, path), self._wanted = self._wanted, None
        if work not in self._workspace.works() or work.source is None:
            self.failed.emit(f"{work.state.name!r} was removed before its session was saved.")
            return
        steps = _save(self._snapshot.of(work, with_others=True), path)
        self._background.start(steps, done=self.saved.emit, failed=self.failed.emit)

    def open(self, path: Path) -> None:
        """Read a session file and check that it fits the chosen image."""
        work = self._workspace.current
        if work is not None:
            self._background.start(
                _open(path), done=lambda state: self._take(work, state), failed=self.failed.emit
            )

    def _take(self, work: ImageWork, state: SessionState) -> None:
        shape, image = work.state.geometry.label_shape, state.image
        if work is not self._workspace.current:
            self.failed.emit("Another image was chosen while the session was being read.")
        elif image.label_shape != shape:
            error = InputError(
                f"The session was saved for an image of shape {image.label_shape}, and this one "
                f"has {shape}.",
                next_step=f"Choose the image it belongs to ({image.name!r}).",
            )
            self.failed.emit(str(error))
        else:
            self.opened.emit(state, " ".join(_remarks(work, state)))


def _remarks(work: ImageWork, state: SessionState) -> Generator[str, None, None]:
    """Say in what a session is another one now than when it was saved."""
    if work.state.fingerprint != state.image.fingerprint:
        yield (
            "The pixels of this image are others than when the session was saved: check the "
            "strokes."
        )
    if state.others:
        names = ", ".join(repr(image.name) for image in state.others)
        yield (
            f"Strokes on other images ({names}) belonged to it too and are not brought back; the "
            "file still holds them."
        )


def _save(state: SessionState, path: Path) -> Generator[None, None, Path]:
    yield
    save_session(with_sum(state), path)
    return path


def _open(path: Path) -> Generator[None, None, SessionState]:
    yield
    return load_session(path)
