from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_regcon.errors import InputError
from napari_regcon.session.marks import CompleteMarks
from napari_regcon.session.painted import EMPTY, PaintedPlanes, crop, patched
from napari_regcon.types import Box

SHAPE = (4, 20, 30)


@pytest.fixture
def marks():
    return CompleteMarks(SHAPE)


@pytest.fixture
def painted(marks):
    return PaintedPlanes(marks)


def plane(*pixels, value=1):
    out = np.zeros(SHAPE[1:], dtype=np.uint8)
    for y, x in pixels:
        out[y, x] = value
    return out


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3))
)
def test_a_crop_painted_on_nothing_gives_the_plane_back(image):
    patch = crop(image)
    again = np.zeros_like(image)
    patch.paint_on(again)
    assert np.array_equal(again, image)
    assert sum(patch.counts.values()) == np.count_nonzero(image)


def test_only_what_changed_is_sent(painted):
    assert painted.update((2,), plane((3, 4), (5, 9)))
    assert not painted.update((2,), plane((3, 4), (5, 9)))
    assert not painted.update((1,), plane())
    (message,) = painted.take_changes()
    assert message.prefix == (2,)
    assert message.origin == (3, 4)
    assert message.labels.array.shape == (3, 6)
    assert not painted.has_changes


def test_an_erased_plane_is_sent_empty(painted):
    painted.update((0,), plane((3, 4)))
    painted.take_changes()
    assert painted.update((0,), plane())
    (message,) = painted.take_changes()
    assert message.labels.array.size == 0
    assert painted.patch((0,)) is EMPTY
    assert list(painted.seen()) == [(0,)]


def test_counts_and_wide_integers(painted):
    wide = plane((1, 1), (2, 2), value=2).astype(np.int64)
    wide[4, 4] = 1
    painted.update((0,), wide)
    painted.update((3,), plane((1, 1), value=2))
    assert painted.counts() == {1: 1, 2: 3}


@pytest.mark.parametrize("value", [-1, 300])
def test_values_that_are_no_class_labels_are_refused(painted, value):
    wide = plane().astype(np.int32)
    wide[2, 2] = value
    with pytest.raises(InputError, match=str(value)):
        painted.update((0,), wide)


def test_a_new_engine_is_told_everything(painted, marks):
    painted.update((0,), plane((3, 4)))
    marks.add_slice((3,))
    painted.take_changes()
    painted.touch_all()
    messages = painted.take_changes()
    assert [m.prefix for m in messages] == [(0,), (3,)]
    assert messages[1].complete == (Box((0, 0), SHAPE[1:]),)


def test_clearing_says_so_to_the_engine(painted):
    painted.update((1,), plane((3, 4)))
    painted.take_changes()
    painted.clear()
    (message,) = painted.take_changes()
    assert message.prefix == (1,)
    assert message.labels.array.size == 0


def test_marks_are_boxes_of_a_plane(marks):
    marks.add_box((1,), Box((5, 5), (40, 12)))
    assert marks.on_plane((1,)) == (Box((5, 5), (20, 12)),)
    mark = marks.add_slice((1,))
    assert list(marks) == [mark]
    assert marks.slices() == {(1,)}
    with pytest.raises(InputError, match="complete already"):
        marks.add_box((1,), Box((0, 0), (2, 2)))
    with pytest.raises(InputError, match="outside"):
        marks.add_box((2,), Box((30, 0), (40, 2)))
    marks.remove(mark)
    assert len(marks) == 0


def test_marks_describe_themselves():
    marks = CompleteMarks(SHAPE)
    assert marks.add_slice((3,)).describe() == "slice 3"
    assert marks.add_box((2,), Box((4, 5), (14, 25))).describe() == (
        "slice 2: box 20 × 10 px at x 5, y 4"
    )
    flat = CompleteMarks((8, 8))
    assert flat.add_slice(()).describe() == "whole image"


SMALL = (9, 12)


@st.composite
def boxes(draw):
    """Draw a box inside the plane, that may be empty."""
    ends = [sorted(draw(st.tuples(*[st.integers(0, n)] * 2))) for n in SMALL]
    return Box(tuple(a for a, _ in ends), tuple(b for _, b in ends))


@st.composite
def planes(draw, dtype=np.uint8):
    """Draw a plane of which a few pixels are painted."""
    plane = np.zeros(SMALL, dtype)
    for y, x, value in draw(
        st.lists(st.tuples(st.integers(0, 8), st.integers(0, 11), st.integers(1, 3)), max_size=6)
    ):
        plane[y, x] = value
    return plane


@given(planes(), planes(np.int32), boxes())
def test_looking_at_what_may_have_changed_finds_the_same_as_looking_at_all(before, other, box):
    known = crop(before)
    after = before.astype(other.dtype)
    after[box.slices] = other[box.slices]
    found, expected = patched(known, after, box), crop(after)
    assert found.same(expected)
    assert found.counts == expected.counts
    assert (found is known) == expected.same(known)
    assert known.same(crop(before))  # is not written to
    again = PaintedPlanes(CompleteMarks((1, *SMALL)))
    again.update((0,), before)
    again.take_changes()
    assert again.update((0,), after, box) == (not expected.same(known))
    assert again.patch((0,)).same(expected)
    assert again.has_changes == (not expected.same(known))


def test_values_that_cannot_be_classes_are_refused_in_a_box_too():
    plane = np.zeros(SMALL, np.int32)
    known = crop(plane)
    plane[3, 4] = 300
    assert patched(known, plane, Box((-4, 20), (-1, 30))) is known  # beyond the plane
    assert patched(known, plane, Box((0, 0), (3, 12))) is known
    with pytest.raises(InputError, match="300"):
        patched(known, plane, Box((2, 2), (5, 8)))
