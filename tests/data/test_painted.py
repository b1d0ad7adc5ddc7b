import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_regcon.data.painted import MOST_CLASSES, labels_for, painted_values, renumbered
from napari_regcon.errors import InputError
from napari_regcon.types import Volume

IMAGE = Volume(np.zeros((4, 6, 7), np.uint8), "ZYX", name="brain")


@given(
    labels=hnp.arrays(
        st.sampled_from([np.uint8, np.int16, np.uint32, np.int64]),
        hnp.array_shapes(min_dims=2, max_dims=3, max_side=6),
        elements=st.integers(0, 40),
    ).filter(np.any),
    start=st.integers(1, 2),
)
def test_values_are_counted_and_renumbered_without_gaps(labels, start):
    counts = painted_values(da.from_array(labels), "strokes")
    values = list(counts)
    assert values == sorted(set(labels.ravel().tolist()) - {0})
    assert sum(counts.values()) == np.count_nonzero(labels)
    new = renumbered(da.from_array(labels, chunks=2), values, start).compute()
    back = np.array([0] * start + values)
    np.testing.assert_array_equal(back[new], labels)
    assert set(new.ravel().tolist()) - {0} == set(range(start, start + len(values)))


@pytest.mark.parametrize(
    ("shape", "axes", "order"),
    [
        ((4, 6, 7), "ZYX", (0, 1, 2)),
        ((4, 6, 7), "TYX", (0, 1, 2)),
        ((1, 4, 6, 7), "TZYX", (1, 2, 3)),
        ((6, 7, 4), "YXC", (2, 0, 1)),
    ],
)
def test_labels_take_the_shape_of_their_image(shape, axes, order):
    data = np.random.default_rng(0).integers(0, 3, shape, dtype=np.uint8)
    lazy = labels_for(Volume(data, axes), IMAGE)
    assert isinstance(lazy, da.Array)
    expected = data.squeeze().transpose([i - (data.ndim - 3) for i in order])
    np.testing.assert_array_equal(lazy.compute(), expected)


def test_channels_of_the_image_have_no_labels_of_their_own():
    colour = Volume(np.zeros((6, 7, 3), np.uint8), "YXC")
    assert labels_for(Volume(np.ones((6, 7), np.bool_), "YX"), colour).dtype == np.uint8


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((4, 6, 7), np.float32), "of type float32"),
        (np.zeros((4, 7, 6), np.uint8), r"shape \(4, 7, 6\) \(ZYX\), but .* has \(4, 6, 7\)"),
        (np.zeros((3, 6, 7), np.uint8), "one label per pixel"),
    ],
)
def test_labels_that_do_not_fit_are_refused(data, message):
    with pytest.raises(InputError, match=message):
        labels_for(Volume(data, "ZYX"), IMAGE)


def test_numbered_objects_are_not_taken_for_classes():
    classes = np.arange(MOST_CLASSES + 1, dtype=np.uint16).reshape(1, -1)
    assert len(painted_values(da.from_array(classes), "strokes")) == MOST_CLASSES
    with pytest.raises(InputError, match="number single objects"):
        painted_values(da.from_array(np.append(classes, classes + 1)[None]), "cells")
    with pytest.raises(InputError, match="negative"):
        painted_values(da.from_array(np.array([[0, -1]])), "strokes")
    with pytest.raises(InputError, match="Nothing is painted"):
        painted_values(da.from_array(np.zeros((3, 4), np.uint8)), "strokes")
