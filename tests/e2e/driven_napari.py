"""A napari window that a test works in from outside: ``python driven_napari.py FOLDER``.

Opens every TIFF of the folder and the dock, as a user would. Several times a second it writes
into ``FOLDER/status.json`` what a user would see, and where on the screen the buttons, the layers
and the pixels of the image are. It takes no orders: all input comes from the X server.
"""

from __future__ import annotations

import json
import sys
import zlib
from pathlib import Path

import napari
import numpy as np
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QEvent, QObject, QPoint, QTimer
from qtpy.QtWidgets import QAbstractButton, QApplication, QWidget

EVERY_MS = 30


def words_on(button: QAbstractButton) -> str:
    """Return what a button says, without its arrow, its state and its mnemonic."""
    return button.text().strip("▸▾ ").split("   ·")[0].replace("&", "")


class Presses(QObject):
    """Counts how often each button felt the mouse."""

    def __init__(self) -> None:
        super().__init__()
        self.count: dict[str, int] = {}

    def eventFilter(self, target: QObject, event: QEvent) -> bool:  # noqa: N802 (Qt's name)
        """Count a press of a button, and let it pass."""
        if event.type() == QEvent.Type.MouseButtonRelease and isinstance(target, QAbstractButton):
            words = words_on(target)
            self.count[words] = self.count.get(words, 0) + 1
        return False


class Reporter:
    """Writes down what is on the screen."""

    def __init__(self, viewer: napari.Viewer, dock: QWidget, path: Path) -> None:
        self.viewer = viewer
        self.dock = dock
        self.path = path
        self.n_shown = 0
        self.tick = 0
        self.presses = Presses()
        QApplication.instance().installEventFilter(self.presses)
        dock.core.live.shown.connect(self._count)
        self.timer = QTimer()
        self.timer.timeout.connect(self.write)
        self.timer.start(EVERY_MS)
        dock.destroyed.connect(self.timer.stop)

    def write(self) -> None:
        """Write the status, with the number of this look."""
        self.tick += 1
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(self.status()))
        part.replace(self.path)

    def status(self) -> dict:
        """Return all that a test may want to know."""
        core = self.dock.core
        window = self.viewer.window._qt_window
        return {
            "tick": self.tick,
            "presses": self.presses.count,
            "window": int(window.winId()),
            "engine": core.link._client.pid,
            "state": [self.dock.state_line.kind, self.dock.state_line.text],
            "errors": [n.message for n in notification_manager.records if n.severity >= "warning"],
            "buttons": self._buttons(),
            "layers": self._layers(),
            "canvas": self._canvas(),
            "live": {"n_shown": self.n_shown, "settled": self._is_settled()},
            "volume": {
                "running": core.volume.running,
                "done": core.volume.progress.done if core.volume.progress else 0,
            },
            "busy": core.correction.busy,
            "said": [self.dock.panels.segment._note.text(), self.dock.panels.correct._hint.text()],
            "image": self._image(),
        }

    def _count(self, _event: object) -> None:
        self.n_shown += 1

    def _is_settled(self) -> bool:
        """Tell whether nothing is on its way from a stroke to the prediction."""
        core = self.dock.core
        work = core.workspace.current
        waits = core.live._timer.isActive() or core.live._asked is not None
        return work is not None and not waits and core.watch.knows_all()

    def _image(self) -> dict | None:
        work = self.dock.core.workspace.current
        if work is None:
            return None
        prefix = self.dock.core.workspace.sight.visible_prefix(work)
        found = {"name": work.layer.name, "ready": work.source is not None, "prefix": prefix}
        for role in ("labels", "prediction", "final"):
            layer = getattr(work, role)
            if layer is not None:
                found[role] = _look(np.asarray(layer.data[prefix]))
        if work.labels is not None:
            found["tool"] = [str(work.labels.mode), int(work.labels.selected_label)]
        found["missing"] = [int(p[0]) for p in work.state.predictions.missing()]
        found["locks"] = work.state.locks.describe()
        return found

    def _canvas(self) -> dict:
        """Return the rectangle of the canvas on the screen, and what the camera looks at."""
        canvas = self.viewer.window._qt_viewer.canvas.native
        corner = canvas.mapToGlobal(QPoint(0, 0))
        camera = self.viewer.scene.camera
        return {
            "rect": [corner.x(), corner.y(), canvas.width(), canvas.height()],
            "center": [float(c) for c in camera.center[-2:]],
            "zoom": float(camera.zoom),
        }

    def _buttons(self) -> dict:
        """Return where each button that can be clicked is, by the words on it."""
        top = QApplication.activeModalWidget() or self.dock
        found = {}
        for button in top.findChildren(QAbstractButton):
            middle = button.rect().center()
            if button.text() and button.isVisible():
                where = button.mapToGlobal(middle)
                reachable = button.visibleRegion().contains(middle)
                found[words_on(button)] = [where.x(), where.y(), reachable, button.isEnabled()]
        return found

    def _layers(self) -> dict:
        view = self.viewer.window._qt_viewer.layers
        found = {}
        for row in range(view.model().rowCount()):
            index = view.model().index(row, 0)
            where = view.viewport().mapToGlobal(view.visualRect(index).center())
            found[index.data()] = [where.x(), where.y()]
        return found


def _look(plane: np.ndarray) -> dict:
    """Return what tells one picture of labels from another."""
    values, counts = np.unique(plane[plane != 0], return_counts=True)
    return {
        "sum": zlib.crc32(np.ascontiguousarray(plane).data),
        "px": {str(v): int(n) for v, n in zip(values, counts, strict=True)},
    }


def main() -> None:
    """Open the window and run until it is closed."""
    folder = Path(sys.argv[1])
    viewer = napari.Viewer()
    viewer.window._qt_window.setGeometry(0, 0, 1580, 980)
    for path in sorted(folder.glob("*.tif")):
        viewer.open(path)
    _, dock = viewer.window.add_plugin_dock_widget("napari-regcon", "Regcon")
    reporter = Reporter(viewer, dock, folder / "status.json")
    napari.run()
    del reporter  # kept until here


if __name__ == "__main__":
    main()
