"""Weights seen from the dock: which there are, fetch them, take a file in.

Where a licence has to be accepted, the work waits for the answer, and nothing else does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_regcon.engine import weights
from napari_regcon.errors import WeightsError
from napari_regcon.types import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from napari_regcon._qt.background import Background

NOT_HERE = "not on this computer yet"
NO_LICENCE = "not to be used before their licence is accepted"
NONE_THERE = (
    "This needs the weights of a pre-trained network, and none are known for it. Press Import "
    "file… to use a file that 'napari-regcon pretrain' made (for a fine-tuned network: "
    "'napari-regcon finetune'), or choose what needs no weights."
)


class WeightsShop(QObject):
    """Lists, fetches and imports weights, in the background.

    Parameters
    ----------
    background : Background
        Does the work.
    parent : QObject, optional
        Owner.

    Attributes
    ----------
    changed : Signal
        str: weights of this name can be used now.
    progressed : Signal
        str: how far a fetch is.
    failed : Signal
        str: why weights could not be had.
    licence_asked : Signal
        WeightsEntry: its licence has to be accepted; :meth:`answer` goes on.
    paused : Signal
        Nothing is under way until the answer is there, or it was no.
    """

    changed = Signal(str)
    progressed = Signal(str)
    failed = Signal(str)
    licence_asked = Signal(object)
    paused = Signal()

    def __init__(self, background: Background, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._background = background
        self._question: tuple[weights.WeightsEntry, Callable[[], None]] | None = None

    def entries(self, method: str) -> list[tuple[str, str, str]]:
        """Return name, text, and why it cannot be used yet, of the weights of a method."""
        found = []
        for entry in weights.entries():
            if entry.method in ("", method):
                missing = _missing(entry)
                text = f"{entry.name} ({NOT_HERE})" if missing == NOT_HERE else entry.name
                found.append((entry.name, text, missing))
        return found

    def why_not(self, name: str | None) -> str:
        """Say what has to be done before weights can be used, or return an empty string.

        Parameters
        ----------
        name : str or None
            The weights; None where none can be chosen.
        """
        if name is None:
            return NONE_THERE
        try:
            entry = weights.find(name)
        except WeightsError as error:
            return str(error)
        missing = _missing(entry)
        how = "Press Download… or Import file… first" if entry.url else "Import the file again"
        how = "Press Licence… to see it" if missing == NO_LICENCE else how
        return f"The weights {name!r} are {missing}. {how}." if missing else ""

    def fetch(self, name: str) -> None:
        """Fetch weights, after the user accepted their licence where it needs that."""
        entry = weights.find(name)
        self._after_licence(entry, lambda: self._bring(entry))

    def import_file(self, path: Path) -> None:
        """Take weights from a file, after the user accepted their licence where it needs that."""
        self.progressed.emit(f"Reading {path.name} …")
        self._background.start(
            _recognise(path),
            done=lambda entry: self._after_licence(entry, lambda: self._copy_in(path)),
            failed=self.failed.emit,
        )

    def answer(self, accepted: bool) -> None:
        """Go on with what waits for a licence, or leave it."""
        if self._question is None:
            return
        (entry, go_on), self._question = self._question, None
        if not accepted:
            self.paused.emit()
            return
        try:
            weights.require_licence(entry, accept=True)
        except WeightsError as error:
            self.failed.emit(str(error))
            return
        go_on()

    def _after_licence(self, entry: weights.WeightsEntry | None, go_on: Callable[[], None]) -> None:
        if entry is None or weights.licence_accepted(entry):
            go_on()
            return
        self._question = (entry, go_on)
        self.paused.emit()
        self.licence_asked.emit(entry)

    def _bring(self, entry: weights.WeightsEntry) -> None:
        if weights.path_of(entry).exists():
            self.changed.emit(entry.name)
        else:
            self._fetch(entry.name)

    def _fetch(self, name: str) -> None:
        self.progressed.emit(f"Fetching {name} …")
        self._background.start(
            weights.iter_fetch(name),
            step=self._on_step,
            done=lambda _path: self.changed.emit(name),
            failed=self.failed.emit,
        )

    def _copy_in(self, path: Path) -> None:
        self.progressed.emit(f"Reading {path.name} …")
        self._background.start(_import(path), done=self.changed.emit, failed=self.failed.emit)

    def _on_step(self, event: Any) -> None:
        if isinstance(event, Progress) and event.total:
            self.progressed.emit(f"Fetching weights: {100 * event.done // event.total} %")


def _missing(entry: weights.WeightsEntry) -> str:
    if not weights.path_of(entry).exists():
        return NOT_HERE
    return "" if weights.licence_accepted(entry) else NO_LICENCE


def _recognise(path: Path) -> Generator[None, None, weights.WeightsEntry | None]:
    yield
    return weights.recognise(path)


def _import(path: Path) -> Generator[None, None, str]:
    yield
    return weights.copy_in(path).name
