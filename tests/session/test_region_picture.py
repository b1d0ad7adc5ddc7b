"""Regions as a picture."""

import numpy as np

from napari_regcon.session.region_picture import (
    border_mask,
    distinct_colors,
    draw,
    majority,
    means,
)

LABELS = np.array([[1, 1, 2], [1, 1, 2], [3, 3, 3]])


def test_borders_are_one_pixel_wide():
    expected = [[False, True, False], [True, True, True], [False, False, False]]
    np.testing.assert_array_equal(border_mask(LABELS), expected)


def test_neighbouring_numbers_differ_in_colour():
    colors = distinct_colors(200).astype(int)
    assert len(np.unique(colors, axis=0)) == 200
    assert np.abs(np.diff(colors, axis=0)).sum(axis=1).min() > 60


def test_the_commonest_value_wins_and_unsaid_pixels_have_no_vote():
    values = np.array([[0, 7, 0], [0, 0, 0], [5, 5, 9]], np.uint8)
    np.testing.assert_array_equal(majority(LABELS, 3, values), [7, 0, 5])


def test_means_are_those_of_the_pixels():
    values = np.array([[1, 2, 6], [3, 2, 8], [0, 0, 3]], np.uint8)
    np.testing.assert_allclose(means(LABELS, 3, values), [2, 7, 1])


def test_only_what_is_wanted_is_drawn():
    colors = np.array([[10, 0, 0, 255], [20, 0, 0, 99], [30, 0, 0, 50]], np.uint8)
    filled = draw(LABELS, colors, None)
    np.testing.assert_array_equal(filled[..., 0], 10 * LABELS)
    borders = border_mask(LABELS)
    lines = draw(LABELS, colors, borders)
    np.testing.assert_array_equal(lines[borders], filled[borders])
    assert not lines[~borders].any()
