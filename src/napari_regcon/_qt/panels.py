"""The sections of the dock, side by side with nothing between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_regcon._qt.adapt_panel import AdaptPanel
from napari_regcon._qt.correct_panel import CorrectPanel
from napari_regcon._qt.export_panel import ExportPanel
from napari_regcon._qt.image_panel import ImagePanel
from napari_regcon._qt.labels_panel import LabelsPanel
from napari_regcon._qt.model_panel import ModelPanel
from napari_regcon._qt.regions_panel import RegionsPanel
from napari_regcon._qt.segment_panel import SegmentPanel
from napari_regcon._qt.session_panel import SessionPanel
from napari_regcon._qt.train_panel import TrainPanel

if TYPE_CHECKING:
    from napari.components import LayerList
    from qtpy.QtWidgets import QWidget

    from napari_regcon._qt.parts import Section


@dataclass(frozen=True)
class Panels:
    """All sections of one dock."""

    image: ImagePanel
    model: ModelPanel
    labels: LabelsPanel
    regions: RegionsPanel
    segment: SegmentPanel
    train: TrainPanel
    adapt: AdaptPanel
    correct: CorrectPanel
    export: ExportPanel
    session: SessionPanel

    @classmethod
    def make(cls, layers: LayerList, parent: QWidget) -> Panels:
        """Make all sections.

        Parameters
        ----------
        layers : napari.components.LayerList
            Layers of the viewer.
        parent : QWidget
            Owner of the sections.
        """
        train = TrainPanel(parent)
        adapt = AdaptPanel(parent)
        train.fill(adapt)
        return cls(
            ImagePanel(layers, parent),
            ModelPanel(parent),
            LabelsPanel(parent),
            RegionsPanel(parent),
            SegmentPanel(parent),
            train,
            adapt,
            CorrectPanel(parent),
            ExportPanel(parent),
            SessionPanel(parent),
        )

    def in_order(self) -> tuple[Section, ...]:
        """Return the sections from top to bottom, without those that are part of another."""
        before = (self.image, self.model, self.labels, self.regions, self.segment)
        return (*before, self.train, self.correct, self.export, self.session)
