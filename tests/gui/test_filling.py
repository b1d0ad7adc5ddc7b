"""A slice is filled from its strokes, corrected, and taken as a complete one."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtWidgets import QPushButton

from napari_regcon.types import Box
from napari_regcon.worker.protocol import EngineDied, JobFailed, Paint, Preview, PreviewDone

from .conftest import stroke

pytestmark = pytest.mark.gui

WHOLE = Box((0, 0), (64, 80))
FILLED = np.where(np.arange(64)[:, None] < 25, 1, 2).repeat(80, axis=1).astype(np.uint8)


def button(widget, text):
    buttons = widget.panels.labels.filling.findChildren(QPushButton)
    return next(b for b in buttons if b.text() == text)


def work_of(widget):
    return widget.core.workspace.current


def fill(widget, qtbot, pixels=FILLED):
    """Click the button, and answer as the engine does."""
    n_before = len(widget.client.of(Preview))
    button(widget, "Fill slice").click()
    qtbot.waitUntil(lambda: len(widget.client.of(Preview)) > n_before, timeout=5000)
    request = next(r for r in reversed(widget.client.of(Preview)) if r.kind == "filled")
    widget.client.write(request, pixels)
    done = PreviewDone(request.generation, request.image_id, request.prefix, WHOLE, True, 0.1, 0.1)
    widget.client.say(done)
    return request


def settle(widget, qtbot):
    """Wait until everything painted is known and told."""
    qtbot.waitUntil(widget.core.watch.knows_all, timeout=5000)
    widget.core.watch.catch_up()


def test_it_waits_for_strokes_on_this_slice(painted):
    assert button(painted, "Fill slice").isEnabled()
    assert button(painted, "Take it").isHidden()
    painted.viewer.dims.set_current_step(0, 4)
    assert not button(painted, "Fill slice").isEnabled()
    assert "strokes on this slice" in button(painted, "Fill slice").toolTip()


def test_the_slice_is_filled_in_a_layer_of_its_own(painted, qtbot):
    before = np.array(work_of(painted).labels.data)
    request = fill(painted, qtbot)
    assert (request.prefix, request.box, request.model.method) == ((2,), WHOLE, "spread")
    filled = work_of(painted).filled
    assert filled.name == "filled: cells"
    np.testing.assert_array_equal(filled.data[2], FILLED)
    assert not np.delete(filled.data, 2, axis=0).any()
    np.testing.assert_array_equal(work_of(painted).labels.data, before)
    assert not len(work_of(painted).state.marks)
    layers = painted.viewer.layers
    assert layers.index(filled) < layers.index(work_of(painted).labels)


def test_taking_it_is_one_step_that_undo_takes_back_as_a_whole(painted, qtbot):
    labels = work_of(painted).labels
    before = np.array(labels.data)
    wrong = FILLED.copy()
    wrong[10] = 2  # the engine never says so; what is painted would stay all the same
    fill(painted, qtbot, wrong)
    button(painted, "Take it").click()
    expected = np.where(before[2] > 0, before[2], wrong)
    np.testing.assert_array_equal(labels.data[2], expected)
    marks = work_of(painted).state.marks
    assert marks.slices() == {(2,)}
    assert button(painted, "Take it").isHidden()
    assert work_of(painted).filled is None
    settle(painted, qtbot)
    painted.core.live.request_once()
    told = [p for r in painted.client.of(Paint) for p in r.planes if p.prefix == (2,)][-1]
    assert told.complete == (WHOLE,)
    np.testing.assert_array_equal(told.labels.array, expected)

    labels.undo()
    qtbot.waitUntil(lambda: not marks.slices(), timeout=5000)
    np.testing.assert_array_equal(labels.data, before)
    labels.redo()
    qtbot.waitUntil(lambda: marks.slices() == {(2,)}, timeout=5000)
    np.testing.assert_array_equal(labels.data[2], expected)


def test_a_mark_that_the_user_removes_stays_removed(painted, qtbot):
    fill(painted, qtbot)
    button(painted, "Take it").click()
    settle(painted, qtbot)
    marks = work_of(painted).state.marks
    painted.core.marking.unmark(next(iter(marks)))
    stroke(painted, 1, [(3, 5, 5)])
    settle(painted, qtbot)
    assert not len(marks)


def test_corrections_in_the_layer_stay_and_newer_strokes_win(painted, qtbot):
    fill(painted, qtbot)
    filled = work_of(painted).filled
    filled.brush_size = 1
    filled.paint((2, 50, 50), 1)
    filled.paint((2, 50, 60), 1)
    stroke(painted, 2, [(2, 50, 60)])
    settle(painted, qtbot)
    fill(painted, qtbot)
    assert filled.data[2, 50, 50] == 1
    assert filled.data[2, 50, 60] == 2
    assert (filled.data[2] == FILLED).sum() == FILLED.size - 1


def test_what_is_filled_can_be_thrown_away(painted, qtbot):
    fill(painted, qtbot)
    before = np.array(work_of(painted).labels.data)
    layer = work_of(painted).filled
    painted.viewer.layers.selection.active = layer
    painted.core.filling.discard()
    assert work_of(painted).filled is None
    assert layer not in painted.viewer.layers
    assert painted.viewer.layers.selection.active is work_of(painted).labels
    assert button(painted, "Take it").isHidden()
    np.testing.assert_array_equal(work_of(painted).labels.data, before)


def test_the_layer_stays_while_another_slice_of_it_is_of_use(painted, qtbot):
    fill(painted, qtbot)
    layer = work_of(painted).filled
    layer.brush_size = 1
    layer.paint((5, 50, 50), 2)  # a correction where nothing is filled yet
    painted.core.filling.discard()
    assert work_of(painted).filled is layer
    assert layer.data[5, 50, 50] == 2
    assert not layer.data[2].any()


def test_what_is_locked_is_respected(painted, qtbot):
    fill(painted, qtbot)
    work = work_of(painted)
    painted.core.locking.toggle_slice()
    button(painted, "Take it").click()
    assert not work.state.marks.slices()
    assert (work.labels.data[2] > 0).sum() == 50
    painted.core.locking.toggle_slice()
    final = painted.core.finals.final_of(work)[0]
    final.brush_size = 1
    final.paint((2, 50, 50), 1)
    button(painted, "Take it").click()
    assert work.labels.data[2, 50, 50] == 1
    assert work.state.marks.slices() == {(2,)}


def test_a_layer_that_the_user_removes_is_made_anew(painted, qtbot):
    fill(painted, qtbot)
    painted.viewer.layers.remove(work_of(painted).filled)
    assert button(painted, "Take it").isHidden()
    fill(painted, qtbot)
    np.testing.assert_array_equal(work_of(painted).filled.data[2], FILLED)


@pytest.mark.parametrize("kind", [JobFailed, EngineDied])
def test_failures_are_told(painted, qtbot, kind):
    button(painted, "Fill slice").click()
    request = next(r for r in painted.client.of(Preview) if r.kind == "filled")
    assert "Filling" in painted.state_line.text
    generation = request.generation
    failed = (
        JobFailed(generation, "too dark")
        if kind is JobFailed
        else EngineDied("gone", (generation,))
    )
    painted.client.say(failed)
    assert painted.state_line.kind == "failed"
    assert work_of(painted).filled is None
