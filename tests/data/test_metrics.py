import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_regcon.data.metrics import Confusion
from napari_regcon.errors import InputError

CLASSES = ("background", "membrane", "mitochondrion")
labels = hnp.arrays(np.uint8, (4, 6), elements=st.integers(0, 3))


def test_dice_and_iou_of_a_known_case():
    confusion = Confusion(("a", "b"))
    confusion.add(np.array([1, 1, 1, 2]), np.array([1, 1, 2, 2]))
    assert np.allclose(confusion.dice(), [4 / 5, 2 / 3])
    assert np.allclose(confusion.iou(), [2 / 3, 1 / 2])


@given(truth=labels, predicted=labels)
def test_they_agree_with_the_definitions(truth, predicted):
    confusion = Confusion(CLASSES)
    confusion.add(truth, predicted)
    said = truth > 0
    for i, (dice, iou) in enumerate(zip(confusion.dice(), confusion.iou(), strict=True)):
        a, b = said & (truth == i + 1), said & (predicted == i + 1)
        if not (a | b).any():
            assert np.isnan(dice)
            assert np.isnan(iou)
        else:
            assert dice == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))
            assert iou == pytest.approx((a & b).sum() / (a | b).sum())


@given(truth=labels, predicted=labels)
def test_counts_accumulate_over_slices(truth, predicted):
    whole, parts = Confusion(CLASSES), Confusion(CLASSES)
    whole.add(truth, predicted)
    for row_truth, row_predicted in zip(truth, predicted, strict=True):
        parts.add(row_truth, row_predicted)
    assert np.array_equal(whole.counts, parts.counts)


def test_pixels_without_truth_do_not_count_and_unpredicted_ones_do():
    confusion = Confusion(("a", "b"))
    confusion.add(np.array([0, 0, 1, 1]), np.array([1, 2, 1, 0]))
    assert confusion.counts.tolist() == [[1, 1, 0], [0, 0, 0]]
    assert confusion.dice()[0] == pytest.approx(2 / 3)


def test_large_volumes_do_not_overflow():
    confusion = Confusion(("a", "b"))
    confusion.counts[0, 1] = 2**33
    confusion.add(np.array([1], np.uint8), np.array([1], np.uint8))
    assert confusion.dice()[0] == 1


def test_shapes_and_labels_that_do_not_fit_are_refused():
    confusion = Confusion(("a", "b"))
    with pytest.raises(InputError, match="same shape"):
        confusion.add(np.ones((2, 2), int), np.ones((2, 3), int))
    with pytest.raises(InputError, match="prediction holds"):
        confusion.add(np.ones(2, int), np.array([1, 3]))
    with pytest.raises(InputError, match="truth holds"):
        confusion.add(np.array([-1, 1]), np.array([1, 1]))
    assert not confusion.counts.any()
