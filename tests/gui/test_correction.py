"""Predictions are accepted without fear: undone, locked, and brought back after a crash."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_regcon._qt.widget import RegconWidget
from napari_regcon.session import store
from napari_regcon.session.files import load_session
from napari_regcon.types import Box
from napari_regcon.worker.protocol import Configure, Paint, Preview, PreviewDone

from .conftest import FakeClient, stroke
from .test_dock import canvas_of, on_canvas, send

pytestmark = pytest.mark.gui


@pytest.fixture
def predicted(painted):
    """Return a dock whose prediction has two objects on every slice."""
    work = painted.core.workspace.current
    _layer, labels = painted.core.results.prediction_of(work)
    labels[:] = 1
    labels[:, 5:20, 5:20] = 2
    labels[1:4, 30:60, 40:70] = 2
    work.state.predictions.preview_done((2,), 1)
    painted.presenter.results_changed()
    return painted


def final(widget):
    return np.asarray(widget.core.workspace.current.final.data)


def press(widget, qtbot, button):
    """Click a button of the section and wait until its step is done."""
    assert button.isEnabled(), button.toolTip()
    button.click()
    qtbot.waitUntil(lambda: not widget.core.correction.busy, timeout=30_000)


def test_accepting_a_slice_takes_it_and_the_strokes(predicted, qtbot):
    correct = predicted.panels.correct
    press(predicted, qtbot, correct._accept["slice"])
    work = predicted.core.workspace.current
    expected = np.asarray(work.prediction.data)[2].copy()
    strokes = work.labels.data[2]
    expected[strokes != 0] = strokes[strokes != 0]
    assert np.array_equal(final(predicted)[2], expected)
    assert not final(predicted)[[0, 1, 3, 4, 5]].any()
    assert correct._undo.toolTip() == "Take the last step back: accept slice 2."
    assert work.final.colormap.map(1)[3] == 0
    assert np.allclose(work.final.scale, work.layer.scale)


def test_undo_and_redo_go_across_slices(predicted, qtbot):
    correct = predicted.panels.correct
    press(predicted, qtbot, correct._accept["slice"])
    one = final(predicted).copy()
    press(predicted, qtbot, correct._accept["volume"])
    everything = final(predicted).copy()
    assert everything.all()
    predicted.viewer.dims.set_current_step(0, 5)
    press(predicted, qtbot, correct._undo)
    assert np.array_equal(final(predicted), one)
    press(predicted, qtbot, correct._undo)
    assert not final(predicted).any()
    assert not correct._undo.isEnabled()
    press(predicted, qtbot, correct._redo)
    press(predicted, qtbot, correct._redo)
    assert np.array_equal(final(predicted), everything)
    assert predicted.core.workspace.current.state.history.nbytes < 20_000


def test_one_class_is_accepted(predicted, qtbot):
    predicted.core.labelling.pick_class(2)
    predicted.presenter.update_counts()
    press(predicted, qtbot, predicted.panels.correct._accept["class"])
    assert set(np.unique(final(predicted)[[0, 1, 3, 4, 5]])) == {0, 2}
    strokes = predicted.core.workspace.current.labels.data[2] == 1
    assert not (final(predicted)[2][strokes] == 2).any()
    assert (final(predicted)[5, 5:20, 5:20] == 2).all()


def press_over(widget, qtbot, key, y, x):
    """Put the mouse on a pixel and press a key, with Ctrl and Shift."""
    canvas = canvas_of(widget.viewer)
    no = Qt.MouseButton.NoButton
    point = on_canvas(widget.viewer, y, x)

    def hovers():
        send(canvas, canvas_move(), point, no, no)
        return abs(widget.viewer.cursor.position[1] - y) < 2

    qtbot.waitUntil(hovers, timeout=30_000)
    both = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    qtbot.keyClick(canvas, key, both)


def test_the_object_under_the_mouse_is_accepted_and_locked(predicted, qtbot):
    predicted.viewer.window._qt_window.show()
    predicted.viewer.reset_view()
    press_over(predicted, qtbot, Qt.Key.Key_A, 45, 55)
    history = predicted.core.workspace.current.state.history
    qtbot.waitUntil(lambda: history.next_undo is not None, timeout=30_000)
    wanted = np.zeros((6, 64, 80), dtype=bool)
    wanted[1:4, 30:60, 40:70] = True
    assert np.array_equal(final(predicted) == 2, wanted)
    assert not (final(predicted) == 1).any()

    press_over(predicted, qtbot, Qt.Key.Key_L, 45, 55)
    locks = predicted.core.workspace.current.state.locks
    qtbot.waitUntil(lambda: locks.n_pixel_planes == 3, timeout=30_000)
    assert predicted.panels.correct._hint.text() == "Locked the object, on 3 slices."
    assert locks.pixels()[(2,)].box == Box((30, 40), (60, 70))
    predicted.core.workspace.current.prediction.data[:] = 1
    press(predicted, qtbot, predicted.panels.correct._accept["volume"])
    strokes = np.asarray(predicted.core.workspace.current.labels.data) == 2
    assert np.array_equal(final(predicted) == 2, wanted | strokes)


def canvas_move():
    from qtpy.QtGui import QMouseEvent

    return QMouseEvent.Type.MouseMove


def test_locked_slices_classes_and_painted_pixels_stay(predicted, qtbot):
    correct = predicted.panels.correct
    press(predicted, qtbot, correct._accept["volume"])
    before = final(predicted).copy()
    layer = predicted.core.workspace.current.final
    layer.brush_size = 1
    layer.paint((4, 50, 50), 2)  # a person corrects the final labels
    predicted.viewer.dims.set_current_step(0, 1)
    correct._lock_slice.click()
    assert correct._lock_slice.text() == "Unlock slice"
    assert "1 slice" in correct._locks.text()
    predicted.core.workspace.current.prediction.data[:] = 1
    press(predicted, qtbot, correct._accept["volume"])
    assert np.array_equal(final(predicted)[1], before[1])
    assert final(predicted)[4, 50, 50] == 2
    strokes = predicted.core.workspace.current.labels.data[2]
    assert (final(predicted)[2][strokes == 2] == 2).all()
    assert (final(predicted)[3] == 1).all()
    correct._unlock.click()
    press(predicted, qtbot, correct._accept["volume"])
    assert (final(predicted)[1] == 1).all()
    assert final(predicted)[4, 50, 50] == 2  # it is what a person said, too
    assert not correct._unlock.isEnabled()


def test_undo_leaves_what_a_person_painted_since(predicted, qtbot):
    correct = predicted.panels.correct
    press(predicted, qtbot, correct._accept["volume"])
    layer = predicted.core.workspace.current.final
    layer.brush_size = 1
    layer.paint((4, 50, 50), 2)
    for button in (correct._undo, correct._redo, correct._undo):
        press(predicted, qtbot, button)
        assert final(predicted)[4, 50, 50] == 2
    assert np.count_nonzero(final(predicted)) == 1


def test_another_tools_labels_are_corrected(predicted, qtbot):
    objects = np.zeros((6, 64, 80), dtype=np.int32)
    objects[0, 3:9, 3:9] = 501
    objects[3, 3:9, 3:9] = 502
    predicted.viewer.add_labels(objects, name="from elsewhere")
    correct = predicted.panels.correct
    assert correct._start.itemText(0) == "from elsewhere"
    press(predicted, qtbot, correct._use)
    assert np.array_equal(final(predicted)[[0, 3]], np.where(objects[[0, 3]], 2, 1))
    predicted.viewer.dims.set_current_step(0, 3)
    correct._learn.click()
    labels = predicted.core.workspace.current.labels
    assert np.array_equal(labels.data[3], final(predicted)[3])
    qtbot.waitUntil(
        lambda: any(p.prefix == (3,) and p.complete for p in predicted.client.last(Paint).planes),
        timeout=30_000,
    )
    labels.undo()
    assert not labels.data[3].any()


def test_nothing_is_accepted_without_a_prediction(painted):
    assert not painted.panels.correct._accept["slice"].isEnabled()
    painted.core.correction.accept_slice()
    assert "no prediction" in painted.panels.correct._hint.text()


def test_the_guide_goes_to_the_least_certain_place(painted, qtbot):
    painted.panels.correct._next.click()
    seen = []
    while painted.core.guide.running:
        request = painted.client.last(Preview)
        seen.append(request.prefix)
        with_place = np.zeros((64, 80), dtype=np.uint8)
        if request.prefix == (4,):
            with_place[40:50, 60:70] = 255
        painted.client.write(request, 1)
        painted.client.write(Preview(0, "", (), request.box, request.uncertainty), with_place)
        painted.client.say(
            PreviewDone(
                request.generation, request.image_id, request.prefix, request.box, True, 0, 0
            )
        )
    assert seen == [(0,), (1,), (3,), (4,), (5,)]
    assert painted.viewer.dims.current_step[0] == 4
    ring = painted.viewer.layers["look here"]
    z, y, x = ring.data[0]
    assert z == 4
    assert 38 < y < 52
    assert 58 < x < 72
    assert "slice 4" in painted.panels.correct._hint.text()
    stroke(painted, 1, [(4, 45, 65)])
    qtbot.waitUntil(lambda: ring not in painted.viewer.layers, timeout=30_000)


def test_uncertainty_is_shown_on_request(painted, qtbot):
    assert painted.client.last(Preview).uncertainty is None
    painted.panels.correct._unsure.setChecked(True)
    request = painted.client.last(Preview)
    painted.client.write(Preview(0, "", (), request.box, request.uncertainty), 200)
    whole = Box((0, 0), (64, 80))
    painted.client.say(
        PreviewDone(request.generation, request.image_id, request.prefix, whole, True, 0, 0)
    )
    layer = painted.core.workspace.current.uncertainty
    assert (layer.data[2] == 200).all()
    assert painted.panels.image._combo.count() == 1
    painted.panels.correct._unsure.setChecked(False)
    assert not layer.visible


def test_work_is_saved_by_itself_and_brought_back(painted, qtbot):
    def is_renamed(path):
        return [c.name for c in load_session(path).classes] == ["background", "vesicle"]

    with qtbot.waitSignal(painted.core.autosave.saved, timeout=30_000, check_params_cb=is_renamed):
        painted.core.classes.rename(2, "vesicle")
        painted.core.marking.mark_slice()
        painted.panels.model._form._controls["dimensions"].value = 3
    _layer, labels = painted.core.results.prediction_of(painted.core.workspace.current)
    labels[:] = 2
    painted.core.workspace.current.state.predictions.preview_done((2,), 1)
    painted.presenter.results_changed()
    press(painted, qtbot, painted.panels.correct._accept["volume"])
    painted.core.locking.toggle_slice()
    strokes = painted.core.workspace.current.labels.data.copy()
    accepted = final(painted).copy()
    image = painted.core.workspace.current.layer.data
    painted.core.close()  # what it writes at the end is what a crash leaves, 2 s later at most
    painted.viewer.layers.clear()

    painted.viewer.add_image(image, name="the same image")
    again = RegconWidget(painted.viewer, make_client=FakeClient)
    painted.viewer.window.add_dock_widget(again)
    labels_panel = again.panels.labels
    qtbot.waitUntil(lambda: not labels_panel._earlier_box.isHidden(), timeout=30_000)
    assert "1 painted slice and final labels" in labels_panel._earlier.text()
    labels_panel._bring.click()
    work = again.core.workspace.current
    assert np.array_equal(work.labels.data, strokes)
    assert np.array_equal(work.final.data, accepted)
    assert [m.describe() for m in work.state.marks] == ["slice 2"]
    assert work.state.locks.slices == {(2,)}
    assert [c.name for c in again.core.classes.table] == ["background", "vesicle"]
    assert labels_panel._earlier_box.isHidden()
    qtbot.waitUntil(lambda: work.state.painted.counts() != {}, timeout=30_000)
    again.core.link.wake()
    sent = [r for r in again.core.link._client.sent if isinstance(r, Configure)]
    assert sent[-1].parameters == (("dimensions", 3),)


def again_on(widget, qtbot, image):
    """Close a dock and open another one on the same image; return it once it offers something."""
    widget.core.close()
    widget.viewer.layers.clear()
    widget.viewer.add_image(image)
    again = RegconWidget(widget.viewer, make_client=FakeClient)
    widget.viewer.window.add_dock_widget(again)
    qtbot.waitUntil(lambda: not again.panels.labels._earlier_box.isHidden(), timeout=30_000)
    return again


def test_final_labels_without_a_single_stroke_are_brought_back(dock, qtbot):
    widget = dock()
    widget.viewer.add_labels(np.ones((6, 64, 80), np.uint8), name="from elsewhere")
    press(widget, qtbot, widget.panels.correct._use)
    work = widget.core.workspace.current
    assert work.labels is None
    widget.panels.correct._teach.click()
    work.final.paint((2, 5, 5), 2)
    corrected, locked = np.array(work.final.data), set(work.state.locks.pixels())
    again = again_on(widget, qtbot, work.layer.data)
    assert again.panels.labels._earlier.text().endswith("): final labels.")
    again.panels.labels._bring.click()
    work = again.core.workspace.current
    assert np.array_equal(work.final.data, corrected)
    assert set(work.state.locks.pixels()) == locked == {(2,)}


def test_strokes_on_an_image_that_is_still_being_read_are_saved(dock, qtbot, reading):
    widget = dock(False)
    widget.viewer.add_image(np.zeros((6, 64, 80), np.uint8))
    with qtbot.waitSignal(widget.core.autosave.saved, timeout=30_000) as saved:
        stroke(widget, 1, [(2, 5, 5), (2, 5, 6)])
    assert widget.core.workspace.current.source is None
    (image,) = load_session(saved.args[0]).images
    assert image.patches[(2,)].counts == {1: 2}
    assert (image.shape, image.dtype, len(image.scale)) == ((6, 64, 80), "uint8", 3)


def test_autosave_waits_for_no_other_work(painted, qtbot):
    def endless():
        while True:
            yield

    for _ in range(4):
        painted.core.background.start(endless())
    with qtbot.waitSignal(painted.core.autosave.saved, timeout=30_000) as saved:
        stroke(painted, 2, [(4, 50, x) for x in range(5, 30)])
    assert saved.args[0] == painted.core.autosave.path_for(painted.core.workspace.current)


def test_what_was_about_to_be_saved_is_saved_at_the_end(painted, qtbot):
    autosave, work = painted.core.autosave, painted.core.workspace.current
    path = autosave.path_for(work)

    def before():
        while True:
            yield

    autosave._saver.start(before())
    stroke(painted, 2, [(4, 50, x) for x in range(5, 30)])
    qtbot.waitUntil(lambda: (4,) in dict(work.state.painted.items()), timeout=30_000)
    autosave._save_all()
    painted.core.close()
    assert load_session(path).image.patches[(4,)].counts == {2: 25}


def test_an_earlier_session_can_be_discarded(painted, qtbot):
    painted.core.close()
    image = painted.core.workspace.viewer.layers[0]
    assert len(list(store.sessions_dir().glob("*.regcon"))) == 1
    again = RegconWidget(painted.viewer, make_client=FakeClient)
    painted.viewer.window.add_dock_widget(again)
    assert again.core.workspace.current.layer is image
    qtbot.waitUntil(lambda: not again.panels.labels._earlier_box.isHidden(), timeout=30_000)
    again.panels.labels._discard.click()
    assert list(store.sessions_dir().glob("*.regcon")) == []
    assert again.panels.labels._earlier_box.isHidden()


def test_the_session_of_a_living_dock_is_not_offered_to_another(painted, qtbot):
    first = painted.core
    with qtbot.waitSignal(first.autosave.saved, timeout=30_000):
        stroke(painted, 2, [(4, 50, x) for x in range(5, 30)])
    (path,) = store.sessions_dir().glob("*.regcon")

    def second():
        widget = RegconWidget(painted.viewer, make_client=FakeClient)
        painted.viewer.window.add_dock_widget(widget)
        return widget, widget.panels.labels

    widget, panel = second()
    qtbot.waitUntil(lambda: widget.core.workspace.current.source is not None, timeout=30_000)
    qtbot.waitUntil(lambda: not widget.core.background._tasks, timeout=30_000)
    assert panel._earlier_box.isHidden()
    widget.core.close()
    assert path.exists()

    first.close()
    widget, panel = second()
    other, other_panel = second()
    for offers in (panel, other_panel):
        qtbot.waitUntil(lambda offers=offers: not offers._earlier_box.isHidden(), timeout=30_000)
    panel._bring.click()
    other_panel._discard.click()
    assert path.exists()
    assert "works on this session by now" in other.state_line.text
    assert sum(widget.core.workspace.current.state.painted.counts().values()) == 75


def test_strokes_survive_the_closing_of_the_window(painted):
    painted.viewer.close()  # removes all layers first
    (path,) = store.sessions_dir().glob("*.regcon")
    assert sum(load_session(path).image.patches[(2,)].counts.values()) == 50


def test_a_full_disk_is_told(painted, qtbot, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_regcon.session.files.os.fsync", full)
    with qtbot.waitSignal(painted.core.autosave.failed, timeout=30_000) as failed:
        stroke(painted, 1, [(2, 30, 30)])
    assert "could not be saved by itself: The disk is full" in failed.args[0]
    assert painted.state_line.kind == "failed"
    monkeypatch.undo()
