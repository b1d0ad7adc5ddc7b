"""Crops of fully labelled parts: where from, how many, and what is done to them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_regcon.data.dense import DenseParts
from napari_regcon.data.network_image import mirrored, network_image, shrunk_labels
from napari_regcon.data.normalize import Normalization
from napari_regcon.data.support import SupportSet
from napari_regcon.errors import InputError
from napari_regcon.types import Box, Volume


def support_of(*pairs, complete=True, classes=("background", "a", "b")):
    """Make a support set of images and labels."""
    support = SupportSet(classes)
    for image, labels in pairs:
        n_channels = image.shape[-1] if image.ndim > labels.ndim else 1
        axes = "ZYX"[-labels.ndim :] + ("C" if image.ndim > labels.ndim else "")
        normalization = Normalization((0.0,) * n_channels, (255.0,) * n_channels)
        volume = Volume(image, axes, name="mouse")
        support.add(volume, labels, complete=complete, normalization=normalization)
    return support


def labelled(shape=(300, 400), box=((30, 90), (40, 100)), value=2):
    """Return a noisy image, and labels with one painted box."""
    labels = np.zeros(shape, np.uint8)
    labels[..., slice(*box[0]), slice(*box[1])] = value
    image = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    return image, labels


def parts_of(*pairs, side_px=64, downscale=1, **options):
    return DenseParts(support_of(*pairs, **options), side_px=side_px, downscale=downscale)


# ---------------------------------------------------------------------------- what is used


def test_strokes_alone_are_refused_with_the_way_out():
    image, labels = labelled()
    labels[200:203, 100:140] = 1
    with pytest.raises(InputError, match="Only strokes") as caught:
        parts_of((image, labels), complete=False)
    assert "mark it as complete" in str(caught.value)
    assert "pixel head" in str(caught.value)


def test_a_class_painted_as_strokes_only_is_named():
    image, labels = labelled((2, 300, 400))
    labels[1] = 0
    labels[1, 5:9, 5:30] = 3
    with pytest.raises(InputError, match="No complete slice or box shows 'b'"):
        parts_of((image, labels), complete=[Box((0, 0, 0), (1, 300, 400))])


def test_strokes_beside_complete_parts_are_left_out_and_counted():
    image, labels = labelled((3, 300, 400))
    parts = parts_of((image, labels), complete=[Box((1, 0, 0), (2, 200, 200))])
    assert parts.values == (1, 2)
    # The rest of the complete slice has no label, so two slices of strokes are left.
    assert parts.n_left_out == 2
    rng = np.random.default_rng(0)
    assert {place.part for place in parts.draw(2, 9, rng)} == {0}


def test_a_plane_painted_to_the_last_pixel_needs_no_mark():
    image, labels = labelled((80, 80))
    labels[:] = np.where(labels == 2, 2, 1)
    assert parts_of((image, labels), complete=False).values == (1, 2)


def test_a_straight_stroke_is_not_taken_for_a_complete_box():
    image, labels = labelled((2, 300, 400))
    labels[1] = 0
    labels[1, 5:9, 5:30] = 2
    parts = parts_of((image, labels), complete=[Box((0, 0, 0), (1, 300, 400))])
    assert parts.n_left_out == 1


def test_one_class_is_not_enough():
    image, labels = labelled(value=1)
    with pytest.raises(InputError, match="Nothing is painted yet for: a, b"):
        parts_of((image, labels))


def test_images_of_different_kinds_cannot_be_mixed():
    image, labels = labelled()
    colour = np.stack([image] * 3, -1)
    with pytest.raises(InputError, match="different numbers of channels"):
        parts_of((image, labels), (colour, labels))


# ------------------------------------------------------------------------------------ places


@settings(max_examples=40, deadline=None)
@given(st.integers(10, 400), st.integers(10, 400), st.integers(1, 3), st.integers(1, 20))
def test_crops_lie_inside_and_are_different(rows, columns, downscale, n):
    image, labels = labelled((rows, columns), ((2, 9), (3, 8)))
    parts = parts_of((image, labels), downscale=downscale)
    places = parts.draw(2, n, np.random.default_rng(rows))
    assert 1 <= len(places) <= n
    assert len(set(places)) == len(places)
    for place in places:
        image_crop, label_crop = parts.read(place)
        assert image_crop.shape == label_crop.shape == (parts.side_px, parts.side_px)
        assert place.y + min(parts.crop_px, rows) <= rows
        assert place.x + min(parts.crop_px, columns) <= columns


def test_most_crops_show_a_rare_class_and_the_others_do_not():
    image, labels = labelled((1024, 1024), ((500, 512), (500, 512)))
    parts = parts_of((image, labels), side_px=128)
    crops = [parts.read(place)[1] for place in parts.draw(2, 16, np.random.default_rng(0))]
    assert sum((crop == 2).any() for crop in crops) == 12


def test_crops_come_from_all_slices():
    image, labels = labelled((6, 64, 64), ((10, 40), (10, 40)))
    parts = parts_of((image, labels))
    assert {p.part for p in parts.draw(2, 6, np.random.default_rng(0))} == set(range(6))


def test_the_seed_decides():
    image, labels = labelled((512, 512))
    parts = parts_of((image, labels))
    draws = [parts.draw(2, 8, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


# ------------------------------------------------------------------------------------- crops


def test_a_crop_is_the_image_there_with_its_labels():
    image, labels = labelled((200, 260), ((0, 200), (0, 130)))
    parts = parts_of((image, labels), downscale=2)
    for place in parts.draw(2, 5, np.random.default_rng(0)):
        inside = (slice(place.y, place.y + 128), slice(place.x, place.x + 128))
        means = image[inside].reshape(64, 2, 64, 2).mean((1, 3))
        expected = (means - means.min()) / (means.max() - means.min())
        found, said = parts.read(place)
        np.testing.assert_allclose(found, expected, atol=1e-6)
        middle = labels[inside].reshape(64, 2, 64, 2)[:, 0, :, 0]
        assert (said == np.where(middle == 2, 2, 1))[:, 1:-1].mean() > 0.98


@pytest.mark.parametrize(
    ("shape", "side_px", "downscale", "expected"),
    [
        ((300, 400), 128, 1, 128),
        ((300, 400), 128, 4, 104),  # 100 would do, but is no multiple of 8
        ((120, 120), 128, 1, 120),
        ((120, 120), 128, 2, 64),
        ((20, 30), 256, 1, 64),
    ],
)
def test_crops_are_not_much_larger_than_the_parts(shape, side_px, downscale, expected):
    image, labels = labelled(shape, ((2, 9), (3, 8)))
    assert parts_of((image, labels), side_px=side_px, downscale=downscale).side_px == expected


def test_small_parts_are_continued_as_in_a_mirror():
    image, labels = labelled((40, 64), ((0, 10), (0, 64)))
    parts = parts_of((image, labels))
    (place,) = parts.draw(2, 5, np.random.default_rng(0))
    found, said = parts.read(place)
    np.testing.assert_array_equal(found[11], found[13])  # row 12 is the first of the part
    np.testing.assert_array_equal(found[12:52], network_image(image[None] / np.float32(255), 8, 1))
    assert (said[3:22] == 2).all()
    assert (said[:3] == 1).all()
    assert (said[22:] == 1).all()


def test_mirroring_survives_a_single_pixel():
    np.testing.assert_array_equal(mirrored(np.full((1, 3), 7), 8), np.full((8, 8), 7))


# ------------------------------------------------------------------------- grey and shrunken


def test_colours_become_grey_by_their_brightness():
    colours = np.zeros((3, 8, 8), np.float32)
    colours[:, 0, :4] = [[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1]]
    np.testing.assert_allclose(
        network_image(colours, 8, 1)[0, :5], [0.299, 0.587, 0.114, 1, 0], atol=1e-6
    )
    two = np.stack([np.eye(8), np.zeros((8, 8))]).astype(np.float32)
    np.testing.assert_allclose(network_image(two, 8, 1), np.eye(8))


def test_a_constant_tile_is_black():
    assert not network_image(np.full((1, 16, 16), 0.7, np.float32), 16, 2).any()


def test_labels_shrink_by_majority():
    labels = np.array([[1, 1, 3, 3], [1, 2, 3, 1], [2, 2, 1, 1], [3, 1, 3, 3]], np.uint16)
    np.testing.assert_array_equal(shrunk_labels(labels, 2), [[1, 3], [2, 1]])
    assert shrunk_labels(labels, 2).dtype == np.uint16
    np.testing.assert_array_equal(shrunk_labels(labels, 1), labels)
