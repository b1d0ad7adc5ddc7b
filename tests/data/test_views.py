"""Views: planes and stacks with a mirrored surrounding."""

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_regcon.data.normalize import Normalization
from napari_regcon.data.views import ImageView
from napari_regcon.types import Box, Volume

PLAIN = Normalization((0.0,), (255.0,))


def image(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@st.composite
def reads(draw):
    """A shape, a box inside, and a halo that may be much wider than the image."""
    shape = tuple(draw(st.lists(st.integers(1, 12), min_size=2, max_size=3)))
    starts = tuple(draw(st.integers(0, n - 1)) for n in shape)
    stops = tuple(draw(st.integers(a + 1, n)) for a, n in zip(starts, shape, strict=True))
    halo = tuple(draw(st.integers(0, 40)) for _ in shape)
    return shape, Box(starts, stops), halo


@given(reads())
def test_reading_is_cutting_from_a_mirrored_image(case):
    shape, box, halo = case
    raw = image(shape)
    view = ImageView(Volume(raw, "ZYX"[-len(shape) :]), PLAIN, (), len(shape))
    padded = raw
    for axis, (n, h) in enumerate(zip(shape, halo, strict=True)):
        width = [(h, h) if i == axis else (0, 0) for i in range(len(shape))]
        # An axis of one pixel has nothing to mirror.
        padded = np.pad(padded, width, mode="reflect" if n > 1 else "edge")
    wanted = box.shift(halo).grow(halo)
    expected = PLAIN(padded[wanted.slices])[None]
    result = view.read(box, halo)
    assert result.dtype == np.float32
    assert result.flags.c_contiguous
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(view.hold(box).read(box, halo), expected)


@given(reads(), st.data())
def test_holding_a_part_changes_nothing(case, data):
    shape, box, halo = case
    view = ImageView(Volume(image(shape), "ZYX"[-len(shape) :]), PLAIN, (), len(shape))
    margin = tuple(data.draw(st.integers(0, 20)) for _ in shape)
    held = view.hold(box.grow(margin))
    np.testing.assert_array_equal(held.read(box, halo), view.read(box, halo))


def test_holding_reads_the_source_once():
    reads = []

    class Counted:
        shape, dtype, ndim = (4, 20, 30), np.dtype(np.uint8), 3

        def __getitem__(self, key):
            reads.append(key)
            return image(self.shape)[key]

    view = ImageView(Volume(Counted(), "ZYX"), PLAIN, (2,), 2)
    held = view.hold(Box((0, 0), (20, 30)).grow((5, 5)))
    for tile in (Box((0, 0), (8, 8)), Box((10, 12), (20, 30))):
        np.testing.assert_array_equal(held.read(tile, (3, 3)), view.read(tile, (3, 3)))
    assert len(reads) == 3  # once for holding, twice without


@pytest.mark.parametrize("lazy", [False, True])
def test_planes_and_stacks_of_time_and_channels(lazy):
    raw = image((2, 3, 8, 9, 4))
    data = da.from_array(raw, chunks=(1, 2, 5, 5, 2)) if lazy else raw
    volume = Volume(data, "TZYXC")
    norm = Normalization((0.0, 1.0, 2.0, 3.0), (255.0, 200.0, 100.0, 50.0))
    plane = ImageView(volume, norm, (1, 2), 2)
    assert plane.shape == (8, 9)
    expected = np.moveaxis(norm(raw[1, 2], channels_last=True), -1, 0)
    np.testing.assert_array_equal(plane.read(plane.box), expected)
    stack = ImageView(volume, norm, (1,), 3)
    assert stack.shape == (3, 8, 9)
    np.testing.assert_array_equal(stack.read(stack.box)[:, 2], expected)
    mirrored = stack.read(stack.box, (1, 0, 0))
    np.testing.assert_array_equal(mirrored[:, 0], mirrored[:, 2])


def test_reading_asks_for_no_more_than_the_box_and_its_halo():
    asked = []
    raw = image((100, 100))

    class Watched:
        shape, dtype, ndim = (100, 100), np.dtype(np.uint8), 2

        def __getitem__(self, key):
            asked.append(key)
            return raw[key]

    ImageView(Volume(Watched(), "YX"), PLAIN, (), 2).read(Box((0, 40), (10, 50)), (4, 4))
    assert asked == [(slice(0, 14), slice(36, 54))]


def test_keys_tell_planes_images_and_normalisations_apart():
    volume = Volume(image((3, 5, 5)), "ZYX")
    view = ImageView(volume, PLAIN, (0,), 2)
    others = [
        ImageView(volume, PLAIN, (1,), 2),
        ImageView(volume, Normalization((0.0,), (1.0,)), (0,), 2),
        ImageView(Volume(image((3, 5, 5)), "ZYX"), PLAIN, (0,), 2),
    ]
    assert len({view.key, *(other.key for other in others)}) == 4
    assert view.hold(view.box).key == view.key


@given(st.integers(1, 4), st.integers(0, 3), st.integers(1, 3), st.booleans(), st.data())
def test_neighbours_are_the_planes_above_and_below_mirrored_at_the_ends(
    depth, z, neighbours, is_held, data
):
    z = min(z, depth - 1)
    raw = image((2, depth, 6, 7, 2))
    view = ImageView(Volume(raw, "TZYXC"), Normalization((0.0,) * 2, (255.0,) * 2), (1, z), 2)
    box, halo = Box((1, 2), (4, 6)), (3, 1)
    index = np.pad(np.arange(depth), 3, mode="reflect" if depth > 1 else "edge")
    around = index[z + 3 - neighbours : z + 4 + neighbours]
    planes = [
        ImageView(view.volume, view.normalization, (1, int(i)), 2).read(box, halo) for i in around
    ]
    seen = view.hold(box.grow(halo)) if is_held else view
    found = seen.read(box, halo, neighbours)
    np.testing.assert_array_equal(found, np.concatenate(planes))
    before = seen.fingerprint(box, halo, neighbours)
    assert before == view.fingerprint(box, halo, neighbours)
    raw[1, data.draw(st.sampled_from(around.tolist())), 2, 3] ^= 1
    assert view.fingerprint(box, halo, neighbours) != before
