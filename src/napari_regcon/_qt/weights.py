"""Weights seen from the dock: which there are, fetch them, take a file in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_regcon.engine import weights
from napari_regcon.types import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from napari_regcon._qt.background import Background


class WeightsShop(QObject):
    """Lists, fetches and imports weights, in the background.

    Parameters
    ----------
    background : Background
        Does the work.
    confirm : callable
        Given a title and a text, asks the user and returns the answer.
    parent : QObject, optional
        Owner.

    Attributes
    ----------
    changed : Signal
        str: weights of this name are here now.
    progressed : Signal
        str: how far a fetch is.
    failed : Signal
        str: why weights could not be had.
    """

    changed = Signal(str)
    progressed = Signal(str)
    failed = Signal(str)

    def __init__(
        self,
        background: Background,
        confirm: Callable[[str, str], bool],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._background = background
        self._confirm = confirm

    def entries(self, method: str) -> list[tuple[str, str, str]]:
        """Return name, text, and why it cannot be used yet, of the weights of a method."""
        found = []
        for entry in weights.entries():
            if entry.method in ("", method):
                missing = "" if weights.path_of(entry).exists() else "not on this computer yet"
                text = f"{entry.name} ({missing})" if missing else entry.name
                found.append((entry.name, text, missing))
        return found

    def fetch(self, name: str) -> None:
        """Fetch weights, after the user accepted their licence where it needs that."""
        entry = weights.find(name)
        if not weights.licence_accepted(entry):
            text = (
                f"The weights {entry.name!r} come under the licence\n{entry.licence}\n"
                f"({entry.licence_url}).\n\nThey, and what is trained from them, may be used "
                f"for research only. Please cite: {entry.citation}.\n\nDo you accept this?"
            )
            if not self._confirm("Licence of the weights", text):
                return
        self.progressed.emit(f"Fetching {name} …")
        self._background.start(
            weights.iter_fetch(name, accept_licence=True),
            step=self._on_step,
            done=lambda _path: self.changed.emit(name),
            failed=self.failed.emit,
        )

    def import_file(self, path: Path) -> None:
        """Take weights from a file."""
        self.progressed.emit(f"Reading {path.name} …")
        self._background.start(_import(path), done=self.changed.emit, failed=self.failed.emit)

    def _on_step(self, event: Any) -> None:
        if isinstance(event, Progress) and event.total:
            self.progressed.emit(f"Fetching weights: {100 * event.done // event.total} %")


def _import(path: Path) -> Generator[None, None, str]:
    yield
    return weights.copy_in(path).name
