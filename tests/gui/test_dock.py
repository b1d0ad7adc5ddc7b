"""The dock in a real window: mouse, keys, sections, and what they ask for."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QAbstractButton, QApplication, QComboBox, QFileDialog, QMessageBox

from napari_regcon.types import Box
from napari_regcon.worker.protocol import (
    CacheUse,
    ClearCache,
    Configure,
    EngineReady,
    Paint,
    Preview,
    SetClasses,
)

from .conftest import stroke

pytestmark = pytest.mark.gui


def canvas_of(viewer):
    return viewer.window._qt_viewer.canvas.native


def mouse_stroke(widget, qtbot, value, y, columns):
    """Drag the mouse along a row of the visible slice.

    Moves in quick succession are ignored by the canvas, so each is repeated until it paints.
    """
    canvas, layer = canvas_of(widget.viewer), widget.core.workspace.current.labels
    z = widget.viewer.dims.current_step[0]
    press, move = QMouseEvent.Type.MouseButtonPress, QMouseEvent.Type.MouseMove
    release = QMouseEvent.Type.MouseButtonRelease
    left, no = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    points = [on_canvas(widget.viewer, y, x) for x in columns]
    send(canvas, move, points[0], no, no)
    send(canvas, press, points[0], left, left)
    for x, point in zip(columns[1:], points[1:], strict=True):

        def painted(x=x, point=point):
            send(canvas, move, point, no, left)
            return layer.data[z, y, x] == value

        qtbot.waitUntil(painted, timeout=5000)
    send(canvas, release, points[-1], left, no)


def send(canvas, kind, point, button, buttons):
    where = QPointF(point)
    event = QMouseEvent(
        kind, where, QPointF(canvas.mapToGlobal(point)), button, buttons,
        Qt.KeyboardModifier.NoModifier,
    )  # fmt: skip
    QApplication.sendEvent(canvas, event)


def on_canvas(viewer, y, x):
    """Return where on the canvas a world position is."""
    canvas = canvas_of(viewer)
    camera = viewer.scene.camera
    dy, dx = (y - camera.center[1]) * camera.zoom, (x - camera.center[2]) * camera.zoom
    return QPoint(round(canvas.width() / 2 + dx), round(canvas.height() / 2 + dy))


def test_painting_with_the_mouse_asks_for_a_preview(dock, qtbot):
    widget = dock(show=True)
    viewer = widget.viewer
    viewer.dims.set_current_step(0, 3)
    item = widget.panels.labels.classes.topLevelItem(0)
    where = widget.panels.labels.classes.visualItemRect(item).center()
    qtbot.mouseClick(widget.panels.labels.classes.viewport(), Qt.MouseButton.LeftButton, pos=where)
    layer = widget.core.workspace.current.labels
    assert layer is not None
    assert (layer.mode, layer.selected_label) == ("paint", 1)
    mouse_stroke(widget, qtbot, 1, 20, range(20, 41, 5))
    assert (layer.data[3, 20, 22:38] == 1).all()
    qtbot.keyClick(canvas_of(viewer), Qt.Key.Key_2, Qt.KeyboardModifier.ControlModifier)
    assert (layer.mode, layer.selected_label) == ("paint", 2)
    mouse_stroke(widget, qtbot, 2, 45, range(20, 41, 5))
    assert (layer.data[3, 45, 22:38] == 2).all()
    counts = {v: int((layer.data == v).sum()) for v in (1, 2)}
    known = widget.core.workspace.current.state.painted
    qtbot.waitUntil(lambda: known.counts() == counts, timeout=5000)
    qtbot.waitUntil(lambda: widget.client.of(Preview) != [], timeout=5000)
    assert widget.client.last(Preview).prefix == (3,)
    assert widget.panels.labels.classes.topLevelItem(1).text(2) == f"{counts[2]} px"

    qtbot.keyClick(canvas_of(viewer), Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert not (layer.data == 2).any()
    qtbot.waitUntil(lambda: 2 not in known.counts(), timeout=5000)


def test_napari_keeps_its_own_keys(dock, qtbot):
    widget = dock(show=True)
    layer = widget.core.labelling.new_layer()
    canvas = canvas_of(widget.viewer)
    widget.core.labelling.pick_class(2)
    for key, mode in ((Qt.Key.Key_1, "erase"), (Qt.Key.Key_4, "fill"), (Qt.Key.Key_2, "paint")):
        qtbot.keyClick(canvas, key)
        assert layer.mode == mode
        assert layer.selected_label == 2


def test_keys_toggle_live_mode_and_prediction(painted, qtbot):
    painted.viewer.window._qt_window.show()
    canvas = canvas_of(painted.viewer)
    control = Qt.KeyboardModifier.ControlModifier
    qtbot.keyClick(canvas, Qt.Key.Key_L, control)
    assert not painted.core.live.enabled
    assert not painted.panels.segment._live.isChecked()
    qtbot.keyClick(canvas, Qt.Key.Key_L, control)
    assert painted.core.live.enabled
    layer, _ = painted.core.results.prediction_of(painted.core.workspace.current)
    qtbot.keyClick(canvas, Qt.Key.Key_D, control)
    assert not layer.visible
    n_before = len(painted.client.of(Preview))
    qtbot.keyClick(canvas, Qt.Key.Key_Return, control)
    assert len(painted.client.of(Preview)) == n_before + 1


def test_the_engine_is_left_alone_until_something_is_painted(dock, qtbot):
    widget = dock(wake=False)
    widget.viewer.add_image(np.zeros((3, 20, 20)), name="gone")
    widget.panels.image._combo.activated.emit(1)
    qtbot.waitUntil(lambda: widget.core.workspace.current.source is not None, timeout=5000)
    widget.viewer.layers.remove("gone")
    widget.core.classes.rename(2, "vesicle")
    assert widget.client.sent == []
    stroke(widget, 1, [(0, 5, 5)])
    qtbot.waitUntil(lambda: widget.client.of(Paint) != [], timeout=5000)
    kinds = [type(r) for r in widget.client.sent]
    assert sorted(k.__name__ for k in kinds[:-1]) == [
        "CloseImage", "Configure", "OpenImage", "SetClasses",
    ]  # fmt: skip
    assert kinds[-1] is Paint
    assert widget.client.last(SetClasses).classes == ("background", "vesicle")


def test_every_control_has_a_tooltip(dock):
    widget = dock()
    controls = [*widget.findChildren(QAbstractButton), *widget.findChildren(QComboBox)]
    assert len(controls) > 20
    own = [c for c in controls if not c.objectName().startswith("qt_")]
    assert [repr(c) for c in own if not c.toolTip()] == []


def test_disabled_buttons_say_why(dock):
    widget = dock(False)
    for button in (widget.panels.segment._slice, widget.panels.segment._volume):
        assert not button.isEnabled()
        assert "choose an image first" in button.toolTip()
    widget.viewer.add_image(np.zeros((3, 20, 20)))
    assert "two classes" in widget.panels.segment._slice.toolTip()
    assert not widget.panels.labels._remove.isEnabled()
    assert "at least two classes" in widget.panels.labels._remove.toolTip()


def test_sections_fold_and_say_what_they_hide(dock, qtbot):
    widget = dock(show=True)
    model = widget.panels.model
    assert not model.isExpanded()
    assert "Pixel classifier" in model.text()
    qtbot.mouseClick(model.toggleButton(), Qt.MouseButton.LeftButton)
    assert model.isExpanded()
    assert model.content().isVisible()
    qtbot.mouseClick(model.toggleButton(), Qt.MouseButton.LeftButton)
    assert not model.content().isVisible()


def test_classes_are_added_renamed_recoloured_and_removed(painted, qtbot):
    labels = painted.panels.labels
    labels._add.click()
    assert painted.client.last(SetClasses).classes == ("background", "object", "class 3")
    labels.classes.topLevelItem(2).setText(1, "vesicle")
    assert painted.client.last(SetClasses).classes[2] == "vesicle"
    labels.classes.topLevelItem(2).setText(1, "object")
    assert labels.classes.topLevelItem(2).text(1) == "vesicle"
    assert "cannot be called 'object'" in labels._trouble.text()
    labels.classes.recolored.emit(3, "#010203")
    layer = painted.core.workspace.current.labels
    assert np.allclose(layer.colormap.map(3)[:3], np.array([1, 2, 3]) / 255, atol=1e-3)
    assert layer.selected_label == 3
    assert labels._remove.isEnabled()
    labels._remove.click()
    assert [c.value for c in painted.core.classes.table] == [1, 2]
    painted.core.classes.remove(2, painted.core.labelling.painted_px(2))
    assert len(painted.core.classes.table) == 2


def test_the_background_of_a_prediction_is_transparent(painted):
    layer, _ = painted.core.results.prediction_of(painted.core.workspace.current)
    assert layer.colormap.map(1)[3] == 0
    assert layer.colormap.map(0)[3] == 0
    assert layer.colormap.map(2)[3] == 1
    painted.core.classes.rename(1, "cytoplasm")
    assert layer.colormap.map(1)[3] == 1


def test_slices_and_boxes_are_marked_complete_and_unmarked(painted, qtbot):
    labels = painted.panels.labels
    assert not labels._box.isEnabled()
    rectangle = np.array([[2, 9.6, 19.6], [2, 9.6, 39.4], [2, 29.4, 39.4], [2, 29.4, 19.6]])
    painted.viewer.add_shapes([rectangle], shape_type="rectangle")
    assert labels._box.isEnabled()
    labels._box.click()
    marks = painted.core.workspace.current.state.marks
    assert marks.on_plane((2,)) == (Box((10, 20), (30, 40)),)
    qtbot.waitUntil(lambda: painted.client.last(Paint).planes[0].complete != (), timeout=5000)
    assert painted.client.last(Paint).planes[0].complete == (Box((10, 20), (30, 40)),)
    painted.viewer.dims.set_current_step(0, 5)
    labels._slice.click()
    assert [m.describe() for m in marks][1] == "slice 5"
    assert not labels._slice.isEnabled()
    assert labels._marks.count() == 2
    for mark in list(marks):
        labels.unmark_wanted.emit(mark)
    assert len(marks) == 0
    assert labels._marks_box.isHidden()
    assert labels._slice.isEnabled()


def test_the_form_is_made_from_the_parameters(dock):
    widget = dock()
    model = widget.panels.model
    first = widget.client.last(Configure)
    assert (first.method, first.parameters, first.device) == ("pixel-head", (), "auto")
    model._form._controls["dimensions"].value = 3
    assert widget.client.last(Configure).parameters == (("dimensions", 3),)
    model._form.set_values({})
    assert widget.client.last(Configure).parameters == ()
    model._device.setCurrentIndex(model._device.findData("cpu"))
    assert widget.client.last(Configure).device == "cpu"


def test_the_network_needs_weights_which_are_fetched_once(dock, qtbot, monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_REGCON_WEIGHTS_DIR", str(tmp_path))
    widget = dock()
    model = widget.panels.model
    model.choose("in-context", {"downscale": 4}, "", "auto")
    choice = widget.client.last(Configure)
    assert (choice.method, choice.weights) == ("in-context", "universeg-v1")
    assert choice.parameters == (("downscale", 4),)
    assert "not on this computer" in model._weights.currentText()
    asked = []
    monkeypatch.setattr(
        QMessageBox, "question",
        lambda *args: asked.append(args[-1]) or QMessageBox.StandardButton.No,
    )  # fmt: skip
    model._fetch.click()
    assert "research only" in asked[0]
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)
    with qtbot.waitSignal(widget.shop.failed, timeout=20_000):
        model._fetch.click()  # the tests are offline
    assert widget.state_line.kind == "failed"
    assert "weights import" in widget.state_line.text


def test_damaged_weights_are_explained(dock, qtbot, monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_REGCON_WEIGHTS_DIR", str(tmp_path / "weights"))
    file = tmp_path / "mine.pt"
    file.write_bytes(b"nothing of use")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(file), ""))
    widget = dock()
    with qtbot.waitSignal(widget.shop.failed, timeout=20_000):
        widget.panels.model._import.click()
    assert "mine.pt" in widget.state_line.text


def test_the_device_and_the_cache_are_shown(dock):
    widget = dock()
    assert "starts with your first stroke" in widget.state_line.text
    widget.client.say(EngineReady("CPU, 2 threads", "No GPU was found.", 1))
    assert widget.state_line.text == "Ready · CPU, 2 threads"
    assert "No GPU was found." in widget.panels.model._device_hint.text()
    widget.client.say(CacheUse(3 * 2**20, 0))
    assert "3 MB in memory" in widget.panels.model._cache_hint.text()
    widget.panels.model._clear.click()
    assert isinstance(widget.client.sent[-1], ClearCache)


@pytest.mark.parametrize("ending", [".ome.tif", ".zarr"])
def test_results_are_saved_with_scale_and_units(dock, qtbot, monkeypatch, tmp_path, ending):
    from napari_regcon.data.volumes import open_volume

    data = np.zeros((6, 64, 80), dtype=np.uint8)
    widget = dock(data, scale=(30, 8, 8), units=("nm", "nm", "nm"))
    assert not widget.panels.export._save.isEnabled()
    layer = stroke(widget, 2, [(2, 10, x) for x in range(5, 30)])
    path = tmp_path / f"out{ending}"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    with qtbot.waitSignal(widget.core.saving.saved, timeout=20_000):
        widget.panels.export._save.click()
    assert str(path) in widget.panels.export._hint.text()
    saved = open_volume(path)
    assert np.array_equal(np.asarray(saved.data), layer.data)
    assert saved.scale == (30.0, 8.0, 8.0)
    assert saved.units == ("nanometer",) * 3


def test_a_failed_save_is_explained(painted, qtbot, tmp_path):
    with qtbot.waitSignal(painted.core.saving.failed, timeout=5000):
        painted.core.saving.save("labels", str(tmp_path / "no" / "out.tif"))
    assert "does not exist" in painted.panels.export._hint.text()
    assert painted.panels.export._save.isEnabled()


def test_images_come_go_and_change_names(dock, qtbot):
    widget = dock()
    combo = widget.panels.image._combo
    first = widget.core.workspace.current
    second = widget.viewer.add_image(np.zeros((4, 30, 30), dtype=np.float32), name="second")
    assert [combo.itemText(i) for i in range(combo.count())] == ["cells", "second"]
    assert widget.core.workspace.current is first
    combo.activated.emit(1)
    assert widget.core.workspace.current.layer is second
    second.name = "renamed"
    assert combo.itemText(1) == "renamed"
    widget.viewer.layers.remove(second)
    assert widget.core.workspace.current is first
    widget.viewer.layers.clear()
    assert widget.core.workspace.current is None
    assert "Open an image" in widget.panels.image._about.text()
