"""Sessions saved and opened by hand."""

from __future__ import annotations

import errno
from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog

from napari_regcon.errors import InputError
from napari_regcon.session import store
from napari_regcon.session.files import load_session, save_session
from napari_regcon.worker.protocol import Configure, Paint, Preview, SegmentVolume

from .conftest import stroke

pytestmark = pytest.mark.gui


@pytest.fixture
def ask(monkeypatch):
    """Answer the file dialogs with a path."""

    def answer(path):
        for name in ("getSaveFileName", "getOpenFileName"):
            monkeypatch.setattr(QFileDialog, name, lambda *_: (str(path), ""))

    return answer


def save(widget, qtbot):
    with qtbot.waitSignal(widget.core.sessions.saved, timeout=30_000) as saved:
        widget.panels.session._save.click()
    return saved.args[0]


def open_session(widget, qtbot):
    with qtbot.waitSignal(widget.core.sessions.opened, timeout=30_000):
        widget.panels.session._open.click()


def test_a_session_goes_on_where_it_was_saved(painted, qtbot, ask, tmp_path):
    ask(tmp_path / "mine")
    painted.core.marking.mark_slice()
    painted.core.locking.toggle_slice()
    painted.core.classes.rename(2, "vesicle")
    painted.panels.model._form._controls["seed"].value = 5
    path = save(painted, qtbot)
    assert path == tmp_path / "mine.regcon"
    assert "--session mine.regcon" in painted.panels.session._hint.text()

    work, layer = painted.core.workspace.current, painted.core.workspace.current.labels
    before = layer.data.copy()
    painted.core.classes.rename(2, "something else")
    painted.core.marking.unmark(next(iter(work.state.marks)))
    painted.core.locking.unlock_all()
    painted.panels.model._form._controls["seed"].value = 0
    stroke(painted, 2, [(4, 9, 9)])
    ask(path)
    open_session(painted, qtbot)
    assert work.labels is not layer
    assert layer in painted.viewer.layers  # nothing painted is taken away
    assert layer.data[4, 9, 9] == 2
    assert np.array_equal(work.labels.data, before)
    assert [c.name for c in painted.core.classes.table] == ["background", "vesicle"]
    assert [m.describe() for m in work.state.marks] == ["slice 2"]
    assert work.state.locks.slices == {(2,)}
    assert painted.panels.model.choice.parameters == (("seed", 5),)
    assert painted.client.last(Configure).parameters == (("seed", 5),)


def test_what_was_painted_before_opening_is_kept_in_a_file(painted, qtbot, ask, tmp_path):
    ask(tmp_path / "a.regcon")
    save(painted, qtbot)
    stroke(painted, 2, [(4, 9, 9)])
    work = painted.core.workspace.current
    qtbot.waitUntil(lambda: work.state.painted.counts()[2] == 26, timeout=30_000)
    open_session(painted, qtbot)
    painted.core.close()
    found = [load_session(path).image.patches for path in store.sessions_dir().glob("*.regcon")]
    assert any((4,) in patches for patches in found)
    assert any((4,) not in patches for patches in found)


def test_a_volume_right_after_opening_learns_from_the_session(painted, qtbot, ask, tmp_path):
    ask(tmp_path / "a.regcon")
    painted.core.marking.mark_slice()
    save(painted, qtbot)
    work = painted.core.workspace.current
    stroke(painted, 2, [(4, 9, 9)])
    painted.viewer.dims.set_current_step(0, 4)
    painted.core.marking.mark_slice()
    qtbot.waitUntil(lambda: work.state.painted.counts()[2] == 26, timeout=30_000)
    painted.core.live.request_once()
    open_session(painted, qtbot)
    painted.core.volume.start()
    qtbot.waitUntil(lambda: painted.client.of(SegmentVolume) != [], timeout=30_000)
    said = {}
    for request in painted.client.sent[
        : painted.client.sent.index(painted.client.last(SegmentVolume))
    ]:
        if isinstance(request, Paint):
            said |= {plane.prefix: plane for plane in request.planes}
    assert np.count_nonzero(said[(2,)].labels.array) == 50
    assert len(said[(2,)].complete) == 1
    assert not said[(4,)].labels.array.any()
    assert said[(4,)].complete == ()  # marked before, and no longer
    painted.core.volume.cancel()


def test_strokes_on_other_images_belong_to_a_session(painted, qtbot, ask, tmp_path):
    painted.core.live.set_enabled(False)
    painted.viewer.add_image(np.ones((30, 20), np.float32), name="another", scale=(2, 2))
    painted.panels.image._combo.activated.emit(1)
    work = painted.core.workspace.current
    qtbot.waitUntil(lambda: work.source is not None, timeout=30_000)
    stroke(painted, 2, [(5, x) for x in range(4, 9)])
    stroke(painted, 1, [(9, x) for x in range(4, 9)])
    qtbot.waitUntil(lambda: work.state.painted.counts() == {1: 5, 2: 5}, timeout=30_000)
    ask(tmp_path / "both.regcon")
    state = load_session(save(painted, qtbot))
    assert [(i.name, i.shape, i.dtype) for i in state.images] == [
        ("cells", (6, 64, 80), "uint8"),
        ("another", (30, 20), "float32"),
    ]
    assert state.image.name == "another"
    assert state.image.scale == (2.0, 2.0)
    assert sum(state.others[0].patches[(2,)].counts.values()) == 50

    before = len(painted.client.of(Paint))
    painted.core.live.request_once()  # the engine learns from both, so it is told of both
    assert len(painted.client.of(Paint)[before:]) >= 1
    told = {r.image_id for r in painted.client.of(Paint)}
    assert told == {w.image_id for w in painted.core.workspace.works()}

    open_session(painted, qtbot)
    assert "Strokes on other images ('cells')" in painted.panels.session._hint.text()


@pytest.fixture
def two_images(painted, qtbot, ask, tmp_path):
    """Save a session with strokes on "cells", and on "another", which is chosen."""
    painted.core.live.set_enabled(False)
    painted.core.marking.mark_slice()
    painted.viewer.add_image(np.ones((30, 20), np.float32), name="another")
    painted.panels.image._combo.activated.emit(1)
    work = painted.core.workspace.current
    qtbot.waitUntil(lambda: work.source is not None, timeout=5000)
    stroke(painted, 1, [(9, x) for x in range(4, 9)])
    stroke(painted, 2, [(5, x) for x in range(4, 9)])
    qtbot.waitUntil(lambda: work.state.painted.counts() == {1: 5, 2: 5}, timeout=5000)
    ask(tmp_path / "both.regcon")
    return save(painted, qtbot)


def test_a_session_goes_on_with_every_image_that_is_open(dock, two_images, painted, qtbot):
    cells = painted.viewer.layers["cells"].data
    fresh = dock(np.ones((30, 20), np.float32), name="renamed")
    fresh.viewer.add_image(cells + 1, name="not it")
    fresh.viewer.add_image(cells, name="it")
    open_session(fresh, qtbot)
    assert "Strokes on other images ('cells') are brought back" in fresh.panels.session._hint.text()
    works = {work.state.name: work for work in fresh.core.workspace.works()}
    assert list(works) == ["renamed", "it"]
    assert fresh.core.workspace.current is works["renamed"]
    assert works["renamed"].state.painted.counts() == {1: 5, 2: 5}
    assert works["it"].state.painted.counts() == {1: 25, 2: 25}
    assert np.count_nonzero(works["it"].labels.data[2]) == 50
    assert [mark.describe() for mark in works["it"].state.marks] == ["slice 2"]
    assert fresh.viewer.layers.selection.active is works["renamed"].labels

    def told():
        return {r.image_id: r.planes for r in fresh.client.of(Paint)}

    qtbot.waitUntil(lambda: len(told()) == 2, timeout=5000)
    (plane,) = told()[works["it"].image_id]
    assert (plane.prefix, np.count_nonzero(plane.labels.array)) == ((2,), 50)


def test_images_of_a_session_that_are_not_open_are_named(dock, two_images, qtbot):
    fresh = dock(np.ones((30, 20), np.float32))
    open_session(fresh, qtbot)
    text = fresh.panels.session._hint.text()
    assert "Images of the session that are not open: 'cells'." in text
    assert len(fresh.core.workspace.works()) == 1


def test_strokes_of_one_image_of_a_session_are_not_put_on_another(two_images, painted, qtbot):
    painted.panels.image._combo.activated.emit(0)
    with qtbot.waitSignal(painted.core.sessions.failed, timeout=5000) as failed:
        painted.panels.session._open.click()
    assert failed.args[0] == (
        "In this session 'another' is the chosen image, and this is 'cells'. Choose 'another', "
        "then open the session again."
    )


def test_a_session_of_another_shape_is_refused_in_words(painted, qtbot, ask, tmp_path):
    ask(tmp_path / "a.regcon")
    save(painted, qtbot)
    painted.viewer.add_image(np.zeros((3, 20, 20)), name="another")
    painted.panels.image._combo.activated.emit(1)
    with qtbot.waitSignal(painted.core.sessions.failed, timeout=30_000) as failed:
        painted.panels.session._open.click()
    assert failed.args[0] == (
        "The session was saved for an image of shape (6, 64, 80), and this one has (3, 20, 20). "
        "Choose the image it belongs to ('cells')."
    )
    assert painted.state_line.text == failed.args[0]


def test_other_pixels_of_the_same_shape_are_told(painted, qtbot, ask, tmp_path):
    ask(tmp_path / "a.regcon")
    save(painted, qtbot)
    painted.viewer.add_image(np.zeros((6, 64, 80), np.uint8), name="another")
    painted.panels.image._combo.activated.emit(1)
    work = painted.core.workspace.current
    qtbot.waitUntil(lambda: work.source is not None, timeout=30_000)
    open_session(painted, qtbot)
    assert "pixels of this image are others" in painted.panels.session._hint.text()
    assert work.labels is not None


def test_weights_that_are_not_here_are_told(painted, qtbot, ask, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_REGCON_WEIGHTS_DIR", str(tmp_path / "weights"))
    ask(tmp_path / "a.regcon")
    path = save(painted, qtbot)
    state = replace(load_session(path), method="in-context", weights="mine", parameters={})
    save_session(replace(state, weights_sha256="00ff"), path)
    open_session(painted, qtbot)
    assert painted.state_line.kind == "failed"
    assert "used the weights 'mine', which are not on this computer" in painted.state_line.text
    assert painted.panels.model.method == "in-context"


def test_a_damaged_file_and_a_full_disk_are_told(painted, qtbot, ask, tmp_path, monkeypatch):
    (tmp_path / "bad.regcon").write_bytes(b"no session")
    ask(tmp_path / "bad.regcon")
    layer = painted.core.workspace.current.labels
    painted.panels.session._open.click()
    qtbot.waitUntil(lambda: "not a session file" in painted.state_line.text, timeout=30_000)
    assert painted.core.workspace.current.labels is layer

    def full(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    ask(tmp_path / "new.regcon")
    with monkeypatch.context() as patch:
        patch.setattr("napari_regcon.session.files.os.fsync", full)
        painted.panels.session._save.click()
        qtbot.waitUntil(lambda: "The disk is full" in painted.state_line.text, timeout=30_000)
    assert not (tmp_path / "new.regcon").exists()
    save(painted, qtbot)
    assert painted.state_line.kind != "failed"
    with pytest.raises(InputError):
        load_session(tmp_path / "bad.regcon")


def test_sessions_need_an_image(dock):
    widget = dock(False)
    assert not widget.panels.session._save.isEnabled()
    assert "choose an image first" in widget.panels.session._open.toolTip()
    assert widget.client.of(Preview) == []
