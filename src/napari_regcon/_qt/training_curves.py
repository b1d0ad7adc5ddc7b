"""Curves of a training, whatever it has to show."""

from __future__ import annotations

from html import escape

import pyqtgraph as pg
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_regcon._qt.parts import Hint

_HEIGHT_PX = 150
_DRAW_EVERY_MS = 500
"""Drawing costs the window a frame, and nobody reads faster."""
_SMOOTH = 0.9


class TrainingCurves(QWidget):
    """A plot against steps, of values from 0 to about 1, each in its colour, with a legend.

    Parameters
    ----------
    tooltip : str
        What is shown.
    parent : QWidget, optional
        Owner.
    """

    def __init__(self, tooltip: str, parent: QWidget | None = None) -> None:
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
        view.setToolTip(tooltip)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(view)
        self._legend = Hint()
        column.addWidget(self._legend)
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
        self._legend.say("")

    def points(self, name: str) -> list[tuple[float, float]]:
        """Return the points of a curve: step and value."""
        return list(zip(*self._points.get(name, ([], [])), strict=True))

    def add(self, name: str, color: str, x: float, y: float, *, smooth: bool = False) -> None:
        """Add a point to a curve.

        Parameters
        ----------
        name, color : str
            Of the curve, which is begun where there is none of this name.
        x, y : float
            The point.
        smooth : bool
            Draw a thin line through a moving average, for what goes up and down from step to step.
        """
        if smooth and name in self._points:
            y = _SMOOTH * self._points[name][1][-1] + (1 - _SMOOTH) * y
        if name not in self._lines:
            pen = pg.mkPen(color, width=1 if smooth else 2)
            self._lines[name] = pg.PlotDataItem(pen=pen)
            self._box.addItem(self._lines[name])
            self._points[name] = ([], [])
            entry = f'<span style="color:{color}">■</span>&nbsp;{escape(name)}'
            self._legend.say(f"{self._legend.text()} {entry}")
        xs, ys = self._points[name]
        xs.append(x)
        ys.append(y)
        if not self._timer.isActive():
            self._timer.start()

    def _draw(self) -> None:
        for name, line in self._lines.items():
            line.setData(*self._points[name])
