"""What a person corrects in the final labels by hand teaches the model, and nothing else does."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_regcon.worker.protocol import Paint

from .conftest import stroke
from .test_correction import press
from .test_dock import canvas_of, mouse_stroke

pytestmark = pytest.mark.gui


def with_other_labels(widget, qtbot):
    """Start from labels of another tool, and take up the brush on the final layer."""
    objects = np.zeros((6, 64, 80), dtype=np.int32)
    objects[:, 10:30, 10:40] = 7
    widget.viewer.add_labels(objects, name="from elsewhere")
    press(widget, qtbot, widget.panels.correct._use)
    layer = widget.core.workspace.current.final
    widget.viewer.layers.selection.active = layer
    layer.brush_size = 3
    return layer


def says(widget):
    labels = widget.core.workspace.current.labels
    return np.zeros((6, 64, 80), np.uint8) if labels is None else np.asarray(labels.data)


def key(widget, qtbot, *keys):
    modifiers = Qt.KeyboardModifier.ControlModifier
    if len(keys) == 2:
        modifiers |= Qt.KeyboardModifier.ShiftModifier
    qtbot.keyClick(canvas_of(widget.viewer), keys[0], modifiers)


def test_corrections_with_the_mouse_are_learnt_and_undone(dock, qtbot):
    widget = dock(show=True)
    layer = with_other_labels(widget, qtbot)
    widget.viewer.dims.set_current_step(0, 3)
    given = np.array(layer.data)
    layer.mode, layer.selected_label = "paint", 2
    mouse_stroke(widget, qtbot, 2, 45, range(20, 41, 5), layer)
    assert widget.viewer.layers.selection.active is layer
    assert np.array_equal(says(widget), np.where(layer.data != given, 2, 0))
    assert says(widget)[3, 45, 22:38].all()

    layer.mode = "erase"
    mouse_stroke(widget, qtbot, 0, 20, range(15, 31, 5), layer)
    wrong = (given == 2) & (np.asarray(layer.data) == 0)
    assert (says(widget)[wrong] == 1).all()
    assert widget.core.workspace.current.state.painted.counts().keys() <= {1, 2}
    both = says(widget).copy()
    known = widget.core.workspace.current.state.painted
    counts = {v: int((both == v).sum()) for v in (1, 2)}
    qtbot.waitUntil(lambda: known.counts() == counts, timeout=30_000)
    qtbot.waitUntil(lambda: widget.client.of(Paint) != [], timeout=30_000)

    key(widget, qtbot, Qt.Key.Key_Z)
    key(widget, qtbot, Qt.Key.Key_Z)
    assert np.array_equal(layer.data, given)
    assert not says(widget).any()
    assert widget.core.workspace.current.state.locks.pixels() == {}
    qtbot.waitUntil(lambda: known.counts() == {}, timeout=30_000)
    key(widget, qtbot, Qt.Key.Key_Z, Qt.Key.Key_Shift)
    key(widget, qtbot, Qt.Key.Key_Z, Qt.Key.Key_Shift)
    assert np.array_equal(says(widget), both)
    qtbot.waitUntil(lambda: known.counts() == counts, timeout=30_000)


def test_strokes_are_not_overwritten_and_the_switch_holds(dock, qtbot):
    widget = dock()
    strokes = stroke(widget, 1, [(2, 5, x) for x in range(5, 30)])
    layer = with_other_labels(widget, qtbot)
    layer.brush_size = 1
    with layer.block_history():
        for y in range(4, 7):
            layer.paint((2, y, 10), 2)
    assert strokes.data[2, 4:7, 10].tolist() == [2, 1, 2]
    assert "not told of 1 corrected px" in widget.panels.correct._hint.text()

    widget.panels.correct._teach.click()
    layer.paint((2, 50, 50), 2)
    assert strokes.data[2, 50, 50] == 0
    assert widget.core.workspace.current.state.locks.locked((2,), layer.data[2])[50, 50]
    layer.undo()
    assert not widget.core.workspace.current.state.locks.locked((2,), layer.data[2])[50, 50]
    widget.panels.correct._teach.click()
    layer.paint((2, 50, 50), 2)
    assert strokes.data[2, 50, 50] == 2


def test_what_the_tool_writes_teaches_nothing(painted, qtbot):
    layer = with_other_labels(painted, qtbot)
    before = says(painted).copy()
    layer.brush_size = 1
    layer.paint((4, 50, 50), 2)
    layer.undo()
    correct = painted.panels.correct
    for button in (correct._undo, correct._redo, correct._undo):
        press(painted, qtbot, button)
    _layer, labels = painted.core.results.prediction_of(painted.core.workspace.current)
    labels[:] = 2
    painted.core.workspace.current.state.predictions.preview_done((2,), 1)
    painted.presenter.results_changed()
    press(painted, qtbot, correct._accept["volume"])
    assert layer.data[4, 50, 50] == 2
    layer.refresh()
    assert np.array_equal(says(painted), before)


@pytest.mark.parametrize(
    ("shape", "axes"), [((40, 50), "YX"), ((3, 2, 40, 50), "CZYX"), ((40, 50, 6), "YXZ")]
)
def test_all_axes_and_both_kinds_of_strokes(dock, qtbot, shape, axes):
    widget = dock(np.zeros(shape, np.uint8), axis_labels=tuple(axes.lower()))
    work = widget.core.workspace.current
    layer = widget.core.finals.final_of(work)[0]
    layer.data[:] = 1
    corner = tuple(min(1, n - 1) for n in layer.data.shape)
    layer.brush_size = 7
    place = [n // 2 for n in layer.data.shape]
    layer.paint(place, 2)
    assert np.count_nonzero(layer.data == 2) > 9
    layer.data_setitem(tuple(np.array([i, i]) for i in corner), 0)
    layer.data_setitem(tuple(np.array([i]) for i in corner), 3)
    expected = np.where(np.asarray(layer.data) == 1, 0, layer.data)
    assert np.array_equal(work.labels.data, expected)
    for _ in range(3):
        layer.undo()
    assert not np.asarray(work.labels.data).any()


@pytest.fixture
def accepting(painted, qtbot):
    """Return a dock in a real window whose prediction is all one class, and its final layer."""
    painted.viewer.window._qt_window.show()
    painted.viewer.reset_view()
    layer = painted.core.finals.final_of(painted.core.workspace.current)[0]
    _layer, labels = painted.core.results.prediction_of(painted.core.workspace.current)
    labels[:] = 1
    painted.core.workspace.current.state.predictions.preview_done((2,), 1)
    painted.presenter.results_changed()
    painted.viewer.layers.selection.active = layer
    layer.mode, layer.selected_label, layer.brush_size = "paint", 2, 3
    return painted, layer


def test_accepting_while_the_mouse_draws_loses_no_stroke(accepting, qtbot):
    widget, layer = accepting
    seen = []

    def accept():
        press(widget, qtbot, widget.panels.correct._accept["volume"])
        seen.append(np.array(layer.data[2]))

    mouse_stroke(widget, qtbot, 2, 30, range(20, 41, 5), layer, meanwhile=accept)
    assert (seen[0] == 1).sum() > 64 * 70  # the tool wrote over what was begun
    assert (layer.data[2, 30, 21:39] == 2).all()
    key(widget, qtbot, Qt.Key.Key_Z)
    assert not (layer.data[2, 30] == 2).any()


@pytest.fixture
def waiting(accepting):
    """Return the same while a slice is accepted, and a function that lets it be written."""
    widget, layer = accepting
    background, sent, held = widget.core.background, threading.Event(), []

    def hold(*report):
        held.append(report)
        sent.set()

    def go():
        del background._send
        background._send(*held.pop())

    background._send = hold
    widget.panels.correct._accept["slice"].click()
    assert sent.wait(30)
    return widget, layer, go


def test_a_stroke_painted_before_the_tool_gets_to_write_is_not_lost(waiting, qtbot):
    widget, layer, go = waiting
    mouse_stroke(widget, qtbot, 2, 30, range(20, 41, 5), layer)
    stroke_there = np.array(layer.data == 2)
    assert stroke_there[2, 30, 22:38].all()
    assert not (layer.data == 1).any()
    go()
    qtbot.waitUntil(lambda: not widget.core.correction.busy, timeout=30_000)
    strokes = np.asarray(widget.core.workspace.current.labels.data) == 2
    assert np.array_equal(layer.data == 2, stroke_there | strokes)
    assert layer.data[2].all()


@pytest.mark.parametrize("lost", ["final", "layer", "dock"])
def test_what_is_taken_away_while_it_is_accepted_does_no_harm(waiting, qtbot, lost):
    widget, layer, go = waiting
    work, correction = widget.core.workspace.current, widget.core.correction
    if lost == "dock":
        widget.core.close()  # ends the thread, which waits for the window
        return
    widget.viewer.layers.remove(getattr(work, lost))
    go()
    qtbot.waitUntil(lambda: not correction.busy, timeout=30_000)
    if lost == "final":
        press(widget, qtbot, widget.panels.correct._accept["slice"])
        assert work.final is not layer
        assert work.final.data[2].all()
