from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_regcon.errors import InputError
from napari_regcon.session.accept import Scope, accept, object_at
from napari_regcon.session.history import BoxChange, Edit, History
from napari_regcon.session.locks import Locks
from napari_regcon.session.marks import CompleteMarks
from napari_regcon.session.painted import PaintedPlanes
from napari_regcon.session.start_from import copy_labels

SHAPE = (3, 12, 16)


def run(steps, final):
    """Write each change as it comes, as the window does, and return the edit."""
    while True:
        try:
            change = next(steps)
        except StopIteration as stop:
            return stop.value
        if change is not None:
            change.apply(final, forward=True)


def put(edit, final, *, forward, locks=None):
    for change in edit.changes:
        change.apply(final, forward=forward, locks=locks)


PLANES = [(z,) for z in range(3)]


@pytest.fixture
def prediction():
    out = np.ones(SHAPE, dtype=np.uint8)
    out[:, 2:6, 2:6] = 2
    out[:, 8:11, 9:14] = 2
    return out


@pytest.fixture
def painted():
    planes = PaintedPlanes(CompleteMarks(SHAPE))
    stroke = np.zeros(SHAPE[1:], dtype=np.uint8)
    stroke[3, 1:9] = 3
    planes.update((1,), stroke)
    return planes


def test_accepting_everything_keeps_what_a_person_painted(prediction, painted):
    final = np.zeros(SHAPE, dtype=np.uint8)
    run(accept(prediction, final, painted, Locks(), Scope("all", PLANES)), final)
    assert (final[1, 3, 1:9] == 3).all()
    untouched = np.ones(SHAPE, dtype=bool)
    untouched[1, 3, 1:9] = False
    assert np.array_equal(final[untouched], prediction[untouched])


def test_pixels_without_a_prediction_stay(prediction, painted):
    prediction[0] = 0
    final = np.full(SHAPE, 9, dtype=np.uint8)
    run(accept(prediction, final, painted, Locks(), Scope("all", PLANES)), final)
    assert (final[0] == 9).all()
    assert (final[2] == prediction[2]).all()


def test_one_class_one_slice_one_object(prediction, painted):
    final = np.zeros(SHAPE, dtype=np.uint8)
    run(accept(prediction, final, painted, Locks(), Scope("class", [(0,)], value=2)), final)
    assert np.array_equal(final[0], np.where(prediction[0] == 2, 2, 0))
    assert not final[1:].any()

    final[:] = 0
    mask = object_at(prediction, (2, 4, 4))
    assert mask.sum() == 3 * 16
    run(accept(prediction, final, painted, Locks(), Scope("object", [(2,)], mask=mask)), final)
    assert np.count_nonzero(final) == 16


def test_strokes_count_only_where_the_scope_reaches(prediction, painted):
    final = np.zeros(SHAPE, dtype=np.uint8)
    run(accept(prediction, final, painted, Locks(), Scope("class", [(1,)], value=2)), final)
    stroke_inside = (prediction[1] == 2)[3, 1:9]
    assert np.array_equal(final[1, 3, 1:9] == 3, stroke_inside)
    locks = Locks()
    locks.slices.add((1,))
    final[:] = 0
    run(accept(prediction, final, painted, locks, Scope("all", PLANES)), final)
    assert not final[1].any()
    assert locks.describe() == "1 slice"


def test_labels_of_another_tool_become_final_labels(painted):
    objects = np.zeros(SHAPE, dtype=np.int32)
    objects[0, 2:5, 2:5] = 700
    objects[1, 6:9, 6:9] = 2
    final = np.zeros(SHAPE, dtype=np.uint8)
    edit = run(copy_labels(objects, final, PLANES, {1, 2, 3}, 2, 1, painted, Locks()), final)
    assert (final[0] == np.where(objects[0] > 0, 2, 1)).all()
    assert (final[1, 3, 1:9] == 3).all()
    put(edit, final, forward=False)
    assert not final.any()
    classes = np.full(SHAPE, 3, dtype=np.uint8)
    run(copy_labels(classes, final, PLANES, {1, 2, 3}, 2, 1, painted, Locks()), final)
    assert (final == 3).all()


def test_what_is_painted_while_a_change_waits_to_be_written_stays(prediction, painted):
    final = np.zeros(SHAPE, dtype=np.uint8)
    steps, locks = accept(prediction, final, painted, Locks(), Scope("all", [(0,)])), Locks()
    change = next(steps)
    final[0, 3, 3:9] = 7
    final[0, 5, 5] = 0
    locks.lock_pixels((0,), (5, 5), np.ones((1, 1)))
    change.apply(final, forward=True, locks=locks)
    assert (final[0, 3, 3:9] == 7).all()
    assert final[0, 5, 5] == 0
    assert np.count_nonzero(final[0] == prediction[0]) == 12 * 16 - 7


def test_a_large_plane_is_written_some_rows_at_a_time(prediction, painted, monkeypatch):
    monkeypatch.setattr("napari_regcon.session.history.WRITTEN_PX", 5 * 16)
    final = np.zeros(SHAPE, dtype=np.uint8)
    edit = run(accept(prediction, final, painted, Locks(), Scope("all", PLANES)), final)
    assert [c.box.shape[1] for c in edit.changes] == [5, 5, 2] * 3
    assert (final[0] == prediction[0]).all()
    put(edit, final, forward=False)
    assert not final.any()


def test_pointing_at_nothing_is_refused(prediction):
    prediction[0] = 0
    with pytest.raises(InputError, match="no object"):
        object_at(prediction, (0, 1, 1))


def test_locks_hold(prediction):
    painted = PaintedPlanes(CompleteMarks(SHAPE))
    final = np.zeros(SHAPE, dtype=np.uint8)
    final[0, 0, :] = 5
    final[1] = 4
    locks = Locks()
    locks.classes.add(5)
    locks.slices.add((1,))
    locks.lock_pixels((2,), (2, 3), np.ones((2, 2), dtype=bool))
    locks.lock_pixels((2,), (0, 10), np.eye(3, dtype=bool))
    run(accept(prediction, final, painted, locks, Scope("all", PLANES)), final)
    assert (final[0, 0] == 5).all()
    assert (final[1] == 4).all()
    locked = np.zeros(SHAPE[1:], dtype=bool)
    locked[2:4, 3:5] = True
    locked[[0, 1, 2], [10, 11, 12]] = True
    assert np.array_equal(final[2] == 0, locked)
    assert locks.n_pixel_planes == 1

    locks.unlock_pixels((2,))
    run(accept(prediction, final, painted, locks, Scope("all", [(2,)])), final)
    assert np.array_equal(final[2], prediction[2])
    locks.clear()
    run(accept(prediction, final, painted, locks, Scope("all", PLANES)), final)
    assert np.array_equal(final, prediction)


volumes = arrays(np.uint8, (2, 5, 6), elements=st.integers(0, 3))


@given(volumes, volumes)
def test_every_accept_can_be_undone_and_done_again(prediction, start):
    painted = PaintedPlanes(CompleteMarks(start.shape))
    final = start.copy()
    edit = run(accept(prediction, final, painted, Locks(), Scope("all", [(0,), (1,)])), final)
    accepted = final.copy()
    history = History()
    history.push(edit)
    put(history.undo(), final, forward=False)
    assert np.array_equal(final, start)
    put(history.redo(), final, forward=True)
    assert np.array_equal(final, accepted)


def test_what_was_painted_or_locked_since_is_not_undone(prediction, painted):
    final = np.zeros(SHAPE, dtype=np.uint8)
    locks = Locks()
    edit = run(accept(prediction, final, painted, locks, Scope("all", PLANES)), final)
    final[0, 7, :] = 3  # painted since, without a lock
    locks.lock_pixels((1,), (2, 2), np.ones((2, 3), dtype=bool))  # painted as it was accepted
    locks.slices.add((2,))
    accepted = final.copy()
    put(edit, final, forward=False, locks=locks)
    kept = np.zeros(SHAPE, dtype=bool)
    kept[0, 7], kept[1, 2:4, 2:5], kept[2] = True, True, True
    assert np.array_equal(final, np.where(kept, accepted, 0))
    locks.clear()
    final[0, 0, 0] = 4
    put(edit, final, forward=True, locks=locks)
    accepted[0, 0, 0] = 4
    assert np.array_equal(final, accepted)


def _edit(seed):
    rng = np.random.default_rng(seed)
    before = np.zeros((1, 64, 64), dtype=np.uint8)
    after = rng.integers(1, 9, before.shape, dtype=np.uint8)
    return Edit(f"edit {seed}", (BoxChange.between((seed, 0, 0), before, after),))


def test_history_forgets_the_oldest_first():
    size = _edit(0).nbytes
    history = History(max_bytes=int(3.5 * size))
    for seed in range(10):
        assert history.push(_edit(seed))
        assert history.nbytes <= 3.5 * size
    assert history.next_undo.title == "edit 9"
    undone = [history.undo().title for _ in range(3)]
    assert undone == ["edit 9", "edit 8", "edit 7"]
    assert history.undo() is None
    assert history.redo().title == "edit 7"
    assert history.next_redo.title == "edit 8"
    history.push(_edit(11))
    assert history.redo() is None
    history.clear()
    assert history.next_undo is None


def test_an_edit_too_large_to_keep_is_told():
    history = History(max_bytes=10)
    assert not history.push(_edit(1))
    assert history.undo() is None


def test_only_the_changed_box_is_kept():
    before = np.zeros((4, 40, 50), dtype=np.uint8)
    after = before.copy()
    after[2, 10:12, 20:25] = 3
    change = BoxChange.between((0, 0, 0), before, after)
    assert change.box.start == (2, 10, 20)
    assert change.box.stop == (3, 12, 25)
