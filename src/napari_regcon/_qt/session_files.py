"""Saves and opens sessions where the user wants them.

Files are written and read in the background. Nothing here knows what becomes of a session that
was opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_regcon._qt.layers import finest
from napari_regcon.data.fingerprint import fingerprint
from napari_regcon.errors import InputError
from napari_regcon.session.files import load_session, save_session
from napari_regcon.session.weights import with_sum

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path

    from napari.layers import Image

    from napari_regcon._qt.background import Background
    from napari_regcon._qt.paint_watch import PaintWatch
    from napari_regcon._qt.snapshot import Snapshot
    from napari_regcon._qt.workspace import ImageWork, Workspace
    from napari_regcon.session.saved import SessionImage, SessionState
    from napari_regcon.types import LazyArray


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
        SessionState, dict of Image to SessionImage, str: a session that fits the chosen image,
        which of its other images are open and in which layer, and what to tell the user.
    failed : Signal
        str: why a file could not be written or used.
    """

    saved = Signal(object)
    opened = Signal(object, object, str)
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
        if work is None:
            return
        self._wanted = (work, path)
        self._watch.catch_up()
        self._save_wanted()

    def _save_wanted(self) -> None:
        """Write, once everything painted up to now is known."""
        if self._wanted is None or not self._watch.knows_all():
            return
        (work, path), self._wanted = self._wanted, None
        if work not in self._workspace.works():
            self.failed.emit(f"{work.state.name!r} was removed before its session was saved.")
            return
        if not work.state.fingerprint:
            self.failed.emit(f"{work.state.name!r} could not be read.")
            return
        steps = _save(self._snapshot.of(work, with_others=True), path)
        self._background.start(steps, done=self.saved.emit, failed=self.failed.emit)

    def open(self, path: Path) -> None:
        """Read a session file and check that it fits the chosen image."""
        work = self._workspace.current
        if work is not None:
            open_images = {
                layer: (geometry.axes, geometry.image_array(finest(layer)))
                for layer, geometry in self._workspace.not_chosen()
            }
            self._background.start(
                _open(path, open_images),
                done=lambda found: self._take(work, *found),
                failed=self.failed.emit,
            )

    def _take(
        self, work: ImageWork, state: SessionState, others: dict[Image, SessionImage]
    ) -> None:
        shape, image = work.state.geometry.label_shape, state.image
        known = {i.fingerprint: i for i in state.images}.get(work.state.fingerprint, image)
        if work is not self._workspace.current:
            self.failed.emit("Another image was chosen while the session was being read.")
        elif known.fingerprint != image.fingerprint:
            self.failed.emit(
                f"In this session {image.name!r} is the chosen image, and this is {known.name!r}. "
                f"Choose {image.name!r}, then open the session again."
            )
        elif image.label_shape != shape:
            error = InputError(
                f"The session was saved for an image of shape {image.label_shape}, and this one "
                f"has {shape}.",
                next_step=f"Choose the image it belongs to ({image.name!r}).",
            )
            self.failed.emit(str(error))
        else:
            self.opened.emit(state, others, " ".join(_remarks(work, state, others)))


def _remarks(
    work: ImageWork, state: SessionState, others: dict[Image, SessionImage]
) -> Generator[str, None, None]:
    """Say in what a session is another one now than when it was saved."""
    if work.state.fingerprint != state.image.fingerprint:
        yield (
            "The pixels of this image are others than when the session was saved: check the "
            "strokes."
        )
    if others:
        yield f"Strokes on other images ({_names(others.values())}) are brought back too."
    missing = [image for image in state.others if image not in others.values()]
    if missing:
        yield (
            f"Images of the session that are not open: {_names(missing)}. What is painted on them "
            "stays in the file and does not count: open them, then the session again."
        )


def _names(images: Iterable[SessionImage]) -> str:
    return ", ".join(repr(image.name) for image in images)


def _save(state: SessionState, path: Path) -> Generator[None, None, Path]:
    yield
    save_session(with_sum(state), path)
    return path


def _open(
    path: Path, open_images: dict[Image, tuple[str, LazyArray]]
) -> Generator[None, None, tuple[SessionState, dict[Image, SessionImage]]]:
    """Read a session, and find its other images among those that are open."""
    yield
    state = load_session(path)
    found: dict[Image, SessionImage] = {}
    for image in state.others:
        for layer, (axes, array) in open_images.items():
            yield
            if layer not in found and _is(image, axes, array):
                found[layer] = image
                break
    return state, found


def _is(image: SessionImage, axes: str, array: LazyArray) -> bool:
    """Tell whether these are the pixels of an image of a session."""
    if (axes, tuple(array.shape)) != (image.axes, image.shape):
        return False
    try:
        return fingerprint(array) == image.fingerprint
    except OSError:
        return False  # its file is gone: then it is not open
