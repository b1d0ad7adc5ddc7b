"""Whole-volume work: what is finished is shown, kept and resumed."""

from __future__ import annotations

import numpy as np
import pytest

from napari_regcon.errors import InputError
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
    SegmentVolume,
    VolumeBlockDone,
)

from .conftest import stroke

pytestmark = pytest.mark.gui


@pytest.fixture
def volume(painted, qtbot):
    """Return a dock in which the whole volume is being segmented."""
    painted.panels.segment._volume.click()
    qtbot.waitUntil(lambda: painted.client.of(SegmentVolume) != [], timeout=30_000)
    return painted


def block(widget, start, stop, value):
    """Say that some planes are finished."""
    request = widget.client.last(SegmentVolume)
    box = Box((start, 0, 0), (stop, 64, 80))
    widget.client.write(request, value, box.slices)
    widget.client.say(VolumeBlockDone(request.generation, request.image_id, box))


def done(widget, qtbot, *, cancelled=False):
    request = widget.client.last(SegmentVolume)
    with qtbot.waitSignal(widget.core.volume.finished, timeout=30_000):
        widget.client.say(JobDone(request.generation, cancelled, 1.0))


def test_a_volume_is_undone_and_done_again(volume, qtbot):
    correct = volume.panels.correct
    history = volume.core.workspace.current.state.history
    for value in (1, 2):  # the second time over the first
        if value == 2:
            volume.panels.segment._volume.click()
            qtbot.waitUntil(lambda: len(volume.client.of(SegmentVolume)) == 2, timeout=30_000)
        block(volume, 0, 4, value)
        done(volume, qtbot, cancelled=value == 2)
        qtbot.waitUntil(lambda n=value: len(history) == n, timeout=30_000)
    for button, left in (
        (correct._undo, [1, 1, 1, 1, 0, 0]),
        (correct._undo, [0] * 6),
        (correct._redo, [1, 1, 1, 1, 0, 0]),
        (correct._redo, [2, 2, 2, 2, 0, 0]),
    ):
        button.click()
        qtbot.waitUntil(lambda: not volume.core.correction.busy, timeout=30_000)
        assert values(volume) == left
        assert volume.panels.segment._resume.isHidden()
    assert correct._undo.toolTip() == "Take the last step back: segment the volume."


def values(widget):
    """Return the value of each plane of the prediction, None where it is mixed."""
    layer = widget.core.workspace.current.prediction
    data = np.asarray(layer.data) if layer is not None else []
    return [int(p.flat[0]) if (p == p.flat[0]).all() else None for p in data]


def test_blocks_are_shown_while_the_rest_is_under_way(volume, qtbot):
    request = volume.client.last(SegmentVolume)
    assert request.first == (2,)
    assert request.done == ()
    block(volume, 1, 4, 2)
    qtbot.waitUntil(lambda: values(volume) == [0, 2, 2, 2, 0, 0], timeout=30_000)
    assert volume.core.volume.running
    block(volume, 0, 1, 1)
    block(volume, 4, 6, 1)
    done(volume, qtbot)
    assert values(volume) == [1, 2, 2, 2, 1, 1]
    assert not volume.core.volume.running
    assert "All slices" in volume.panels.segment._note.text()
    assert volume.panels.segment._resume.isHidden()
    stroke(volume, 2, [(2, 50, x) for x in range(5, 30)])
    qtbot.waitUntil(lambda: not volume.panels.segment._note.text(), timeout=30_000)


def test_a_note_stays_until_another_image_is_chosen(volume, qtbot):
    block(volume, 2, 4, 2)
    done(volume, qtbot, cancelled=True)
    volume.viewer.dims.set_current_step(0, 5)
    stroke(volume, 2, [(5, 50, x) for x in range(5, 30)])
    known = volume.core.workspace.current.state.painted
    qtbot.waitUntil(lambda: (5,) in dict(known.items()), timeout=30_000)
    assert "Missing" in volume.panels.segment._note.text()
    volume.viewer.add_image(np.zeros((4, 30, 30), dtype=np.float32), name="second")
    volume.panels.image._combo.activated.emit(1)
    assert volume.panels.segment._note.text() == ""


def test_the_bar_says_that_a_volume_begins_and_does_not_move(volume):
    bar = volume.panels.segment._bar
    assert not bar.isHidden()
    assert bar.text() == "starting…"
    assert bar.maximum() > bar.minimum()  # or Qt moves it, drawing the whole window every time


def test_progress_and_time_left_are_shown(volume):
    request = volume.client.last(SegmentVolume)
    volume.client.say(JobProgress(request.generation, Progress(3, 12, "tiles", 6.0)))
    bar = volume.panels.segment._bar
    assert not bar.isHidden()
    assert (bar.value(), bar.maximum()) == (3, 12)
    assert bar.format() == "25 % · 18 s left"
    assert volume.state_line.kind == "busy"
    assert not volume.panels.segment._volume.isEnabled()
    volume.client.say(JobNote(request.generation, Note("Smaller steps now.")))
    assert volume.panels.segment._note.text() == "Smaller steps now."


def test_cancel_keeps_what_is_done_and_resume_goes_on(volume, qtbot):
    block(volume, 2, 4, 2)
    volume.panels.segment._cancel.click()
    request = volume.client.last(SegmentVolume)
    assert volume.client.cancelled == [request.generation]
    assert not volume.panels.segment._cancel.isEnabled()
    done(volume, qtbot, cancelled=True)
    assert values(volume) == [0, 0, 2, 2, 0, 0]
    hint = volume.panels.segment._note.text()
    assert hint == "2 of 6 slices are done. Missing: 0–1, 4–5."
    assert volume.state_line.kind != "failed"

    volume.panels.segment._resume.click()
    qtbot.waitUntil(lambda: len(volume.client.of(SegmentVolume)) == 2, timeout=30_000)
    assert volume.client.last(SegmentVolume).done == (Box((2, 0, 0), (4, 64, 80)),)
    block(volume, 0, 2, 1)
    block(volume, 4, 6, 1)
    done(volume, qtbot)
    assert values(volume) == [1, 1, 2, 2, 1, 1]


def told(widget):
    """Return how many pixels of each plane the engine was last told to be painted."""
    planes = [plane for request in widget.client.of(Paint) for plane in request.planes]
    return {plane.prefix: np.count_nonzero(plane.labels.array) for plane in planes}


@pytest.mark.parametrize("way", ["paint", "data_setitem", "undo", "through slices"])
def test_a_volume_started_right_after_an_edit_sees_it(painted, qtbot, way):
    layer = painted.core.workspace.current.labels
    match way:
        case "paint":
            stroke(painted, 2, [(4, 50, x) for x in range(5, 30)])
        case "data_setitem":
            layer.data_setitem((np.array([4, 4, 5]), np.array([3, 4, 3]), np.array([6, 7, 8])), 1)
        case "undo":
            layer.undo()
        case "through slices":
            layer.data_setitem(
                (np.repeat(np.arange(6), 9), np.tile(np.arange(9), 6), np.full(54, 3)), 1
            )
    painted.core.volume.start()
    qtbot.waitUntil(lambda: painted.client.of(SegmentVolume) != [], timeout=30_000)
    since = painted.client.sent.index(painted.client.last(SegmentVolume))
    assert not [r for r in painted.client.sent[since:] if isinstance(r, Paint)]
    counts = {z: np.count_nonzero(plane) for z, plane in enumerate(np.asarray(layer.data))}
    assert counts == {z: told(painted).get((z,), 0) for z in range(6)}


def test_a_volume_started_right_after_the_first_strokes_sees_them(dock, qtbot):
    widget = dock()
    stroke(widget, 1, [(2, 10, x) for x in range(5, 30)])
    stroke(widget, 2, [(2, 40, x) for x in range(5, 30)])
    widget.core.volume.start()
    qtbot.waitUntil(lambda: widget.client.of(SegmentVolume) != [], timeout=30_000)
    assert told(widget) == {(2,): 50}


@pytest.mark.parametrize("what", ["volume", "guide"])
def test_work_waits_for_strokes_on_an_image_that_is_still_being_read(painted, qtbot, reading, what):
    first = painted.core.workspace.current
    other = painted.viewer.add_image(np.zeros((6, 64, 80), np.uint8), name="other")
    painted.core.workspace.choose(other)
    stroke(painted, 2, [(1, 10, x) for x in range(5, 30)])
    painted.core.workspace.choose(first.layer)

    def asked():
        """Return what was asked for by the work, and not by the live preview."""
        kind = {"volume": SegmentVolume, "guide": Preview}[what]
        return [r for r in painted.client.of(kind) if not getattr(r, "whole_plane", False)]

    getattr(painted.core, what).start()
    if what == "volume":
        qtbot.waitUntil(lambda: "first" in painted.panels.segment._note.text(), timeout=30_000)
    assert getattr(painted.core, what).running
    assert asked() == []
    reading.set()
    qtbot.waitUntil(lambda: asked() != [], timeout=30_000)
    since = painted.client.sent.index(asked()[0])
    paints = [r for r in painted.client.sent[:since] if isinstance(r, Paint)]
    assert len({r.image_id for r in paints}) == 2


def test_an_image_that_cannot_be_read_is_told(dock, qtbot, monkeypatch):
    def fail(*_args):
        raise InputError("There is no room for it.")
        yield

    monkeypatch.setattr("napari_regcon._qt.supply.make_source", fail)
    widget = dock(False)
    with qtbot.waitSignal(widget.core.workspace.failed, timeout=30_000):
        widget.viewer.add_image(np.zeros((6, 64, 80), np.uint8), name="cells")
    with qtbot.waitSignal(widget.core.volume.failed, timeout=30_000) as failed:
        widget.core.volume.start()
    assert failed.args == ["'cells' could not be read."]


def test_a_volume_waits_until_a_chosen_layer_is_looked_through(dock, qtbot):
    widget = dock(np.zeros((300, 64, 80), np.uint8))
    data = np.zeros((300, 64, 80), np.uint8)
    data[7, 3:9, 3:9] = 1
    data[299, 3:9, 3:9] = 2
    widget.core.labelling.use_layer(widget.viewer.add_labels(data))
    widget.core.volume.start()
    assert widget.core.volume.running
    qtbot.waitUntil(lambda: widget.client.of(SegmentVolume) != [], timeout=30_000)
    assert told(widget) == {(7,): 36, (299,): 36}


def test_a_volume_cancelled_before_it_began_asks_for_nothing(painted, qtbot):
    stroke(painted, 2, [(4, 50, x) for x in range(5, 30)])
    painted.core.volume.start()
    with qtbot.waitSignal(painted.core.volume.finished, timeout=30_000):
        painted.core.volume.cancel()
    assert not painted.core.volume.running
    assert painted.client.cancelled == []
    painted.core.volume.start()
    qtbot.waitUntil(lambda: painted.client.of(SegmentVolume) != [], timeout=30_000)
    assert len(painted.client.of(SegmentVolume)) == 1


def test_a_newer_preview_is_not_overwritten(volume, qtbot):
    stroke(volume, 2, [(2, 50, x) for x in range(5, 30)])
    n_before = len(volume.client.of(Preview))
    qtbot.waitUntil(lambda: len(volume.client.of(Preview)) > n_before, timeout=30_000)
    preview = volume.client.last(Preview)
    volume.client.write(preview, 2)
    whole = Box((0, 0), (64, 80))
    volume.client.say(
        PreviewDone(preview.generation, preview.image_id, (2,), whole, True, 0.0, 0.0)
    )
    block(volume, 0, 6, 1)
    done(volume, qtbot)
    assert values(volume) == [1, 1, 2, 1, 1, 1]


def test_a_failure_and_a_death_keep_what_is_done(volume, qtbot):
    block(volume, 0, 2, 1)
    request = volume.client.last(SegmentVolume)
    with qtbot.waitSignal(volume.core.volume.failed, timeout=30_000):
        volume.client.say(JobFailed(request.generation, "The disk is full."))
    assert volume.state_line.text == "The disk is full."
    assert values(volume)[:2] == [1, 1]
    assert not volume.panels.segment._resume.isHidden()

    volume.panels.segment._resume.click()
    qtbot.waitUntil(lambda: len(volume.client.of(SegmentVolume)) == 2, timeout=30_000)
    block(volume, 2, 3, 2)
    request = volume.client.last(SegmentVolume)
    with qtbot.waitSignal(volume.core.volume.failed, timeout=30_000):
        volume.client.say(EngineDied("The engine was ended by the system.", (request.generation,)))
    assert values(volume)[:3] == [1, 1, 2]
    assert volume.core.workspace.current.state.predictions.can_resume


def test_renaming_and_hiding_the_image_disturbs_nothing(volume, qtbot):
    layer = volume.core.workspace.current.layer
    layer.name = "other"
    layer.visible = False
    block(volume, 0, 6, 2)
    done(volume, qtbot)
    assert values(volume) == [2] * 6
    assert volume.panels.image._combo.currentText() == "other"


def test_deleting_the_image_stops_its_work(volume, qtbot):
    request = volume.client.last(SegmentVolume)
    volume.viewer.layers.remove(volume.core.workspace.current.layer)
    assert volume.client.cancelled == [request.generation]
    assert "'cells' was removed" in volume.panels.segment._note.text()
    assert volume.core.workspace.current is None
    assert not volume.core.volume.running
    volume.client.say(JobDone(request.generation, True, 1.0))
    assert not volume.panels.segment._volume.isEnabled()


def test_deleting_the_prediction_makes_a_new_one(volume, qtbot):
    block(volume, 0, 2, 1)
    qtbot.waitUntil(lambda: values(volume) == [1, 1, 0, 0, 0, 0], timeout=30_000)
    volume.viewer.layers.remove(volume.core.workspace.current.prediction)
    block(volume, 2, 6, 2)
    done(volume, qtbot)
    assert values(volume) == [0, 0, 2, 2, 2, 2]


def test_closing_the_window_in_the_middle_ends_everything(volume, qtbot):
    block(volume, 0, 2, 1)
    buffer = volume.core.volume._buffer
    volume.viewer.close()
    assert volume.client.closed
    assert buffer._segment is None
