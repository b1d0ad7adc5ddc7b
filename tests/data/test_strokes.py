import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from napari_regcon.data.strokes import corrective_stroke, draw_stroke, first_strokes
from napari_regcon.errors import InputError


def rng(seed=0):
    return np.random.default_rng(seed)


def disc(shape, centre, radius):
    y, x = np.indices(shape)
    return np.hypot(y - centre[0], x - centre[1]) <= radius


def extent(stroke):
    return np.ptp(np.argwhere(stroke), axis=0).max() + 1


@settings(max_examples=60, deadline=None)
@given(
    mask=hnp.arrays(bool, st.tuples(st.integers(1, 30), st.integers(1, 30))),
    seed=st.integers(0, 99),
    length=st.floats(1, 60),
    width=st.floats(0.5, 9),
)
def test_a_stroke_is_never_outside_and_never_empty(mask, seed, length, width):
    stroke = draw_stroke(mask, rng(seed), length_px=length, width_px=width)
    if not mask.any():
        assert stroke is None
    else:
        assert stroke.any()
        assert not (stroke & ~mask).any()
        assert ndimage.label(stroke, np.ones((3, 3)))[1] == 1


def test_strokes_of_different_seeds_differ_and_of_the_same_do_not():
    mask = disc((100, 100), (50, 50), 45)
    first, again, other = (draw_stroke(mask, rng(s)) for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_stroke_in_a_large_object_is_about_as_long_and_wide_as_asked():
    mask = np.ones((200, 200), dtype=bool)
    areas = [
        draw_stroke(mask, rng(s), length_px=40, width_px=3, like_at=(100, 100)).sum()
        for s in range(10)
    ]
    assert 90 < np.mean(areas) < 150
    wide = draw_stroke(mask, rng(0), length_px=40, width_px=9, like_at=(100, 100))
    assert wide.sum() > 2 * np.mean(areas)


def test_strokes_keep_off_the_edge_where_there_is_room():
    mask = disc((120, 120), (60, 60), 50)
    inner = ndimage.distance_transform_edt(mask) >= 1.5
    strokes = [draw_stroke(mask, rng(s)) for s in range(20)]
    assert all(not (s & ~inner).any() for s in strokes)


def test_a_stroke_is_shorter_in_a_small_object():
    stroke = draw_stroke(disc((40, 40), (20, 20), 5), rng(), length_px=60)
    assert extent(stroke) <= 11
    assert stroke.sum() < 70


def test_a_stroke_follows_a_thin_curved_object():
    y, x = np.indices((120, 120))
    ring = np.abs(np.hypot(y - 60, x - 60) - 45) <= 1.6
    lengths = [draw_stroke(ring, rng(s), length_px=40).sum() / 3 for s in range(10)]
    assert np.mean(lengths) > 20


def test_a_stroke_starts_near_the_place_and_in_the_object_that_is_pointed_at():
    mask = disc((60, 120), (30, 25), 15) | disc((60, 120), (30, 90), 15)
    stroke = draw_stroke(mask, rng(), like_at=(30, 88))
    assert np.argwhere(stroke)[:, 1].min() > 70


def test_first_strokes_are_right_and_of_every_class_there_is():
    truth = np.ones((90, 90), dtype=np.uint8)
    truth[disc((90, 90), (30, 30), 12)] = 3
    truth[disc((90, 90), (60, 60), 12)] = 3
    truth[:5] = 0
    painted = first_strokes(truth, ("a", "b", "c"), 2, rng())
    assert set(np.unique(painted)) == {0, 1, 3}
    said = painted > 0
    assert np.array_equal(painted[said], truth[said])


def test_first_strokes_spread_over_objects():
    truth = np.ones((100, 300), dtype=np.uint8)
    centres = [(50, 40), (50, 150), (50, 260)]
    for centre in centres:
        truth[disc(truth.shape, centre, 14)] = 2
    found = 0
    for seed in range(10):
        painted = first_strokes(truth, ("a", "b"), 3, rng(seed)) == 2
        found += sum((painted & disc(truth.shape, c, 14)).any() for c in centres)
    assert found > 23


def test_first_strokes_need_a_single_slice():
    with pytest.raises(InputError, match="one slice"):
        first_strokes(np.ones((2, 5, 5), dtype=int), ("a", "b"), 1, rng())


def test_a_correction_goes_into_the_thickest_error():
    truth = np.ones((3, 80, 80), dtype=np.uint8)
    truth[1][disc((80, 80), (40, 40), 12)] = 2
    predicted = truth.copy()
    predicted[1][disc((80, 80), (40, 40), 12)] = 1  # a missed object
    predicted[2, :, 10:12] = 2  # a long thin line that is wrong
    painted = corrective_stroke(truth, predicted, rng())
    assert painted.shape == truth.shape
    assert set(np.unique(painted)) == {0, 2}
    assert painted[1].any()
    assert not painted[[0, 2]].any()
    assert np.array_equal(truth[painted > 0], painted[painted > 0])


def test_a_correction_of_one_slice_has_the_shape_of_a_slice():
    truth = np.full((20, 20), 2, dtype=np.uint8)
    painted = corrective_stroke(truth, np.ones_like(truth), rng())
    assert painted.shape == (20, 20)
    assert painted.max() == 2


def test_nothing_is_corrected_where_all_is_right_or_nothing_known():
    truth = np.ones((20, 20), dtype=np.uint8)
    assert corrective_stroke(truth, truth, rng()) is None
    assert corrective_stroke(np.zeros_like(truth), truth, rng()) is None


def test_corrections_need_the_same_shape():
    with pytest.raises(InputError, match="same shape"):
        corrective_stroke(np.ones((4, 4), int), np.ones((4, 5), int), rng())
