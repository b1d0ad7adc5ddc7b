"""The preview follows the newest strokes, and nothing else."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from napari_regcon.types import Box, Note, Progress
from napari_regcon.worker.protocol import (
    EngineDied,
    JobDone,
    JobFailed,
    JobNote,
    JobProgress,
    Paint,
    Preview,
    PreviewDone,
)

from .conftest import stroke

pytestmark = pytest.mark.gui

WHOLE = Box((0, 0), (64, 80))


def answer(request, box=WHOLE, *, final=True):
    return PreviewDone(request.generation, request.image_id, request.prefix, box, final, 0.01, 0.02)


def test_nothing_is_asked_before_two_classes_are_painted(dock, qtbot):
    widget = dock()
    with qtbot.waitSignal(widget.core.live.hint, check_params_cb=lambda t: "second class" in t):
        stroke(widget, 1, [(0, 5, 5)])
    assert widget.client.of(Preview) == []


def test_one_class_and_a_complete_slice_are_enough(dock, qtbot):
    widget = dock()
    stroke(widget, 2, [(0, 5, 5)])
    widget.viewer.dims.set_current_step(0, 0)
    widget.core.marking.mark_slice()
    qtbot.waitUntil(lambda: widget.client.of(Preview) != [], timeout=30_000)
    assert widget.client.last(Preview).prefix == (0,)


def test_an_answer_is_shown_where_it_belongs(painted):
    request = painted.client.last(Preview)
    box = Box((10, 20), (30, 40))
    painted.client.write(request, 2, box.slices)
    painted.client.say(answer(request, box))
    prediction = painted.core.workspace.current.prediction
    assert (prediction.data[2, 10:30, 20:40] == 2).all()
    assert np.count_nonzero(prediction.data) == 400


def test_parts_arrive_one_after_the_other(painted, qtbot):
    request = painted.client.last(Preview)
    painted.client.write(request, 1)
    painted.client.say(answer(request, Box((0, 0), (32, 80)), final=False))
    qtbot.waitUntil(lambda: painted.state_line.kind == "busy", timeout=30_000)
    prediction = painted.core.workspace.current.prediction
    assert prediction.data[2, :32].all()
    assert not prediction.data[2, 32:].any()
    with qtbot.waitSignal(painted.core.live.shown):
        painted.client.say(answer(request, Box((32, 0), (64, 80))))
    assert prediction.data[2].all()
    assert painted.state_line.kind != "busy"


def test_how_far_a_long_preview_is_stands_at_the_top(painted, qtbot):
    request = painted.client.last(Preview)
    painted.client.say(JobProgress(request.generation, Progress(3, 12, "tiles", 1.0)))
    qtbot.waitUntil(lambda: "3 of 12 parts" in painted.state_line.text, timeout=30_000)
    painted.client.say(answer(request))
    qtbot.waitUntil(lambda: painted.state_line.kind != "busy", timeout=30_000)


def test_turning_live_off_takes_back_what_was_about_to_be_asked(painted, qtbot):
    before = painted.client.of(Preview)
    painted.core.live.request()
    painted.core.live.set_enabled(False)
    assert not painted.core.live._timer.isActive()
    assert painted.client.of(Preview) == before


def test_an_answer_that_comes_too_late_is_dropped(painted, qtbot):
    old = painted.client.last(Preview)
    stroke(painted, 2, [(2, 50, x) for x in range(5, 30)])
    qtbot.waitUntil(lambda: painted.client.last(Preview) is not old, timeout=30_000)
    new = painted.client.last(Preview)
    painted.client.write(new, 1)
    painted.client.say(answer(new))
    painted.client.write(old, 2)
    painted.client.say(answer(old))
    assert (painted.core.workspace.current.prediction.data[2] == 1).all()


def test_answers_from_the_readers_thread_reach_the_layer(painted, qtbot):
    request = painted.client.last(Preview)
    painted.client.write(request, 2)
    thread = threading.Thread(target=painted.client.say, args=(answer(request),))
    with qtbot.waitSignal(painted.core.live.shown, timeout=30_000):
        thread.start()
    thread.join()
    assert (painted.core.workspace.current.prediction.data[2] == 2).all()


def test_opacity_visibility_and_selection_stay_as_they_are(painted):
    labels = painted.core.workspace.current.labels
    request = painted.client.last(Preview)
    painted.client.say(answer(request))
    prediction = painted.core.workspace.current.prediction
    assert painted.viewer.layers.selection.active is labels
    assert painted.viewer.layers.index(prediction) < painted.viewer.layers.index(labels)
    prediction.opacity, prediction.visible = 0.2, False
    painted.core.live.request_once()
    request = painted.client.last(Preview)
    painted.client.write(request, 2)
    painted.client.say(answer(request))
    assert (prediction.data[2] == 2).all()
    assert prediction.opacity == 0.2
    assert not prediction.visible


def test_nobody_can_paint_where_the_next_preview_would_wipe_it_out(painted):
    painted.client.say(answer(painted.client.last(Preview)))
    prediction = painted.core.workspace.current.prediction
    painted.viewer.layers.selection.active = prediction
    assert not prediction.editable
    prediction.mode = "paint"
    assert str(prediction.mode) == "pan_zoom"
    for where in (9, 2):  # outside of the image, and back
        painted.core.guard.check()
        painted.viewer.dims.set_current_step(0, where)
    assert not prediction.editable


def test_moving_to_another_slice_previews_that_one(painted, qtbot):
    painted.viewer.dims.set_current_step(0, 4)
    qtbot.waitUntil(lambda: painted.client.last(Preview).prefix == (4,), timeout=30_000)
    assert painted.client.last(Preview).whole_plane


def test_without_live_mode_only_the_button_asks(painted, qtbot):
    painted.panels.segment.set_live(False)
    n_before = len(painted.client.of(Preview))
    layer = stroke(painted, 2, [(2, 50, x) for x in range(5, 30)])
    tracker = painted.core.workspace.current.state.painted
    qtbot.waitUntil(lambda: tracker.counts()[2] == (layer.data == 2).sum())
    painted.viewer.dims.set_current_step(0, 4)
    assert len(painted.client.of(Preview)) == n_before
    painted.core.live.request_once()
    assert len(painted.client.of(Preview)) == n_before + 1
    assert painted.client.last(Preview).prefix == (4,)


def test_a_slice_asked_for_right_after_a_stroke_is_asked_for_with_it(painted):
    painted.panels.segment.set_live(False)
    layer = stroke(painted, 2, [(2, 50, x) for x in range(5, 30)])
    painted.core.live.request_once()
    last = painted.client.sent[-2:]
    assert isinstance(last[1], Preview)
    assert isinstance(last[0], Paint)
    (plane,) = last[0].planes
    assert np.count_nonzero(plane.labels.array) == np.count_nonzero(layer.data[2])


def test_the_visible_part_comes_first(painted, qtbot):
    painted.viewer.window._qt_window.show()
    painted.viewer.scene.camera.zoom = 40
    painted.viewer.scene.camera.center = (0, 30, 20)
    layer = painted.core.workspace.current.labels
    qtbot.waitUntil(lambda: layer.corner_pixels[1, 2] - layer.corner_pixels[0, 2] < 70)
    painted.core.live.request_once()
    box = painted.client.last(Preview).box
    assert box.size < WHOLE.size
    assert box.start[0] <= 30 < box.stop[0]
    assert box.start[1] <= 20 < box.stop[1]


def test_the_preview_waits_in_3d(painted):
    painted.viewer.dims.ndisplay = 3
    n_before = len(painted.client.of(Preview))
    painted.core.live.request_once()
    assert len(painted.client.of(Preview)) == n_before
    assert "2-D" in painted.core.live.why_not(painted.core.workspace.current)
    assert not painted.panels.segment._slice.isEnabled()
    painted.viewer.dims.ndisplay = 2
    painted.core.live.request_once()
    assert len(painted.client.of(Preview)) == n_before + 1


def test_a_failure_is_said_in_words_and_forgotten_with_the_next_success(painted):
    request = painted.client.last(Preview)
    painted.client.say(JobFailed(request.generation, "The moon is in the way. Wait."))
    assert painted.state_line.kind == "failed"
    assert painted.state_line.text == "The moon is in the way. Wait."
    painted.core.live.request_once()
    assert painted.state_line.kind in ("idle", "off")
    painted.client.say(answer(painted.client.last(Preview)))
    assert painted.state_line.kind in ("idle", "off")


def test_a_dead_engine_is_told_and_the_next_stroke_asks_again(painted, qtbot):
    request = painted.client.last(Preview)
    before = painted.core.workspace.current.labels.data.copy()
    painted.client.say(EngineDied("The engine ran out of memory.", (request.generation,)))
    assert painted.state_line.kind == "failed"
    assert "out of memory" in painted.state_line.text
    assert np.array_equal(painted.core.workspace.current.labels.data, before)
    n_before = len(painted.client.of(Preview))
    stroke(painted, 1, [(2, 30, 30)])
    qtbot.waitUntil(lambda: len(painted.client.of(Preview)) > n_before, timeout=30_000)


def test_notes_of_a_preview_are_shown_until_the_next_has_none(painted):
    hint = painted.panels.segment._hint
    request = painted.client.last(Preview)
    painted.client.say(JobNote(request.generation, Note("2 slices are not used.")))
    painted.client.say(answer(request))
    assert hint.text() == "2 slices are not used."
    painted.core.live.request_once()
    assert hint.text() == "2 slices are not used."  # no flicker while the next is under way
    painted.client.say(answer(painted.client.last(Preview)))
    assert hint.text() == ""


def test_a_cancelled_preview_is_no_failure(painted):
    request = painted.client.last(Preview)
    painted.client.say(JobDone(request.generation, cancelled=True, elapsed_s=0.1))
    assert painted.state_line.kind in ("idle", "off")


def test_only_the_changed_box_is_refreshed(painted):
    request = painted.client.last(Preview)
    painted.client.say(answer(request))
    painted.viewer.window._qt_window.show()
    painted.viewer.screenshot(flash=False)  # draws once, so that there is something to update
    layer = painted.core.workspace.current.prediction
    updates, refreshes, told = [], [], []
    layer.events.labels_update.connect(lambda e: updates.append((e.offset, e.data.shape)))
    layer.events.set_data.connect(refreshes.append)
    painted.viewer.layers.events.connect(lambda e: told.append(e.type))
    painted.core.live.request_once()
    request = painted.client.last(Preview)
    painted.client.say(answer(request, Box((5, 6), (15, 26))))
    assert updates == [([5, 6], (10, 20))]
    assert refreshes == []
    assert told == []  # or the list of layers would have the window drawn twice
    layer.contour = 1
    refreshes.clear()
    painted.core.live.request_once()
    painted.client.say(answer(painted.client.last(Preview), Box((5, 6), (15, 26))))
    assert len(refreshes) == 1


def test_the_engine_is_asked_before_the_stroke_is_drawn(dock, qtbot):
    widget = dock(show=True)
    stroke(widget, 1, [(0, 5, 5)])
    happened = []
    canvas = widget.viewer.window._qt_viewer.canvas._scene_canvas
    canvas.events.draw.connect(lambda _event: happened.append("drawn"))
    widget.core.live.busy.connect(lambda _busy: happened.append("asked"))
    stroke(widget, 2, [(0, 9, 9)])
    qtbot.waitUntil(lambda: {"asked", "drawn"} <= set(happened), timeout=30_000)
    assert happened[0] == "asked"
