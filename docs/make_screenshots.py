"""Make the pictures of the docs: ``make screenshots``.

Opens napari with the sample volume, paints strokes as a person would, and takes a picture at
each step. Everything shown is what the plugin really does; nothing is drawn afterwards.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import napari
import numpy as np
from napari.layers import Layer
from qtpy.QtWidgets import QApplication, QScrollArea

from napari_regcon._qt.widget import RegconWidget
from napari_regcon.config import FinetuneConfig
from napari_regcon.data.phantom import CLASSES
from napari_regcon.data.recipe import read_recipe
from napari_regcon.data.samples import phantom_em
from napari_regcon.data.strokes import draw_stroke

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_regcon._qt.workspace import ImageWork

IMAGES = Path(__file__).parent / "images"
SLICE = 12
STROKES_PER_CLASS = 5
LOOKS = 4
"""So often a training has told how good it is before its picture is taken."""


class Story:
    """A viewer with the dock, and the steps a user takes in it."""

    def __init__(self) -> None:
        self.viewer = napari.Viewer(show=True)
        self.viewer.window.resize(1440, 900)
        (image, options, kind), (self.truth, _, _) = phantom_em()
        self.viewer.add_layer(Layer.create(image, options, kind))
        self.viewer.dims.set_current_step(0, SLICE)
        self.dock = RegconWidget(self.viewer)
        self.viewer.window.add_dock_widget(self.dock, name="Regcon", area="right")
        self.wait(lambda: self.work.source is not None)
        self.rng = np.random.default_rng(4)

    @property
    def work(self) -> ImageWork:
        """The image that is worked on."""
        return self.dock.core.workspace.current

    def wait(self, condition: Callable[[], object], timeout_s: float = 300.0) -> None:
        """Let the window work until something holds."""
        end = time.monotonic() + timeout_s
        while not condition():
            QApplication.processEvents()
            if time.monotonic() > end:
                raise TimeoutError("the window did not get there")

    def picture(self, name: str) -> None:
        """Take a picture of the whole window."""
        self.settle()
        path = IMAGES / f"{name}.png"
        self.viewer.screenshot(path, canvas_only=False, flash=False)
        print(path)

    def settle(self) -> None:
        """Let everything be drawn."""
        for _ in range(30):
            QApplication.processEvents()

    def name_classes(self) -> None:
        """Give the classes the names of what is in the sample."""
        classes = self.dock.core.classes
        classes.rename(2, CLASSES[1])
        for name in CLASSES[2:]:
            added = classes.add()
            classes.rename(added.value, name)

    def paint(self, value: int, n_strokes: int) -> None:
        """Paint strokes of a class on the visible slice."""
        z = self.viewer.dims.current_step[0]
        layer = self.work.labels or self.dock.core.labelling.new_layer()
        self.dock.core.labelling.pick_class(value)
        for _ in range(n_strokes):
            stroke = draw_stroke(self.truth[z] == value, self.rng, length_px=40, width_px=4)
            y, x = np.nonzero(stroke)
            layer.data_setitem((np.full_like(y, z), y, x), value)

    def wait_for_preview(self) -> None:
        """Wait until everything painted is on screen."""
        live = self.dock.core.live
        shown: list[object] = []
        live.shown.connect(shown.append)
        live.request_once()
        self.wait(lambda: shown)
        live.shown.disconnect(shown.append)

    def tell(self) -> None:
        """Take all pictures."""
        panels = self.dock.panels
        self.picture("dock-start")
        self.name_classes()
        for value in range(1, len(CLASSES) + 1):
            self.paint(value, STROKES_PER_CLASS)
        self.wait_for_preview()
        self.dock.core.labelling.pick_class(3)
        self.picture("dock")

        panels.model.expand()
        panels.labels.collapse()
        self.picture("dock-model")
        panels.model.collapse()
        panels.labels.expand()

        volume = self.dock.core.volume
        volume.start()
        self.wait(lambda: volume.progress and volume.progress.done > volume.progress.total // 3)
        self.picture("dock-volume")
        self.wait(lambda: not volume.running)

        panels.image.collapse()
        panels.segment.collapse()  # leaves room for all of the next section
        panels.correct.expand()
        self.dock.core.correction.accept_slice()
        self.wait(lambda: not self.dock.core.correction.busy)
        self.dock.core.guide.start()
        self.wait(lambda: not self.dock.core.guide.running)
        self.wait_for_preview()
        self.picture("dock-correct")

        panels.correct.collapse()
        self.tell_of_filling()
        self.tell_of_regions()

    def tell_of_filling(self) -> None:
        """Take the pictures of a slice that is filled, and of two methods side by side."""
        core, panels = self.dock.core, self.dock.panels
        core.filling.fill()
        self.wait(lambda: self.work.filled is not None)
        self.picture("dock-fill")
        core.filling.take()
        self.viewer.dims.set_current_step(0, SLICE + 2)
        self.wait_for_preview()
        panels.labels.collapse()
        panels.model.expand()
        panels.model.compare.turn(True)
        self.wait(lambda: "differ" in panels.model.compare.text)
        self.picture("dock-compare")
        panels.model.compare.turn(False)
        self.viewer.dims.set_current_step(0, SLICE)
        panels.model.collapse()
        panels.labels.expand()

    def tell_of_regions(self) -> None:
        """Take the picture of regions, some of them painted, on a slice of their own."""
        core, panels = self.dock.core, self.dock.panels
        panels.regions.expand()
        self.viewer.dims.set_current_step(0, SLICE + 8)
        panels.regions.set_granularity(0.7)
        core.labelling.pick_class(3)
        panels.regions.take_brush()
        self.wait(lambda: core.regions.partition is not None)
        z = self.viewer.dims.current_step[0]
        truth = self.truth[z][core.regions.place.box.slices]
        regions = core.regions.partition.labels
        inside = np.bincount(regions.ravel(), (truth == 3).ravel()) / np.bincount(
            regions.ravel(), minlength=2
        ).clip(1)
        core.region_brush.paint(np.flatnonzero(inside > 0.9))
        self.wait_for_preview()
        self.picture("dock-regions")
        panels.regions.collapse()
        self.tell_of_training()
        self.tell_of_adapting()

    def tell_of_training(self) -> None:
        """Take the picture of a network that is being trained."""
        core, panels = self.dock.core, self.dock.panels
        for panel in (panels.image, panels.model, panels.labels, panels.segment):
            panel.collapse()
        panels.train.expand()
        checks: list[object] = []
        core.training.checked.connect(checks.append)
        core.training.start(FinetuneConfig(minutes=5), "regcon-em", "auto")
        self.wait(lambda: len(checks) >= LOOKS, timeout_s=1200)
        self.picture("dock-train")
        core.training.cancel()
        self.wait(lambda: not core.training.running)

    def tell_of_adapting(self) -> None:
        """Take the picture of features that are being adapted."""
        core, panels = self.dock.core, self.dock.panels
        panels.adapt.expand()
        looks: list[object] = []
        core.adapting.checked.connect(looks.append)
        core.adapting.start(read_recipe("adapt").train, "regcon-em", "auto")
        self.wait(lambda: len(looks) >= LOOKS, timeout_s=1200)
        bar = self.dock.findChild(QScrollArea).verticalScrollBar()
        bar.setValue(bar.maximum())
        self.picture("dock-adapt")
        core.adapting.cancel()
        self.wait(lambda: not core.adapting.running)


def main() -> int:
    """Take the pictures and end everything."""
    with tempfile.TemporaryDirectory() as folder:
        for what in ("SESSIONS", "CACHE", "WEIGHTS"):  # none of the user's own
            os.environ[f"NAPARI_REGCON_{what}_DIR"] = str(Path(folder) / what)
        story = Story()
        try:
            story.tell()
        finally:
            story.viewer.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
