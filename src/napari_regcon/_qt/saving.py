"""Saves label layers to files, with the scale and units of their image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_regcon.data.export import save_labels
from napari_regcon.errors import InputError
from napari_regcon.types import Volume

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_regcon._qt.background import Background
    from napari_regcon._qt.classes import Classes
    from napari_regcon._qt.workspace import ImageWork, Workspace
    from napari_regcon.types import LazyArray

ROLE_TEXTS = {
    "final": "Final labels (accepted)",
    "prediction": "Prediction",
    "labels": "Painted labels",
}


class Saving(QObject):
    """Writes the label layers of the chosen image.

    Parameters
    ----------
    workspace : Workspace
        The images.
    classes : Classes
        Their names go into the file.
    background : Background
        Does the work.
    parent : QObject, optional
        Owner.

    Attributes
    ----------
    saved : Signal
        str: the file that was written.
    failed : Signal
        str: why it could not be written.
    """

    saved = Signal(str)
    failed = Signal(str)

    def __init__(
        self,
        workspace: Workspace,
        classes: Classes,
        background: Background,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._classes = classes
        self._background = background

    def choices(self) -> list[tuple[str, str]]:
        """Return role and text of the layers that can be saved."""
        work = self._workspace.current
        if work is None:
            return []
        there = [role for role in ROLE_TEXTS if getattr(work, role) is not None]
        if work.state.predictions.is_empty:
            there = [role for role in there if role != "prediction"]
        return [(role, ROLE_TEXTS[role]) for role in there]

    def save(self, role: str, path: str) -> None:
        """Save the layer of a role; the user has agreed to replace what is there."""
        work = self._workspace.current
        layer = getattr(work, role, None) if work is not None else None
        if work is None or layer is None:
            self.failed.emit("There is nothing to save.")
            return
        try:
            labels = work.state.geometry.label_array(layer.data)
        except InputError as error:
            self.failed.emit(str(error))
            return
        classes = tuple((c.value, c.name) for c in self._classes.table)
        self._background.start(
            _save(Path(path), labels, _volume(work, labels), classes),
            done=lambda saved: self.saved.emit(str(saved)),
            failed=self.failed.emit,
        )


def _volume(work: ImageWork, labels: LazyArray) -> Volume:
    """Return the labels as a volume that has the place of the image."""
    geometry, layer = work.state.geometry, work.layer
    return Volume(
        labels,
        geometry.label_axes,
        tuple(float(layer.scale[s]) for s in geometry.order),
        tuple(str(layer.units[s]) for s in geometry.order),
        tuple(float(layer.translate[s]) for s in geometry.order),
        work.state.name,
    )


def _save(
    path: Path, labels: LazyArray, volume: Volume, classes: tuple[tuple[int, str], ...]
) -> Generator[None, None, Path]:
    yield
    return save_labels(path, labels, volume, classes=classes, overwrite=True)
