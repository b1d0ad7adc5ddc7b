"""The section in which results are saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_regcon._qt.parts import ActionButton, Choice, Hint, Section

if TYPE_CHECKING:
    from collections.abc import Sequence

FILTERS = "OME-TIFF (*.ome.tif);;TIFF (*.tif);;OME-Zarr (*.zarr)"


class ExportPanel(Section):
    """Chooses what to save and where.

    Attributes
    ----------
    save_wanted : Signal
        str, str: role of the layer, and path.
    """

    save_wanted = Signal(str, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Export", parent)
        self._what = Choice("Which labels to save.", self)
        self._save = ActionButton(
            "Save…",
            "Save as TIFF or OME-Zarr, with the pixel size and units of the image.",
            self._ask,
        )
        self._hint = Hint()
        self._name = "labels"
        self.fill(self._what, self._save, self._hint)

    def show_choices(self, choices: Sequence[tuple[str, str]], image_name: str) -> None:
        """List what can be saved.

        Parameters
        ----------
        choices : sequence of (str, str)
            Role of a layer, and what to call it.
        image_name : str
            Used for the proposed file name.
        """
        before = self._what.currentData()
        self._what.clear()
        for role, text in choices:
            self._what.addItem(text, role)
        self._what.setCurrentIndex(max(0, self._what.findData(before)))
        self._name = "".join(c if c.isalnum() or c in "-_." else "_" for c in image_name)
        self._save.allow("" if choices else "there is nothing to save yet.")

    def show_busy(self, path: str) -> None:
        """Say that a file is being written."""
        self._hint.say(f"Saving {path} …")
        self._save.allow("a file is being written.")

    def show_result(self, text: str) -> None:
        """Say how it went."""
        self._hint.say(text)
        self._save.allow("")

    def _ask(self) -> None:
        role = str(self._what.currentData())
        proposal = f"{self._name}_{role}.ome.tif"
        path, kind = QFileDialog.getSaveFileName(self, "Save labels", proposal, FILTERS)
        if path:
            self.save_wanted.emit(role, with_ending(path, kind))


def with_ending(path: str, kind: str) -> str:
    """Return a path that ends as the chosen kind of file does."""
    ending = kind.rsplit("*", maxsplit=1)[-1].rstrip(")") if "*" in kind else ".ome.tif"
    known = (".tif", ".tiff", ".zarr")
    return path if path.lower().endswith(known) else path + ending
