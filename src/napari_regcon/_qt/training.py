"""Trains a network on what is painted, in the background, while painting goes on.

The engine trains and writes a file; what was made is then known by a name among the weights,
and nothing else changes until the user chooses it.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_regcon.engine.finetune_events import FinetuneCheck, FinetuneStep
from napari_regcon.engine.pretrain_events import PretrainLook, PretrainStep
from napari_regcon.engine.weights import copy_in
from napari_regcon.worker.protocol import (
    EngineDied,
    FineTune,
    FinishTraining,
    JobDone,
    JobFailed,
    JobNote,
    PauseTraining,
    ShowTraining,
    TrainingEvent,
    TrainingShown,
    TrainingWritten,
)

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from napari_regcon._qt.background import Background
    from napari_regcon._qt.jobs import EngineLink
    from napari_regcon._qt.paint_watch import PaintWatch
    from napari_regcon._qt.workspace import ImageWork, Workspace
    from napari_regcon.engine.weights import WeightsEntry
    from napari_regcon.types import Box
    from napari_regcon.worker.protocol import Request, SharedArray


class Training(QObject):
    """One training at a time.

    Parameters
    ----------
    workspace : Workspace
        The images.
    link : EngineLink
        Is asked.
    watch : PaintWatch
        Knows what is painted.
    background : Background
        Files what was made.
    scratch : pathlib.Path
        Folder for the file that the engine writes.
    parent : QObject, optional
        Owner.

    Attributes
    ----------
    changed : Signal
        A training began, waits, goes on or ended.
    stepped : Signal
        FinetuneStep or PretrainStep.
    checked : Signal
        FinetuneCheck or PretrainLook.
    noted, failed : Signal
        str: something the user should know; why there is no network.
    shown : Signal
        TrainingShown: what is learnt so far is drawn where it was asked for.
    made : Signal
        str, TrainingWritten: a network is there, known by this name.
    """

    PREFIX = "trained"
    """How the names of what is made begin."""

    changed = Signal()
    stepped = Signal(object)
    checked = Signal(object)
    noted = Signal(str)
    failed = Signal(str)
    shown = Signal(object)
    made = Signal(str, object)

    def __init__(
        self,
        workspace: Workspace,
        link: EngineLink,
        watch: PaintWatch,
        background: Background,
        scratch: Path,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._link = link
        self._watch = watch
        self._background = background
        self._scratch = scratch
        self._wanted: tuple[Any, str | None, str] | None = None
        self._how: tuple[Any, str | None, str] | None = None
        self._generation = 0
        self._name = ""
        self.paused = False
        link.event.connect(self._on_event)
        watch.caught_up.connect(self._ask)
        watch.changed.connect(self._tell)

    @property
    def running(self) -> bool:
        """Whether a training is under way."""
        return self._wanted is not None or bool(self._generation)

    @property
    def can_go_on(self) -> bool:
        """Whether a training was cut short by the end of the engine, and left its state."""
        return not self.running and self._how is not None and self._kept.exists()

    @property
    def _kept(self) -> Path:
        return self._scratch / f"{self._name}.training"

    def start(self, config: Any, start: str | None, device: str) -> None:
        """Train on all that is painted, on whatever image.

        Parameters
        ----------
        config : FinetuneConfig
            Parameters; of another class where a subclass trains something else.
        start : str or None
            Pre-trained weights to begin with; None for random ones.
        device : str
            Where to compute.
        """
        work = self._workspace.current
        if work is None or self.running:
            return
        self._kept.unlink(missing_ok=True)  # of one that was cut short and is given up now
        self._wanted = self._how = (config, start, device)
        now = datetime.now().astimezone()
        self._name = f"{self.PREFIX}-{_plain(work.state.name)}-{now:%Y%m%d-%H%M%S}"
        self.changed.emit()
        self._ask()

    def go_on(self) -> None:
        """Go on with the training that was cut short, from its last state."""
        if self.can_go_on:
            self._wanted = self._how
            self.changed.emit()
            self._ask()

    def pause(self, on: bool) -> None:
        """Wait, or go on."""
        if self._generation and on != self.paused:
            self.paused = on
            self._link.send(PauseTraining(self._generation, on))
            self.changed.emit()

    def show(self, work: ImageWork, prefix: tuple[int, ...], box: Box, out: SharedArray) -> None:
        """Draw a box of a plane with what is learnt so far; answered by ``shown``."""
        if self._generation:
            self._link.send(ShowTraining(self._generation, work.image_id, prefix, box, out))

    def finish(self) -> None:
        """End now, and keep the best network so far."""
        if self._generation:
            self._link.send(FinishTraining(self._generation))

    def cancel(self) -> None:
        """Stop; nothing is kept."""
        if self._generation:
            self._link.cancel(self._generation)
        elif self._wanted is not None:
            self._end()

    def _ask(self) -> None:
        """Ask the engine, once everything painted up to now is known."""
        work = self._workspace.current
        if self._wanted is None or work is None or not self._watch.knows_all():
            return
        (config, start, device), self._wanted = self._wanted, None
        if not self._workspace.supply.tell_painted(work):
            self._end("The image could not be read. Choose it again in the section Image.")
            return
        self._generation = self._link.next_generation()
        out = self._scratch / f"{self._name}.safetensors"
        self._link.send(self._request(out, config, start, device))

    def _request(self, out: Path, config: Any, start: str | None, device: str) -> Request:
        return FineTune(self._generation, out, config, start, device, self._kept)

    def _tell(self, work: ImageWork) -> None:
        """Let new strokes enter the training, also where there is no live preview."""
        if self._generation:
            self._workspace.supply.tell_painted(work)

    def _on_event(self, event: Any) -> None:
        match event:
            case EngineDied() if self._generation in event.pending:
                self._end(event.message)
            case TrainingEvent(event=FinetuneStep() | PretrainStep()) if self._is_ours(event):
                self.stepped.emit(event.event)
            case TrainingEvent(event=FinetuneCheck() | PretrainLook()) if self._is_ours(event):
                self.checked.emit(event.event)
            case TrainingShown() if self._is_ours(event):
                self.shown.emit(event)
            case TrainingWritten() if self._is_ours(event):
                self._file(event)
            case JobNote() if self._is_ours(event):
                self.noted.emit(event.note.text)
            case JobFailed() if self._is_ours(event):
                self._end(event.message)
            case JobDone() if self._is_ours(event):
                if event.cancelled:
                    self.noted.emit("Training was cancelled; nothing has changed.")
                self._end()

    def _is_ours(self, event: Any) -> bool:
        return bool(self._generation) and event.generation == self._generation

    def _file(self, written: TrainingWritten) -> None:
        self._background.start(
            _take_in(written.path, self._name),
            done=lambda entry: self.made.emit(entry.name, written),
            failed=self.failed.emit,
        )

    def _end(self, error: str = "") -> None:
        self._wanted = None
        self._generation = 0
        self.paused = False
        self.changed.emit()
        if error:
            self.failed.emit(error)


def _plain(name: str) -> str:
    """Return a name without anything that files dislike."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:60] or "image"


def _take_in(path: Path, name: str) -> Generator[None, None, WeightsEntry]:
    yield
    entry = copy_in(path, name=name)
    path.unlink(missing_ok=True)
    return entry
