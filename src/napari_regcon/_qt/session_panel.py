"""The section in which sessions are saved and opened."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_regcon._qt.parts import ActionButton, Hint, Section, row_of
from napari_regcon.session.files import SUFFIX

FILTER = f"Sessions (*{SUFFIX})"


class SessionPanel(Section):
    """Asks for session files.

    Attributes
    ----------
    save_wanted, open_wanted : Signal
        pathlib.Path: a session file.
    """

    save_wanted = Signal(object)
    open_wanted = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Session", parent)
        self._save = ActionButton(
            "Save session…",
            "Save strokes, classes, complete parts, locks and settings in one small file: to go "
            "on elsewhere, or to repeat exactly this segmentation later.",
            self._ask_save,
        )
        self._open = ActionButton(
            "Open session…",
            "Go on with a session that was saved. What is painted now stays in its layer.",
            self._ask_open,
        )
        self._hint = Hint()
        self._name = "image"
        about = Hint("What you paint is also saved by itself and offered when you come back.")
        self.fill(about, row_of(self._save, self._open), self._hint)

    def allow(self, why_not: str, image_name: str = "image") -> None:
        """Enable session files, or say why they are disabled.

        Parameters
        ----------
        why_not : str
            Empty to enable them.
        image_name : str
            Used for the proposed file name.
        """
        self._save.allow(why_not)
        self._open.allow(why_not)
        self._name = "".join(c if c.isalnum() or c in "-_." else "_" for c in image_name)

    def say(self, text: str) -> None:
        """Say how it went."""
        self._hint.say(text)

    def show_saved(self, path: Path) -> None:
        """Say where a session was saved, and what it is good for."""
        name = f'"{path.name}"' if " " in path.name else path.name
        self._hint.say(
            f"Saved {path}\nTo repeat the segmentation without a window: napari-regcon segment "
            f"--session {name}"
        )

    def _ask_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save session", f"{self._name}{SUFFIX}", FILTER)
        if path:
            self.save_wanted.emit(Path(path if path.endswith(SUFFIX) else f"{path}{SUFFIX}"))

    def _ask_open(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open session", "", FILTER)
        if path:
            self.open_wanted.emit(Path(path))
