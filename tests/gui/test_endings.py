"""However it ends: nothing keeps running, nothing is lost."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest

from napari_regcon._qt.background import Background
from napari_regcon.errors import InputError
from napari_regcon.session.files import load_session
from napari_regcon.worker.protocol import CloseImage, OpenImage, Preview

from .conftest import stroke

pytestmark = pytest.mark.gui


def test_closing_the_window_ends_the_engine(dock):
    widget = dock()
    viewer, client, scratch = widget.viewer, widget.client, widget.core._scratch.name
    stroke(widget, 1, [(0, 5, 5)])
    viewer.close()
    assert client.closed
    import pathlib

    assert not pathlib.Path(scratch).exists()


def test_a_stroke_painted_just_before_the_end_is_saved(painted, qapp):
    work = painted.core.workspace.current
    session = painted.core.autosave.path_for(work)
    stroke(painted, 2, [(4, 50, x) for x in range(5, 30)])
    qapp.aboutToQuit.emit()
    assert load_session(session).image.patches[(4,)].counts == {2: 25}


def test_removing_the_dock_ends_the_engine_and_a_new_one_goes_on(painted, qtbot):
    viewer, client = painted.viewer, painted.client
    labels = painted.core.workspace.current.labels
    viewer.window.remove_dock_widget(painted)
    painted.deleteLater()
    qtbot.waitUntil(lambda: client.closed, timeout=30_000)
    data = labels.data.copy()
    stroke_after = labels.paint((2, 30, 30), 1)
    assert stroke_after is None
    assert not np.array_equal(labels.data, data)

    from napari_regcon._qt.widget import RegconWidget

    from .conftest import FakeClient

    again = RegconWidget(viewer, make_client=FakeClient)
    viewer.window.add_dock_widget(again)
    work = again.core.workspace.current
    assert work.labels is labels
    qtbot.waitUntil(lambda: work.state.painted.counts() != {}, timeout=30_000)


def test_closing_the_dock_ends_the_engine_and_gives_its_keys_back(dock, qtbot):
    widget = dock(show=True)
    client, viewer = widget.client, widget.viewer
    stroke(widget, 1, [(0, 5, 5)])
    own_dock = widget.parent()
    own_dock.title.close_button.click()  # the cross in its corner
    qtbot.waitUntil(lambda: client.closed, timeout=30_000)
    assert not viewer.keymap


def test_a_dock_that_moves_to_another_place_goes_on(dock, qapp):
    widget = dock()
    widget.viewer.window.remove_dock_widget(widget)
    widget.viewer.window.add_dock_widget(widget, name="elsewhere", area="left")
    qapp.processEvents()
    assert not widget.client.closed


def test_quitting_the_application_ends_the_engine(dock, qapp):
    widget = dock()
    qapp.aboutToQuit.emit()
    assert widget.client.closed
    widget.core.close()  # a second time does nothing


def test_two_viewers_have_an_engine_each(dock, qtbot):
    one = dock(np.zeros((3, 20, 20), np.uint8), name="one")
    two = dock(np.ones((3, 20, 20), np.uint8), name="two")
    for widget in (one, two):
        stroke(widget, 1, [(0, 5, 5)])
        stroke(widget, 2, [(0, 9, 9)])
        qtbot.waitUntil(lambda w=widget: w.client.of(Preview) != [], timeout=30_000)
        assert len(widget.client.of(OpenImage)) == 1
    assert one.client.last(OpenImage).name == "one"
    assert two.client.last(OpenImage).name == "two"
    one.viewer.close()
    assert one.client.closed
    assert not two.client.closed


def test_a_removed_image_gives_its_memory_back(painted):
    work = painted.core.workspace.current
    buffer = work.source.buffer
    painted.viewer.layers.remove(work.layer)
    assert painted.client.last(CloseImage).image_id == work.image_id
    assert buffer._segment is None
    assert len(painted.core.live._planes) == 0


def test_a_dock_is_collected_after_its_window(dock, qtbot):
    widget = dock()
    core, viewer = weakref.ref(widget.core), widget.viewer
    viewer.close()
    del widget, viewer
    for _ in range(3):
        gc.collect()
    assert core() is None or core()._closed


def test_a_warning_in_a_thread_or_an_error_reaches_the_user(qtbot):
    background = Background()
    said = []

    def refuse():
        yield
        raise InputError("No.", next_step="Do that.")

    background.start(refuse(), done=said.append, failed=said.append)
    qtbot.waitUntil(lambda: said == ["No. Do that."], timeout=30_000)
    background.close()


def test_unexpected_errors_in_a_thread_are_told_too(qtbot, capfd):
    background = Background()
    said = []

    def fail():
        yield
        raise KeyError("surprise")

    background.start(fail(), done=said.append, failed=said.append)
    qtbot.waitUntil(lambda: len(said) == 1, timeout=30_000)
    assert "KeyError('surprise')" in said[0]
    assert "Traceback" in capfd.readouterr().err
    background.close()


def test_cancelled_work_stops_and_its_result_is_disposed_of(qtbot):
    background = Background()
    go, at_work = threading.Event(), threading.Event()
    done, unused = [], []

    def work():
        at_work.set()
        go.wait(30)
        return "result"
        yield

    task = background.start(work(), done=done.append, unused=unused.append)
    assert at_work.wait(30)
    task.cancel()
    go.set()
    background.close()
    assert done == []
    assert unused == ["result"]


def test_a_result_on_its_way_is_disposed_of_at_the_end(qtbot):
    background = Background()
    done, unused = [], []

    def work():
        return "result"
        yield

    background.start(work(), done=done.append, unused=unused.append)
    background.close()  # before the event loop could deliver it
    assert done == []
    assert unused == ["result"]


def test_steps_are_reported_in_the_gui_thread(qtbot):
    background = Background()
    steps = []

    def work():
        yield threading.get_ident()
        yield threading.get_ident()

    background.start(work(), step=lambda w: steps.append((w, threading.get_ident())))
    qtbot.waitUntil(lambda: len(steps) == 2, timeout=30_000)
    assert {here for _, here in steps} == {threading.get_ident()}
    assert threading.get_ident() not in {there for there, _ in steps}
    background.close()
