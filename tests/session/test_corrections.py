"""What a person changes in final labels by hand is said in the labels, and taken back with it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_regcon.session.corrections import Corrections, PlaneChange
from napari_regcon.session.locks import Locks

SHAPE = (2, 6, 7)


class Desk:
    """Final labels, labels and locks, and a person who paints and undoes."""

    def __init__(self, final=None, labels=None):
        self.final = np.ones(SHAPE, np.uint8) if final is None else final.copy()
        self.labels = np.zeros(SHAPE, np.uint8) if labels is None else labels.copy()
        self.locks, self.corrections = Locks(), Corrections()
        self.n_kept = 0

    def paint(self, value, where, *, z=0, says=True):
        origin = tuple(s.start for s in where)
        before = self.final[z][where].copy()
        self.final[z][where] = value
        change = PlaneChange((z,), origin, before, np.full_like(before, value))
        labels = self.labels if says else None
        planes, self.n_kept = self.corrections.add([change], labels, 1, self.locks)
        return planes

    def follow(self):
        return self.corrections.follow(self.final, self.labels, self.locks)

    def locked(self, z=0):
        return self.locks.locked((z,), self.final[z])


def box(top, left, bottom, right):
    return slice(top, bottom), slice(left, right)


def test_what_is_painted_is_said_and_locked():
    desk = Desk()
    assert desk.paint(3, box(1, 1, 3, 4), z=1) == [(1,)]
    assert np.array_equal(desk.labels, np.where(desk.final == 3, 3, 0))
    assert np.array_equal(desk.locked(1), desk.final[1] == 3)
    assert not desk.locked(0).any()


def test_erased_says_background_where_something_else_stood():
    desk = Desk()
    desk.final[0, 2] = 4
    desk.paint(0, box(1, 1, 4, 3))
    expected = np.zeros(SHAPE, np.uint8)
    expected[0, 2, 1:3] = 1
    assert np.array_equal(desk.labels, expected)


def test_strokes_in_the_labels_stay_and_are_counted():
    desk = Desk()
    desk.labels[0, 1, :] = 2
    desk.paint(3, box(0, 0, 3, 3))
    assert (desk.labels[0, 1] == 2).all()
    assert (desk.labels[0, [0, 2], :3] == 3).all()
    assert desk.n_kept == 3
    desk.paint(2, box(1, 0, 2, 3))
    assert desk.n_kept == 0


def test_a_correction_of_a_correction_replaces_it():
    desk = Desk()
    desk.paint(3, box(0, 0, 3, 3))
    desk.paint(2, box(1, 1, 5, 5))
    desk.paint(1, box(2, 2, 3, 3))
    assert np.array_equal(desk.labels[0][:5, :5], np.where(touched(), desk.final[0][:5, :5], 0))


def touched():
    out = np.zeros((5, 5), bool)
    out[:3, :3] = out[1:, 1:] = True
    return out


def test_with_learning_off_it_is_locked_and_not_said():
    desk = Desk()
    assert desk.paint(3, box(0, 0, 2, 2), says=False) == []
    assert not desk.labels.any()
    assert desk.locked().sum() == 4


def test_undo_and_redo_are_followed():
    desk = Desk()
    desk.paint(3, box(0, 0, 3, 3))
    one = [x.copy() for x in (desk.final, desk.labels, desk.locked())]
    desk.paint(2, box(1, 1, 5, 5))
    two = [x.copy() for x in (desk.final, desk.labels, desk.locked())]
    assert desk.follow() == (False, [])
    for state in (one, two, one):
        desk.final[:] = state[0]
        assert desk.follow() == (True, [(0,)])
        assert np.array_equal(desk.labels, state[1])
        assert np.array_equal(desk.locked(), state[2])
    desk.final[:] = 1
    desk.follow()
    assert not desk.labels.any()
    assert not desk.locked().any()


def test_undo_leaves_what_was_painted_in_the_labels_since():
    desk = Desk()
    desk.paint(3, box(0, 0, 3, 3))
    desk.labels[0, 1, 1] = 2
    desk.labels[0, 2, 2] = 0
    desk.final[:] = 1
    desk.follow()
    assert desk.labels[0, 1, 1] == 2
    assert np.count_nonzero(desk.labels) == 1


def test_what_the_tool_writes_is_no_redo():
    desk = Desk()
    desk.paint(3, box(0, 0, 3, 3))
    desk.final[:] = 1
    desk.follow()
    desk.corrections.forget_undone()
    desk.final[:] = 3
    assert desk.follow() == (False, [])
    assert not desk.labels.any()


def test_the_oldest_become_strokes_when_memory_is_full():
    desk = Desk()
    desk.corrections = Corrections(max_bytes=1)
    desk.paint(3, box(0, 0, 3, 3))
    desk.paint(2, box(0, 0, 3, 3))
    assert (desk.labels[0, :3, :3] == 3).all()
    assert desk.n_kept == 9


@pytest.mark.parametrize("value", [255])
def test_a_value_that_is_no_class_is_not_said(value):
    desk = Desk()
    desk.paint(value, box(0, 0, 2, 2))
    assert not desk.labels.any()


planes = arrays(np.uint8, SHAPE, elements=st.integers(0, 3))
edges = st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(4, 6), st.integers(4, 7))
strokes = st.lists(st.tuples(st.integers(0, 3), edges), min_size=1, max_size=5)


@given(planes, planes, strokes)
def test_whatever_was_corrected_is_taken_back_to_the_last_pixel(final, labels, painted):
    desk = Desk(final, labels)
    states = []
    for value, edge in painted:
        where = box(*edge)
        if (desk.final[0][where] == value).all():
            continue  # napari tells of no such stroke
        states.append((desk.final.copy(), desk.labels.copy(), desk.locked()))
        desk.paint(value, where)
        strokes_there = (labels != 0) & (desk.labels != labels)
        assert not strokes_there.any()
    for state in reversed(states):
        desk.final[:] = state[0]
        desk.follow()
        assert np.array_equal(desk.labels, state[1])
        assert np.array_equal(desk.locked(), state[2])


def test_changes_of_a_plane_come_together_in_order():
    def part(origin, before, after):
        return PlaneChange((4,), origin, np.array(before, np.uint8), np.array(after, np.uint8))

    whole = PlaneChange.together(
        [part((2, 3), [[1, 1]], [[5, 5]]), part((1, 4), [[0], [5]], [[6], [6]])]
    )
    assert (whole.prefix, whole.origin) == ((4,), (1, 3))
    assert whole.before.tolist() == [[0, 0], [1, 1]]
    assert whole.after.tolist() == [[0, 6], [5, 6]]
    assert whole.mask.tolist() == [[False, True], [True, True]]
