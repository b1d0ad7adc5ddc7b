"""Shows on the visible slice what a training has learnt so far, in a layer of its own.

The layer goes when the training ends, so it cannot be taken for a result. Nothing else is written.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from napari_regcon._qt.layers import refresh_box
from napari_regcon._qt.plane_buffers import PlaneBuffers

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_regcon._qt.results import Results
    from napari_regcon._qt.training import Training
    from napari_regcon._qt.workspace import ImageWork, Workspace
    from napari_regcon.engine.finetune_events import FinetuneStep
    from napari_regcon.worker.protocol import TrainingShown

SHOW_EVERY_S = 5.0
"""Seconds of training between two looks: each costs about as much as a preview."""


class TrainingView(QObject):
    """Asks a training for the visible slice every few seconds, and draws the answer.

    Parameters
    ----------
    workspace : Workspace
        The images.
    results : Results
        Adds layers where they belong.
    training : Training
        What is asked.
    parent : QObject, optional
        Owner.
    """

    def __init__(
        self,
        workspace: Workspace,
        results: Results,
        training: Training,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._results = results
        self._training = training
        self._buffers = PlaneBuffers()
        self._layers: dict[str, Labels] = {}
        self._enabled = True
        self._asked_s = 0.0
        training.stepped.connect(self._on_step)
        training.shown.connect(self._show)
        training.changed.connect(self._on_changed)
        workspace.removed.connect(self._drop)

    def set_enabled(self, on: bool) -> None:
        """Show it from the next time on, or no longer."""
        self._enabled = on
        if not on:
            self._clear()

    def close(self) -> None:
        """Give the memory back."""
        self._buffers.close()

    def _on_changed(self) -> None:
        if not self._training.running:
            self._asked_s = 0.0
            self._clear()

    def _on_step(self, step: FinetuneStep) -> None:
        work = self._workspace.current
        if not self._enabled or work is None or step.elapsed_s < self._asked_s + SHOW_EVERY_S:
            return
        sight = self._workspace.sight
        if sight.shows_planes(work) and not sight.outside(work):
            self._asked_s = step.elapsed_s
            out = self._buffers.of(work, "training").handle
            self._training.show(work, sight.visible_prefix(work), sight.visible_box(work), out)

    def _show(self, shown: TrainingShown) -> None:
        work = self._workspace.with_id(shown.image_id)
        if work is None or not self._enabled:
            return
        pixels = self._buffers.of(work, "training").array[shown.box.slices]
        layer = self._layer_of(work)
        if layer not in self._workspace.viewer.layers:  # the user has removed it
            return
        labels = work.state.geometry.label_array(layer.data)
        labels[(*shown.prefix, *shown.box.slices)] = pixels  # type: ignore[index]
        if shown.prefix == self._workspace.sight.visible_prefix(work):
            refresh_box(layer, work.state.geometry, shown.box)

    def _layer_of(self, work: ImageWork) -> Labels:
        layer = self._layers.get(work.image_id)
        if layer is None:
            layer = self._results.add_layer(work, "training")
            layer.editable = False
            self._layers[work.image_id] = layer
        return layer

    def _clear(self) -> None:
        layers, self._layers = self._layers, {}
        for layer in layers.values():
            with suppress(ValueError):  # the user has removed it already
                self._workspace.viewer.layers.remove(layer)

    def _drop(self, work: ImageWork) -> None:
        self._layers.pop(work.image_id, None)
        self._buffers.drop(work)
