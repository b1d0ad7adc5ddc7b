"""Crops around strokes: the right pixels, with the right labels."""

import numpy as np
import pytest

from napari_regcon.data.stroke_crops import StrokeCrops
from napari_regcon.data.stroke_split import StrokeSplit
from napari_regcon.data.support import SupportSet
from napari_regcon.types import NOT_SAID, Volume


def painted(shape, axes, strokes, image=None):
    """Return a support set with rectangles painted: (value, index...)."""
    if image is None:
        image = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    label_shape = shape[:-1] if axes.endswith("C") else shape
    labels = np.zeros(label_shape, np.uint8)
    for value, *index in strokes:
        labels[tuple(index)] = value
    support = SupportSet(("background", "cell", "rare"))
    support.add(Volume(image, axes), labels)
    return support


def crops_of(support, crop_px=32, downscale=1):
    strokes, _ = StrokeSplit().divide(support)
    return StrokeCrops(support, strokes, crop_px, downscale)


@pytest.mark.parametrize(("shape", "axes"), [((90, 70), "YX"), ((3, 90, 70), "ZYX")])
def test_a_straight_crop_shows_the_image_and_the_labels_as_they_are(shape, axes):
    where = (1,) if axes == "ZYX" else ()
    support = painted(shape, axes, [(1, *where, 40, slice(30, 35)), (2, *where, slice(60, 63), 50)])
    view = support.examples[0].view(2)
    whole = view.read(view.box)
    for crop in crops_of(support).straight():
        said = crop.labels[crop.labels != NOT_SAID]
        value = said[0]
        assert (said == value).all()
        assert len(said) == (5, 3)[value]
        centre = ((40, 32), (61, 50))[value]
        # An even side has no middle pixel: the place is the one before the middle.
        y, x = centre[0] - 15, centre[1] - 15
        np.testing.assert_allclose(crop.image, whole[:, y : y + 32, x : x + 32], atol=1e-5)
        assert crop.image.dtype == np.float32


def test_every_crop_holds_some_of_the_class_it_was_drawn_for():
    strokes = [(1, slice(5, 85), slice(2, 66)), (2, 0, slice(0, 4)), (3, 89, slice(66, 70))]
    crops = crops_of(painted((90, 70), "YX", strokes), downscale=2)
    rng = np.random.default_rng(3)
    seen = np.zeros(3)
    for _ in range(60):
        crop = crops.draw(rng)
        assert crop.image.shape == (1, 32, 32)
        assert crop.labels.shape == (32, 32)
        assert np.isfinite(crop.image).all()
        found = np.unique(crop.labels[crop.labels != NOT_SAID])
        assert len(found)
        seen[found] += 1
    # Four pixels in a corner are drawn as often as five thousand in the middle.
    assert seen.min() >= 8


def test_strokes_kept_back_are_not_shown():
    support = painted((90, 70), "YX", [(1, 20, slice(10, 40)), (2, 24, slice(10, 40))])
    strokes, _ = StrokeSplit().divide(support)
    only = StrokeCrops(support, [s for s in strokes if s.values == (0,)], 64, 1)
    rng = np.random.default_rng(0)
    assert all(set(np.unique(only.draw(rng).labels)) <= {NOT_SAID, 0} for _ in range(20))


def test_image_and_labels_move_together():
    image = np.full((120, 120), 50, np.uint8)
    image[40:80, 50:90] = 200
    labels = (slice(41, 79), slice(51, 89))
    support = painted((120, 120), "YX", [(2, *labels), (1, slice(0, 30), slice(0, 120))], image)
    crops = crops_of(support, crop_px=64)
    rng = np.random.default_rng(1)
    for _ in range(30):
        crop = crops.draw(rng)
        inside = crop.labels == 1
        if inside.sum() > 50:
            assert crop.clean[0][inside].mean() > 0.9


def test_a_part_is_missing_from_as_many_crops_as_wanted():
    support = painted((90, 70), "YX", [(1, 20, slice(10, 40)), (2, 24, slice(10, 40))])
    strokes, _ = StrokeSplit().divide(support)

    def n_blotted(share):
        crops = StrokeCrops(support, strokes, 32, 1, missing=share)
        rng = np.random.default_rng(4)
        found = [crops.draw(rng).clean for _ in range(20)]
        # Many pixels are exactly alike, which noise never is.
        return sum(np.unique(clean, return_counts=True)[1].max() > 20 for clean in found)

    assert n_blotted(0.0) == 0
    assert n_blotted(1.0) == 20


def test_colours_are_kept():
    image = np.zeros((60, 60, 3), np.uint8)
    image[..., 0] = np.arange(60)
    image[..., 2] = 7
    support = painted((60, 60, 3), "YXC", [(1, 10, slice(0, 9)), (2, 50, slice(0, 9))], image)
    crop = crops_of(support).draw(np.random.default_rng(0))
    assert crop.image.shape == (3, 32, 32)


def test_the_same_seed_draws_the_same_crops():
    support = painted((90, 70), "YX", [(1, 20, slice(10, 40)), (2, 24, slice(10, 40))])
    one, two = (crops_of(support).draw(np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one.image, two.image)
    np.testing.assert_array_equal(one.labels, two.labels)
