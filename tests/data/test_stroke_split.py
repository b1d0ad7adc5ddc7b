"""Strokes to learn from, and strokes to judge by."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_regcon.data.stroke_split import Stroke, StrokeSplit, folds
from napari_regcon.data.support import SupportSet
from napari_regcon.types import Box, Volume

CLASSES = ("background", "cell")
PIXEL = Box((0, 0), (1, 1))


def support_of(places, *, complete=False, shape=(3, 60, 60)):
    """Paint a short stroke at each (class, z, y, x)."""
    volume = Volume(np.zeros(shape, np.uint8), "ZYX", name="toy")
    labels = np.zeros(shape, np.uint8)
    for value, z, y, x in places:
        labels[z, y, x : x + 3] = value
    support = SupportSet(CLASSES)
    support.add(volume, labels, complete=complete)
    return support


def grid_places(n_per_class):
    return [
        (value, z, 4 * (i // 3), 20 * value + 6 * (i % 3))
        for value in (1, 2)
        for z in range(1)
        for i in range(n_per_class)
    ]


def keys(strokes):
    return {stroke.key for stroke in strokes}


@given(st.integers(1, 30))
def test_a_fifth_of_each_class_is_kept_back_and_no_stroke_is_on_both_sides(n):
    learnt, held = StrokeSplit().divide(support_of(grid_places(n)))
    assert not keys(learnt) & keys(held)
    assert len(learnt) + len(held) == 2 * n
    wanted = 0 if n < 4 else max(1, n // 5)
    assert [sum(s.values == (v,) for s in held) for v in (0, 1)] == [wanted, wanted]


@given(st.lists(st.integers(0, 29), min_size=1, max_size=30, unique=True), st.integers(1, 29))
def test_a_stroke_keeps_its_side_while_more_are_painted(order, cut):
    places = grid_places(30)
    chosen = [places[i] for i in order] + [places[30 + i] for i in order]
    split = StrokeSplit()
    learnt, held = split.divide(support_of(chosen[:cut]))
    later_learnt, later_held = split.divide(support_of(chosen))
    assert keys(learnt) <= keys(later_learnt)
    assert keys(held) <= keys(later_held)


def test_a_complete_part_is_on_one_side_as_a_whole():
    places = [(2, z, 30, 30) for z in range(3)]
    learnt, held = StrokeSplit().divide(support_of(places, complete=True))
    assert len(learnt) == 3
    assert not held
    assert learnt[0].values == (0, 1)
    assert learnt[0].mask.all()
    assert learnt[0].box.shape == learnt[0].mask.shape == (60, 60)


def test_sides_do_not_depend_on_what_else_is_painted():
    few = support_of(grid_places(8))
    assert keys(StrokeSplit().divide(few)[1]) == keys(StrokeSplit().divide(few)[1])


@pytest.mark.parametrize("diagonal", [True, False])
def test_touching_corners_make_one_stroke(diagonal):
    labels = np.zeros((20, 20), np.uint8)
    labels[5, 5] = labels[6, 6 if diagonal else 8] = 1
    labels[15, 15] = 2
    support = SupportSet(CLASSES)
    support.add(Volume(np.zeros((20, 20), np.uint8), "YX"), labels)
    learnt, _ = StrokeSplit().divide(support)
    assert len(learnt) == (2 if diagonal else 3)


def test_a_stroke_holds_no_more_than_its_own_pixels():
    labels = np.zeros((60, 80), np.uint8)
    labels[10:13, 20:50] = 1
    labels[11, 30] = 2  # inside the box of the other
    labels[40:44, 5:9] = 1
    support = SupportSet(CLASSES)
    support.add(Volume(np.zeros((60, 80), np.uint8), "YX"), labels)
    (example,) = support.examples
    learnt, _ = StrokeSplit().divide(support)
    assert sorted(s.mask.shape for s in learnt) == [(1, 1), (3, 30), (4, 4)]
    again = np.zeros_like(example.labels)
    for stroke in learnt:
        again[stroke.box.slices][stroke.mask] = stroke.values[0] + 1
    np.testing.assert_array_equal(again, example.labels)


def test_halves_are_judged_by_what_the_other_half_taught():
    values = [(0,), (0,), (0,), (1,), (1,), (2,)]
    strokes = [Stroke(0, v, PIXEL, np.ones((1, 1), bool), key) for key, v in enumerate(values)]
    (one, for_one), (two, for_two) = folds(strokes)
    assert sorted(s.key for s in one + two) == list(range(6))
    assert [len(one), len(two)] == [4, 2]
    only = strokes[5]  # its class has no other: it has to be learnt from for both
    assert only in for_one
    assert only in for_two
    assert not (set(one) - {only}) & set(for_one)
    assert not set(two) & set(for_two)
    for fitted in (for_one, for_two):
        assert {v for s in fitted for v in s.values} == {0, 1, 2}


def test_a_single_stroke_is_one_half():
    stroke = Stroke(0, (0, 1), PIXEL, np.ones((1, 1), bool), 7)
    assert folds([stroke]) == [([stroke], [stroke]), ([], [stroke])]
