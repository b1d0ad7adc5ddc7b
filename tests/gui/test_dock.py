"""The dock in a real window: mouse, keys, sections, and what they ask for."""

from __future__ import annotations

import re
import types
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QFileDialog,
    QLineEdit,
    QScrollBar,
    QTreeWidget,
)

from napari_regcon._qt.column import Column
from napari_regcon._qt.parts import Hint
from napari_regcon._qt.preferences import Preferences, load_preferences
from napari_regcon._qt.shortcuts import CLASS_KEYS, KEYS
from napari_regcon._qt.widget import RegconWidget
from napari_regcon.engine.feature_folder import FeatureFolder
from napari_regcon.types import Box
from napari_regcon.worker.protocol import (
    CacheUse,
    ClearCache,
    Configure,
    EngineDied,
    EngineReady,
    Paint,
    Preview,
    SetClasses,
    UseCache,
)

from .conftest import FakeClient, stroke

pytestmark = pytest.mark.gui


def canvas_of(viewer):
    return viewer.window._qt_viewer.canvas.native


def mouse_stroke(widget, qtbot, value, y, columns, layer=None, meanwhile=None):
    """Drag the mouse along a row of the visible slice, on the labels or another layer.

    ``meanwhile`` is called once, while the button is down.

    Moves in quick succession are ignored by the canvas, so each is repeated until it paints.
    """
    canvas = canvas_of(widget.viewer)
    layer = layer or widget.core.workspace.current.labels
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

        qtbot.waitUntil(painted, timeout=30_000)
        if meanwhile is not None:
            meanwhile, _ = None, meanwhile()
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
    qtbot.waitUntil(lambda: known.counts() == counts, timeout=30_000)
    qtbot.waitUntil(lambda: widget.client.of(Preview) != [], timeout=30_000)
    assert widget.client.last(Preview).prefix == (3,)
    assert widget.panels.labels.classes.topLevelItem(1).text(2) == f"{counts[2]} px"

    qtbot.keyClick(canvas_of(viewer), Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert not (layer.data == 2).any()
    qtbot.waitUntil(lambda: 2 not in known.counts(), timeout=30_000)


def test_napari_keeps_its_own_keys(dock, qtbot):
    widget = dock(show=True)
    layer = widget.core.labelling.new_layer()
    canvas = canvas_of(widget.viewer)
    widget.core.labelling.pick_class(2)
    for key, mode in ((Qt.Key.Key_1, "erase"), (Qt.Key.Key_4, "fill"), (Qt.Key.Key_2, "paint")):
        qtbot.keyClick(canvas, key)
        assert layer.mode == mode
        assert layer.selected_label == 2


def test_no_key_is_one_of_napari_s_and_all_are_in_the_docs(dock):
    from napari._app_model import get_app_model
    from napari.layers import Image, Labels, Points, Shapes

    widget = dock()
    ours = {str(key) for key in widget.viewer.keymap}
    assert len(ours) == len(CLASS_KEYS) + len(KEYS)
    theirs = {str(b.keybinding) for b in get_app_model().keybindings}
    for kind in (Image, Labels, Points, Shapes, type(widget.viewer)):
        theirs |= {str(key) for key in kind.class_keymap}
    assert "Ctrl+Z" in theirs
    assert not ours & theirs
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "shortcuts.md").read_text("utf-8")
    listed = set(re.findall(r"^\| (Ctrl\+\S+)", page, flags=re.MULTILINE))
    assert listed - {"Ctrl+Z,"} == ours - {f"Ctrl+{n}" for n in range(2, 10)}


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
    qtbot.waitUntil(lambda: widget.core.workspace.current.source is not None, timeout=30_000)
    widget.viewer.layers.remove("gone")
    widget.core.classes.rename(2, "vesicle")
    assert widget.client.sent == []
    stroke(widget, 1, [(0, 5, 5)])
    qtbot.waitUntil(lambda: widget.client.of(Paint) != [], timeout=30_000)
    kinds = [type(r) for r in widget.client.sent]
    assert sorted(k.__name__ for k in kinds[:-1]) == [
        "CloseImage", "Configure", "OpenImage", "SetClasses", "UseCache",
    ]  # fmt: skip
    assert kinds[-1] is Paint
    assert widget.client.last(SetClasses).classes == ("background", "vesicle")


CONTROLS = (
    QAbstractButton, QComboBox, QAbstractSpinBox, QAbstractSlider, QLineEdit, QTreeWidget,
)  # fmt: skip


def controls_of(widget):
    """Return whatever somebody can click, move or type in, without parts of Qt's own."""
    found = {c for kind in CONTROLS for c in widget.findChildren(kind)}
    return [c for c in found if not c.objectName().startswith("qt_") and not is_scroll_bar(c)]


def is_scroll_bar(control):
    return isinstance(control, QScrollBar)


@pytest.mark.parametrize("image", [None, False])
def test_every_control_has_a_tooltip_and_says_why_it_is_disabled(dock, image):
    widget = dock(image)
    controls = controls_of(widget)
    assert len(controls) > 60
    assert [repr(c) for c in controls if not c.toolTip()] == []
    assert len(disabled_of(widget)) > 10


def disabled_of(widget):
    """Return the controls that are disabled, each of which says why, and nothing else does."""
    told = {c for c in controls_of(widget) if "\nNot now: " in c.toolTip()}
    disabled = {c for c in controls_of(widget) if not c.isEnabled()}
    assert [c.toolTip() for c in told ^ disabled] == []
    return disabled


@pytest.mark.parametrize("name", ["train", "adapt"])
def test_controls_say_why_they_are_disabled_while_work_runs(painted, qtbot, folder, name):
    idle, section = disabled_of(painted), getattr(painted.panels, name)
    section._train.click()
    qtbot.waitUntil(section._train.isHidden, timeout=30_000)
    assert len(disabled_of(painted) - idle) > 5
    assert "a training is under way" in section._start.toolTip()
    painted.core.volume.start()
    painted.core.correction.busy = True
    painted.presenter.update_all()
    assert "is being segmented" in painted.panels.segment._volume.toolTip()
    disabled_of(painted)
    painted.viewer.layers.clear()
    disabled_of(painted)


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


def test_nothing_is_cut_off(dock, qtbot):
    data = np.zeros((3, 4, 20, 20), np.uint8)
    widget = dock(data, show=True, axis_labels=("t", "z", "y", "x"))
    (column,) = widget.findChildren(Column)

    def fits():
        right = column.mapTo(widget.window(), column.rect().bottomRight()).x()
        fits_column = column.widget().width() <= column.viewport().width()
        return fits_column and right < widget.window().width() and column.width() < widget.width()

    widget.panels.image._change.click()
    for section in widget.panels.in_order():
        section.expand(animate=False)
    model = widget.panels.model
    for method in range(model._method.count()):
        model._method.setCurrentIndex(method)
        model._form._more.setChecked(True)
        qtbot.waitUntil(fits, timeout=30_000)


def test_empty_hints_take_no_room(dock):
    widget = dock(show=True)
    hints = widget.findChildren(Hint)
    assert len(hints) > 8
    assert [h for h in hints if h.isVisible() and not h.text()] == []


def test_the_size_of_a_pixel_is_told_where_it_is_known(dock):
    about = dock().panels.image._about
    assert about.text() == "6 × 64 × 80 pixels (z, y, x)"


@pytest.mark.parametrize(
    ("units", "words"),
    [(("nm",) * 3, "A pixel is 30 × 8 × 8 nm."), (None, "A pixel is 30 × 8 × 8 (no unit).")],
)
def test_the_size_of_a_pixel_is_told(dock, units, words):
    about = dock(scale=(30, 8, 8), units=units).panels.image._about
    assert about.text().endswith(words)


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
    qtbot.waitUntil(lambda: painted.client.last(Paint).planes[0].complete != (), timeout=30_000)
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


def test_the_device_and_the_cache_are_shown(dock):
    widget = dock(wake=False)
    assert "starts when you make or choose a label layer" in widget.state_line.text
    widget.client.say(EngineReady("CPU, 2 threads", "No GPU was found.", 1))
    assert widget.state_line.text == "Ready · CPU, 2 threads"
    assert "No GPU was found." in widget.panels.model._device_hint.text()
    widget.client.say(CacheUse(3 * 2**20, 0))
    assert "3 MB in memory" in widget.panels.model._cache_hint.text()
    widget.panels.model._clear.click()
    assert isinstance(widget.client.sent[-1], ClearCache)
    hint = widget.panels.model._cache_hint
    widget.client.say(CacheUse(3 * 2**20, 5 * 2**20, 700 * 2**20))
    assert "The engine holds 700 MB of GPU memory." in hint.text()
    widget.client.say(EngineDied("The engine was ended from outside."))
    assert hint.text() == "Cached features: 0 MB in memory, 5 MB on disk."


def starts(widget):
    """Tell whether the engine was started, and the dock says so."""
    is_shown = "Starting the engine" in widget.state_line.text and widget.state_line.kind == "busy"
    assert is_shown == (widget.client.of(Configure) != [])
    return is_shown


@pytest.mark.parametrize("how", ["new layer", "layer of another tool", "class"])
def test_the_engine_starts_as_soon_as_somebody_is_about_to_paint(dock, how):
    widget = dock(wake=False)
    assert not starts(widget)
    match how:
        case "new layer":
            widget.panels.labels._new.click()
        case "layer of another tool":
            layer = widget.viewer.add_labels(np.zeros((6, 64, 80), np.uint8))
            assert not starts(widget)
            widget.panels.labels.layer_chosen.emit(layer)
        case "class":
            widget.core.labelling.pick_nth_class(0)
    assert starts(widget)
    widget.client.ready()
    assert (widget.state_line.kind, widget.state_line.text) == ("idle", "Ready · CPU")


def test_a_dock_opened_on_labels_of_an_earlier_one_starts_nothing_until_a_class_is_picked(
    dock, qtbot
):
    first = dock()
    labels = first.core.labelling.new_layer()
    first.viewer.window.remove_dock_widget(first)
    first.deleteLater()
    qtbot.waitUntil(lambda: first.client.closed, timeout=30_000)
    clients = []

    def client(on_event):
        clients.append(FakeClient(on_event))
        return clients[-1]

    again = RegconWidget(first.viewer, make_client=client)
    first.viewer.window.add_dock_widget(again)
    again.client = clients[0]
    work = again.core.workspace.current
    qtbot.waitUntil(lambda: work.source is not None, timeout=30_000)
    assert work.labels is labels
    assert again.client.sent == []
    again.core.labelling.pick_nth_class(1)
    assert again.client.of(Configure) != []


def test_an_engine_that_is_started_again_says_so(painted):
    painted.client.say(EngineDied("The engine ran out of memory."))
    assert painted.state_line.kind == "failed"
    painted.core.live.request_once()
    assert "Starting the engine" in painted.state_line.text
    painted.client.say(EngineDied("There is no memory left."))
    assert painted.state_line.kind == "failed"
    assert "no memory left" in painted.state_line.text
    painted.core.live.request_once()
    painted.client.ready()
    assert painted.state_line.kind == "idle"


def test_why_nothing_is_kept_on_disk_is_shown_where_the_cache_is(dock):
    widget = dock()
    widget.client.say(CacheUse(3 * 2**20, 0, 0, "The disk is too full to keep features."))
    text = widget.panels.model._cache_hint.text()
    assert "3 MB in memory" in text
    assert text.endswith("The disk is too full to keep features.")


def test_what_an_earlier_session_left_on_disk_is_shown_and_can_be_cleared(dock, qtbot, tmp_path):
    folder = FeatureFolder(reserve_bytes=0)
    folder.write("tile", np.zeros((5, 2**10, 2**10), np.uint8))
    widget = dock(wake=False)
    hint, clear = widget.panels.model._cache_hint, widget.panels.model._clear
    qtbot.waitUntil(lambda: "5 MB on disk" in hint.text(), timeout=30_000)
    assert str(tmp_path / "cache") in hint.toolTip()
    assert "10 GB on disk" in hint.toolTip()
    assert clear.isEnabled()
    assert "on disk" in clear.toolTip()
    assert widget.client.sent == []
    clear.click()
    kinds = [type(request) for request in widget.client.sent]
    assert kinds[0] is UseCache
    assert kinds[-1] is ClearCache


def test_the_preferences_for_the_cache_reach_the_engine(dock, tmp_path, monkeypatch):
    chosen = types.SimpleNamespace(
        device="cpu",
        weights="",
        live=True,
        scratch_folder="",
        cache_memory_gb=0.5,
        cache_disk_gb=3.0,
        cache_folder=str(tmp_path / "fast"),
    )
    monkeypatch.setattr(
        "napari.settings.get_plugin_settings", lambda _name: types.SimpleNamespace(general=chosen)
    )
    widget = dock()
    assert widget.client.last(UseCache) == UseCache(2**29, 3 * 2**30, tmp_path / "fast")
    assert str(tmp_path / "fast") in widget.panels.model._cache_hint.toolTip()


def test_the_defaults_of_the_manifest_are_those_of_the_code(dock):
    widget = dock()
    (cache,) = widget.client.of(UseCache)
    assert cache == Preferences().cache == load_preferences().cache


@pytest.mark.parametrize("ending", [".ome.tif", ".zarr"])
def test_results_are_saved_with_scale_and_units(dock, qtbot, monkeypatch, tmp_path, ending):
    from napari_regcon.data.volumes import open_volume

    data = np.zeros((6, 64, 80), dtype=np.uint8)
    widget = dock(data, scale=(30, 8, 8), units=("nm", "nm", "nm"))
    assert not widget.panels.export._save.isEnabled()
    layer = stroke(widget, 2, [(2, 10, x) for x in range(5, 30)])
    path = tmp_path / f"out{ending}"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    with qtbot.waitSignal(widget.core.saving.saved, timeout=30_000):
        widget.panels.export._save.click()
    assert str(path) in widget.panels.export._hint.text()
    saved = open_volume(path)
    assert np.array_equal(np.asarray(saved.data), layer.data)
    assert saved.scale == (30.0, 8.0, 8.0)
    assert saved.units == ("nanometer",) * 3


def test_a_failed_save_is_explained(painted, qtbot, tmp_path):
    with qtbot.waitSignal(painted.core.saving.failed, timeout=30_000):
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
