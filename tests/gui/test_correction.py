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


def test_the_object_under_the_mouse_is_accepted(predicted, qtbot):
    predicted.viewer.window._qt_window.show()
    predicted.viewer.reset_view()
    canvas = canvas_of(predicted.viewer)
    no = Qt.MouseButton.NoButton
    point = on_canvas(predicted.viewer, 45, 55)

    def hovers():
        send(canvas, canvas_move(), point, no, no)
        return abs(predicted.viewer.cursor.position[1] - 45) < 2

    qtbot.waitUntil(hovers, timeout=30_000)
    both = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    qtbot.keyClick(canvas, Qt.Key.Key_A, both)
    qtbot.waitUntil(lambda: predicted.core.workspace.current.state.history.next_undo is not None)
    wanted = np.zeros((6, 64, 80), dtype=bool)
    wanted[1:4, 30:60, 40:70] = True
    assert np.array_equal(final(predicted) == 2, wanted)
    assert not (final(predicted) == 1).any()


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
    assert final(predicted)[4, 50, 50] == 1
    assert not correct._unlock.isEnabled()


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
    with qtbot.waitSignal(painted.core.autosave.saved, timeout=30_000) as saved:
        painted.core.classes.rename(2, "vesicle")
        painted.core.marking.mark_slice()
        painted.panels.model._form._controls["dimensions"].value = 3
    state = load_session(saved.args[0])
    assert [c.name for c in state.classes] == ["background", "vesicle"]
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
