"""Sliders that stand where an image has no slice: nothing fails, and the dock says so."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_regcon.worker.protocol import Preview

pytestmark = pytest.mark.gui


@pytest.fixture
def shallow(dock, qtbot):
    """Return a dock on an image of four slices, beside one of twelve."""
    widget = dock(np.zeros((4, 64, 80), np.uint8), name="shallow", show=True)
    widget.viewer.add_image(np.zeros((12, 64, 80), np.uint8), name="deep")
    widget.core.labelling.pick_class(2)
    assert widget.core.workspace.current.state.name == "shallow"
    return widget


def drag(widget, button=Qt.MouseButton.LeftButton):
    """Draw a line on the canvas with the mouse."""
    canvas = widget.viewer.window._qt_viewer.canvas.native
    place = canvas.rect().center()
    QTest.mouseMove(canvas, place)
    settle()
    QTest.mousePress(canvas, button, Qt.KeyboardModifier.NoModifier, place)
    for _ in range(5):
        place += QPoint(5, 2)
        QTest.mouseMove(canvas, place)
        settle()
    QTest.mouseRelease(canvas, button, Qt.KeyboardModifier.NoModifier, place)
    settle()


def settle():
    for _ in range(10):
        QApplication.processEvents()


def painted_slices(widget):
    data = widget.core.workspace.current.labels.data
    return [z for z in range(len(data)) if data[z].any()]


def test_the_brush_does_nothing_outside_and_is_back_inside(shallow):
    layer = shallow.core.workspace.current.labels
    for mode in ("paint", "fill", "erase"):
        shallow.viewer.dims.set_current_step(0, 1)
        layer.mode = mode
        shallow.viewer.dims.set_current_step(0, 9)
        drag(shallow)
        drag(shallow, Qt.MouseButton.RightButton)
        assert painted_slices(shallow) == []
        shallow.viewer.dims.set_current_step(0, 2)
        assert str(layer.mode) == mode
    layer.mode = "paint"
    drag(shallow)
    assert painted_slices(shallow) == [2]


def test_strokes_can_still_be_undone_after_a_look_outside(shallow):
    layer = shallow.core.workspace.current.labels
    shallow.viewer.dims.set_current_step(0, 2)
    drag(shallow)
    assert painted_slices(shallow) == [2]
    shallow.viewer.dims.set_current_step(0, 9)
    shallow.viewer.dims.set_current_step(0, 1)
    layer.undo()
    assert painted_slices(shallow) == []
    shallow.viewer.dims.set_current_step(0, 9)
    layer.redo()
    assert painted_slices(shallow) == [2]


def test_in_front_of_the_first_slice_nothing_is_painted_on_the_last(shallow):
    shallow.viewer.layers["deep"].translate = (-6, 0, 0)
    shallow.viewer.dims.set_point(0, -1)
    drag(shallow)
    assert painted_slices(shallow) == []


def test_what_cannot_be_done_outside_is_told(shallow, qtbot):
    panels, core = shallow.panels, shallow.core
    work = core.workspace.current
    for value in (1, 2):
        work.labels.data_setitem((np.array([1]), np.array([9]), np.array([9 + value])), value)
    qtbot.waitUntil(lambda: shallow.client.of(Preview) != [], timeout=30_000)
    shallow.viewer.dims.set_current_step(0, 9)
    assert "outside of 'shallow'" in panels.segment._hint.text()
    assert "outside of 'shallow'" in panels.labels._slice.toolTip()
    core.marking.mark_slice()
    assert len(work.state.marks) == 0
    core.correction.accept_slice()
    assert "outside of 'shallow'" in panels.correct._hint.text()
    assert work.final is None
    shallow.viewer.dims.set_current_step(0, 1)
    assert "outside" not in panels.segment._hint.text()
    assert panels.labels._slice.isEnabled()


def test_layers_can_be_edited_again_when_the_dock_goes(shallow):
    layer = shallow.core.workspace.current.labels
    shallow.viewer.dims.set_current_step(0, 9)
    assert not layer.editable
    shallow.core.close()
    assert layer.editable
    assert str(layer.mode) == "paint"
