"""Solidity of objects, in true 2-D, and of those that a person has finished."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_regcon.data.solidity import finished_solidity, mean_solidity, solidities
from napari_regcon.data.support import SupportSet
from napari_regcon.types import Volume


@given(st.integers(4, 12), st.integers(4, 12))
def test_a_rectangle_is_solid(height, width):
    mask = np.zeros((20, 20), bool)
    mask[2 : 2 + height, 3 : 3 + width] = True
    assert solidities(mask) == [pytest.approx(1)]


def test_an_angle_is_not():
    mask = np.zeros((30, 30), bool)
    mask[5:25, 5:9] = mask[21:25, 5:25] = True
    (found,) = solidities(mask)
    # Both legs, over a triangle with them as its edges and half their width beyond it.
    assert found == pytest.approx(144 / (20 * 20 - 16 * 16 / 2), abs=0.02)


def test_small_objects_and_cut_ones_do_not_count():
    mask = np.zeros((30, 30), bool)
    mask[0:6, 10:16] = True  # at the border
    mask[10:12, 10:15] = True  # ten pixels
    assert solidities(mask) == []
    mask[20:22, 10:16] = True  # twelve
    assert len(solidities(mask)) == 1


def plane(n):
    labels = np.zeros((120, 120), np.uint8)
    for i in range(n):
        y, x = 5 + 20 * (i // 6), 3 + 19 * (i % 6)
        labels[y : y + 8, x : x + 8] = 2
    return labels


def support(*planes, complete=True):
    labels = np.stack(planes)
    found = SupportSet(("background", "cell"))
    found.add(Volume(np.zeros(labels.shape, np.uint8), "ZYX"), labels, complete=complete)
    return found


def test_finished_objects_of_all_planes_count_once_there_are_twenty():
    assert finished_solidity(support(plane(19))) == {}
    assert finished_solidity(support(plane(10), plane(10))) == {1: pytest.approx(1)}
    assert finished_solidity(support(plane(30), complete=False)) == {}


def test_of_a_prediction_any_number_counts():
    assert mean_solidity([plane(1).astype(int) // 2], [1]) == {1: pytest.approx(1)}
    assert mean_solidity([np.zeros((20, 20), int)], [1]) == {}
