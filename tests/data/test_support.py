"""Support sets: examples hold exactly what was painted."""

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_regcon.data.normalize import Normalization
from napari_regcon.data.support import SupportSet
from napari_regcon.errors import InputError
from napari_regcon.types import Box, Volume

CLASSES = ("background", "membrane", "mitochondrion")
NORM = Normalization((0.0,), (1.0,))


def volume(shape, axes=None):
    return Volume(np.zeros(shape, np.uint8), axes or "TZYX"[-len(shape) :], name="cells")


def assembled(support, shape):
    """Return the labels that the examples hold, and how many examples cover each pixel."""
    labels, times = np.zeros(shape, np.int64), np.zeros(shape, int)
    for example in support.examples:
        assert example.labels.dtype == np.uint16
        assert example.box.size == example.labels.size
        assert all(n == 1 for n in example.box.shape[:-2])
        said = example.labels.reshape(example.box.shape)
        assert said.all() or not example.complete
        labels[example.box.slices] = np.where(said, said, labels[example.box.slices])
        times[example.box.slices] += said > 0
    return labels, times


@st.composite
def painted(draw):
    """Sparse labels of two to four axes, and some boxes that are marked complete."""
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=6))
    dtype = draw(st.sampled_from([np.uint8, np.int64, np.uint16, ">i4"]))
    labels = draw(hnp.arrays(dtype, shape, elements=st.integers(0, 3), fill=st.just(0)))
    boxes = []
    for _ in range(draw(st.integers(0, 2))):
        corners = [sorted(draw(st.tuples(*[st.integers(0, n)] * 2))) for n in shape]
        boxes.append(Box(tuple(a for a, _ in corners), tuple(b for _, b in corners)))
    return labels, boxes


@given(painted(), st.booleans())
def test_examples_put_together_are_the_labels(case, lazy):
    labels, boxes = case
    expected = labels.copy()
    for box in boxes:
        expected[box.slices] = np.where(labels[box.slices], labels[box.slices], 1)
    support = SupportSet(CLASSES)
    array = da.from_array(labels, chunks=2) if lazy else labels
    if not expected.any():
        with pytest.raises(InputError, match="Nothing is painted"):
            support.add(volume(labels.shape), array, complete=boxes, normalization=NORM)
        return
    support.add(volume(labels.shape), array, complete=boxes, normalization=NORM)
    found, times = assembled(support, labels.shape)
    np.testing.assert_array_equal(found, expected)
    if len(boxes) < 2 or not boxes[0].intersect(boxes[1]).size:
        assert times.max() == 1
        counts = np.bincount(expected.ravel().astype(int), minlength=4)[1:]
        np.testing.assert_array_equal(support.painted_counts(), counts)


@given(painted())
def test_complete_makes_background_of_the_rest_of_painted_planes_only(case):
    labels, _ = case
    support = SupportSet(CLASSES)
    if not labels.any():
        return
    support.add(volume(labels.shape), labels, complete=True, normalization=NORM)
    seen = labels.any(axis=(-2, -1), keepdims=True)
    expected = np.where(seen & (labels == 0), 1, labels)
    np.testing.assert_array_equal(assembled(support, labels.shape)[0], expected)
    assert all(example.complete for example in support.examples)


def test_a_stroke_costs_its_surroundings_only():
    labels = np.zeros((3, 500, 600), np.uint8)
    labels[1, 100:103, 200:240] = 2
    support = SupportSet(CLASSES)
    support.add(volume(labels.shape), labels)
    (example,) = support.examples
    assert example.box == Box((1, 100, 200), (2, 103, 240))
    assert not example.complete
    assert example.view(2).prefix == (1,)
    assert example.view(3).prefix == ()


def test_the_finished_share_counts_what_is_marked_and_planes_painted_to_the_last_pixel():
    labels = np.zeros((4, 10, 10), np.uint8)
    labels[0, 2, 1:9] = 2  # fills the box around it, but is a stroke
    labels[1, :5, :4] = 3
    support = SupportSet(CLASSES)
    support.add(volume(labels.shape), labels)
    assert support.finished_share() == 0
    labels[2] = 1
    boxes = [Box((1, 0, 0), (2, 5, 6))]  # 20 pixels of it painted, and 10 background then
    support = SupportSet(CLASSES)
    support.add(volume(labels.shape), labels, complete=boxes)
    assert support.finished_share() == 130 / 138
    assert SupportSet(CLASSES).finished_share() == 0


def test_labels_are_read_plane_by_plane():
    asked = []

    class Watched:
        shape, dtype, ndim = (4, 5, 30, 30), np.dtype(np.uint8), 4

        def __getitem__(self, key):
            asked.append(key)
            return np.full((30, 30), key == (2, 3), np.uint8)

    support = SupportSet(CLASSES)
    support.add(volume((4, 5, 30, 30)), Watched(), normalization=NORM)
    assert asked == [(t, z) for t in range(4) for z in range(5)]
    assert [e.box.start[:2] for e in support.examples] == [(2, 3)]


def test_labels_in_deep_chunks_are_decoded_once_and_then_where_they_are_painted():
    stored = np.zeros((40, 30, 30), np.uint8)
    stored[7, 3:5, 3:9] = 1
    stored[33, 20:25, 3] = 2
    read = []

    class Watched:
        shape, dtype, ndim = stored.shape, stored.dtype, stored.ndim

        def __getitem__(self, key):
            part = stored[key]
            read.append(part.size)
            return part

    meta = np.empty((0, 0, 0), np.uint8)
    labels = da.from_array(Watched(), chunks=(20, 30, 30), meta=meta, name=False)
    support = SupportSet(CLASSES)
    finished = Box((11, 0, 0), (12, 5, 5))
    support.add(volume(stored.shape), labels, complete=[finished], normalization=NORM)
    assert [e.box.start[0] for e in support.examples] == [7, 11, 33]
    assert sum(read) == stored.size + 3 * 900


def test_images_with_channels_have_labels_without():
    support = SupportSet(CLASSES)
    support.add(volume((6, 7, 3), "YXC"), np.eye(6, 7, dtype=np.uint8))
    assert support.examples[0].box == Box((0, 0), (6, 6))
    assert len(support.examples[0].normalization.low) == 3


def test_true_and_false_are_labels():
    support = SupportSet(CLASSES)
    support.add(volume((4, 4)), np.eye(4, dtype=bool), complete=True)
    assert support.painted_counts().tolist() == [16, 0, 0]


def test_patches_of_a_plane_with_an_offset():
    support = SupportSet(CLASSES)
    patch = np.array([[0, 2], [3, 0]])
    boxes = [Box((0, 0), (2, 2)), Box((90, 90), (200, 200))]
    examples = support.plane_examples(
        volume((5, 100, 100)), NORM, (4,), patch, origin=(50, 60), complete=boxes
    )
    assert support.examples == []
    assert [(e.box.start, e.box.stop, e.complete) for e in examples] == [
        ((4, 0, 0), (5, 2, 2), True),
        ((4, 90, 90), (5, 100, 100), True),
        ((4, 50, 60), (5, 52, 62), False),
    ]
    np.testing.assert_array_equal(examples[2].labels, patch)
    assert (examples[0].labels == 1).all()


def test_nothing_on_a_plane_makes_no_example():
    support = SupportSet(CLASSES)
    empty = np.zeros((0, 0), np.uint8)
    assert support.plane_examples(volume((5, 9, 9)), NORM, (0,), empty) == []
    assert support.plane_examples(volume((5, 9, 9)), NORM, (0,), np.zeros((3, 3), int)) == []


@pytest.mark.parametrize(
    ("prefix", "origin"), [((5,), (0, 0)), ((0,), (8, 0)), ((0,), (0, -1)), ((), (0, 0))]
)
def test_a_patch_beside_the_image_is_refused(prefix, origin):
    with pytest.raises(InputError, match="do not lie on 'cells'"):
        SupportSet(CLASSES).plane_examples(
            volume((5, 9, 9)), NORM, prefix, np.ones((2, 2), int), origin=origin
        )


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.ones((4, 5), int), r"have shape \(4, 5\), but 'cells' needs \(5, 5\)"),
        (np.ones((5, 5)), "of type float64"),
        (np.full((5, 5), 4), r"hold the value\(s\) \[4\]"),
        (-np.eye(5, dtype=int), r"hold the value\(s\) \[-1\]"),
        (np.zeros((5, 5), int), "Nothing is painted on 'cells'"),
    ],
)
def test_labels_that_cannot_be_used_are_refused_and_nothing_is_added(labels, message):
    support = SupportSet(CLASSES)
    with pytest.raises(InputError, match=message):
        support.add(volume((5, 5)), labels)
    assert support.examples == []


def test_a_later_bad_plane_adds_nothing_of_the_earlier_ones():
    labels = np.zeros((2, 4, 4), int)
    labels[0], labels[1] = 1, 9
    support = SupportSet(CLASSES)
    with pytest.raises(InputError, match=r"slice \[1\]"):
        support.add(volume((2, 4, 4)), labels)
    assert support.examples == []


def test_a_complete_part_needs_a_background_class_for_its_rest():
    support = SupportSet(("membrane", "mitochondrion"))
    with pytest.raises(InputError, match="no class called 'background'"):
        support.add(volume((4, 4)), np.eye(4, dtype=int), complete=True)
    support.add(volume((4, 4)), np.ones((4, 4), int), complete=True)
    assert support.examples[0].complete


def test_a_box_of_another_number_of_axes_is_refused():
    with pytest.raises(InputError, match=r"not 3 axes, as the labels of 'cells'"):
        SupportSet(CLASSES).add(
            volume((3, 4, 4)), np.ones((3, 4, 4), int), complete=[Box((0, 0), (2, 2))]
        )


def test_missing_classes_are_named():
    support = SupportSet(CLASSES)
    with pytest.raises(InputError, match="background, membrane, mitochondrion"):
        support.require_classes()
    support.add(volume((4, 4)), np.full((4, 4), 2))
    with pytest.raises(InputError, match=r"yet for: background, mitochondrion\."):
        support.require_classes()
    support.add(volume((4, 4)), np.full((4, 4), 3))
    support.require_classes()


@pytest.mark.parametrize("classes", [(), ("a",), ("a", "a"), ("a", "")])
def test_classes_that_cannot_be_used_are_refused(classes):
    with pytest.raises(InputError, match=r"classes|class names"):
        SupportSet(classes)


def test_the_background_has_a_value_where_there_is_one():
    assert SupportSet(("membrane", "background")).background == 2
    assert SupportSet(("membrane", "cytoplasm")).background is None
