"""Curves of a training: the loss, and the Dice of each class on strokes kept back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyqtgraph as pg
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_regcon.engine.finetune_events import FinetuneCheck, FinetuneStep

_HEIGHT_PX = 150
_DRAW_EVERY_MS = 500
"""Drawing costs the window a frame, and nobody reads faster."""
_LOSS_COLOR = "#8a8f98"
_SMOOTH = 0.9


class TrainingCurves(QWidget):
    """A plot against steps: Dice of each class in its colour, and the smoothed loss in grey."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        # Put together by hand, as a whole plot item leaves menus without a parent behind.
        self._box = pg.ViewBox(enableMouse=False, enableMenu=False)
        self._box.setYRange(0, 1)
        steps, values = (pg.AxisItem(side, linkView=self._box) for side in ("bottom", "left"))
        steps.setLabel("steps")
        layout = pg.GraphicsLayout()
        for item, *place in ((values, 0, 0), (self._box, 0, 1), (steps, 1, 1)):
            layout.addItem(item, *place)
        view = pg.GraphicsView(self, background=None)
        view.setCentralItem(layout)
        view.setFixedHeight(_HEIGHT_PX)
        view.setToolTip(
            "Grey: loss on what is learnt from (lower is better). In the colour of each class: "
            "Dice on strokes that were kept back (1 is perfect)."
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(view)
        self._points: dict[str, tuple[list[float], list[float]]] = {}
        self._lines: dict[str, pg.PlotDataItem] = {}
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_DRAW_EVERY_MS)
        self._timer.timeout.connect(self._draw)

    def begin(self) -> None:
        """Forget the curves of the training before."""
        for line in self._lines.values():
            self._box.removeItem(line)
        self._points.clear()
        self._lines.clear()

    def points(self, name: str) -> list[tuple[float, float]]:
        """Return the points of a curve, ``"loss"`` or the name of a class: step and value."""
        return list(zip(*self._points.get(name, ([], [])), strict=True))

    def add_step(self, step: FinetuneStep) -> None:
        """Add to the loss."""
        before = self._points.get("loss")
        loss = _SMOOTH * before[1][-1] + (1 - _SMOOTH) * step.loss if before else step.loss
        self._add("loss", _LOSS_COLOR, step.step, loss)

    def add_check(self, check: FinetuneCheck, colors: Mapping[str, str]) -> None:
        """Add to the Dice of each class."""
        for name, value in check.dice.items():
            self._add(name, colors.get(name, _LOSS_COLOR), check.step, value)

    def _add(self, name: str, color: str, x: float, y: float) -> None:
        if name not in self._lines:
            pen = pg.mkPen(color, width=1 if name == "loss" else 2)
            self._lines[name] = pg.PlotDataItem(pen=pen)
            self._box.addItem(self._lines[name])
            self._points[name] = ([], [])
        xs, ys = self._points[name]
        xs.append(x)
        ys.append(y)
        if not self._timer.isActive():
            self._timer.start()

    def _draw(self) -> None:
        for name, line in self._lines.items():
            line.setData(*self._points[name])
