"""Thickness means the diameter of discs and something like the width of bands."""

import numpy as np
import pytest

from napari_regcon.data.object_size import GOOD_PX, good_downscale, thickness


def _disc(radius, side=120):
    y, x = np.mgrid[:side, :side] - side / 2
    return y**2 + x**2 < radius**2


@pytest.mark.parametrize("radius", [5, 12, 40])
def test_a_disc_is_as_thick_as_its_diameter(radius):
    assert thickness([_disc(radius)]) == pytest.approx(2 * radius, rel=0.12)


@pytest.mark.parametrize("width", [4, 10])
def test_a_band_is_one_and_a_half_times_as_thick_as_wide(width):
    band = np.zeros((100, 200), bool)
    band[40 : 40 + width] = True
    assert thickness([band]) == pytest.approx(1.5 * width, rel=0.05)


def test_empty_masks_do_not_count_and_full_ones_have_no_end():
    full, empty = np.ones((9, 9), bool), np.zeros((9, 9), bool)
    assert thickness([empty]) == 0
    assert thickness([full, empty]) == float("inf")
    assert thickness([_disc(12), full, empty]) == thickness([_disc(12)])


@pytest.mark.parametrize(
    ("size", "longest", "expected"),
    [
        (GOOD_PX, 1000, 1),
        (3.0, 1000, 1),  # nothing is enlarged
        (4 * GOOD_PX, 1000, 4),
        (100 * GOOD_PX, 100_000, 16),
        (8 * GOOD_PX, 200, 3),  # no smaller than 64 px
        (0.0, 1000, 1),
        (float("inf"), 1000, 1),
    ],
)
def test_objects_are_brought_to_a_good_size(size, longest, expected):
    assert good_downscale(size, longest, 64) == expected
