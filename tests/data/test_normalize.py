"""Intensity normalisation of any type of image."""

import time

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_regcon.data.normalize import Normalization, estimate_normalization
from napari_regcon.errors import InputError
from napari_regcon.types import Volume

REAL = [
    *(f"{kind}{size}" for kind in "ui" for size in (1, 2, 4, 8)),
    "f2",
    "f4",
    "f8",
    ">u2",
    ">f4",
]


def noise(shape, seed=0):
    """Return float64 noise around 0.5, mostly within 0 to 1."""
    return np.random.default_rng(seed).normal(0.5, 0.15, shape).clip(0, 1)


def volume(data, axes=None):
    return Volume(data, axes or "TZYX"[-data.ndim :])


@pytest.mark.parametrize("dtype", REAL)
def test_every_type_comes_out_alike(dtype):
    base = noise((4, 90, 80))
    reference = estimate_normalization(volume(base))(base)
    if np.dtype(dtype).kind == "f":
        raw = (base * 100).astype(dtype)
    else:
        info = np.iinfo(dtype)
        # Stay off the ends: there the types differ in what counts as saturated.
        low, high = info.min * 0.9, info.max * 0.9
        raw = (low + (high - low) * (0.02 + 0.96 * base)).astype(dtype)
    normalised = estimate_normalization(volume(raw))(raw)
    assert normalised.dtype == np.float32
    assert normalised.dtype.isnative
    np.testing.assert_allclose(normalised, reference, atol=0.02)


def test_masks_become_zero_and_one():
    raw = noise((50, 50)) > 0.6
    np.testing.assert_array_equal(estimate_normalization(volume(raw))(raw), raw)


def test_small_differences_on_a_large_offset_are_kept():
    raw = (2**31 + 1000 * noise((60, 60))).astype(np.uint32)
    normalised = estimate_normalization(volume(raw))(raw)
    assert len(np.unique(normalised)) > 500


@given(
    hnp.arrays(
        st.sampled_from([np.float16, np.float32, np.float64, np.int64, np.uint8, np.bool_]),
        hnp.array_shapes(min_dims=2, max_dims=4, max_side=6),
    )
)
def test_whatever_is_in_the_image_the_result_is_bounded(raw):
    normalised = estimate_normalization(volume(raw))(raw)
    assert normalised.dtype == np.float32
    assert normalised.shape == raw.shape
    assert np.isfinite(normalised).all()
    assert normalised.min() >= -0.5
    assert normalised.max() <= 1.5


@given(hnp.arrays(np.float32, (5, 7), elements=st.floats(-1e3, 1e3, width=32)), st.booleans())
def test_order_of_intensities_is_kept(raw, wide):
    norm = Normalization((-2000.0,), (2000.0,)) if wide else estimate_normalization(volume(raw))
    flat = raw.ravel()
    order = np.argsort(flat)
    assert (np.diff(norm(raw).ravel()[order]) >= 0).all()


def test_nan_and_infinity_become_zero_and_do_not_shift_the_range():
    raw = noise((100, 100)).astype(np.float32)
    clean = estimate_normalization(volume(raw))
    raw[:2] = np.nan
    raw[2, :50] = np.inf
    raw[2, 50:] = -np.inf
    norm = estimate_normalization(volume(raw))
    np.testing.assert_allclose(norm.low + norm.high, clean.low + clean.high, atol=0.02)
    assert (norm(raw)[:3] == 0).all()
    assert (norm(raw)[3:] != 0).any()


@pytest.mark.parametrize("value", [0, 7, 255])
def test_constant_images_become_zero(value):
    raw = np.full((3, 300, 300), value, np.uint8)
    assert (estimate_normalization(volume(raw))(raw) == 0).all()


def test_an_image_of_nothing_but_nan_becomes_zero():
    raw = np.full((30, 30), np.nan)
    assert (estimate_normalization(volume(raw))(raw) == 0).all()


@pytest.mark.parametrize(("fill", "share"), [(0, 0.3), (0, 0.9), (255, 0.6), (0, 0.02)])
def test_borders_of_one_value_do_not_shift_the_range(fill, share):
    raw = (60 + 120 * noise((6, 400, 400))).astype(np.uint8)
    clean = estimate_normalization(volume(raw))
    padded = raw.copy()
    padded[:, : round(400 * share)] = fill
    norm = estimate_normalization(volume(padded))
    assert norm.low == pytest.approx(clean.low, abs=5)
    assert norm.high == pytest.approx(clean.high, abs=5)


def test_both_ends_saturated():
    raw = (60 + 120 * noise((500, 500))).astype(np.uint8)
    clean = estimate_normalization(volume(raw))
    raw[:100], raw[100:150] = 0, 255
    norm = estimate_normalization(volume(raw))
    assert norm.low == pytest.approx(clean.low, abs=5)
    assert norm.high == pytest.approx(clean.high, abs=5)


def test_a_few_objects_on_an_empty_image_are_seen():
    raw = np.zeros((50, 200, 200), np.uint16)
    raw[20:24, 50:70, 50:70] = 1000
    normalised = estimate_normalization(volume(raw))(raw)
    assert normalised[22, 60, 60] - normalised[0, 0, 0] >= 0.5


def test_a_small_image_in_a_wide_empty_frame_is_found():
    raw = np.zeros((4, 3000, 3000), np.uint8)
    raw[:, 1000:1300, 2000:2300] = 60 + 120 * noise((4, 300, 300))
    norm = estimate_normalization(volume(raw))
    assert 60 <= norm.low[0] < norm.high[0] <= 180


def test_channels_have_their_own_range():
    raw = np.stack([noise((90, 90)) * 10, noise((90, 90), 1) * 1000 + 50, np.ones((90, 90))], -1)
    norm = estimate_normalization(volume(raw, "YXC"))
    assert len(norm.low) == 3
    normalised = norm(raw, channels_last=True)
    for channel in (0, 1):
        assert np.percentile(normalised[..., channel], [1, 99]) == pytest.approx([0, 1], abs=0.1)
    assert (normalised[..., 2] == 0).all()


def test_another_number_of_channels_is_refused():
    with pytest.raises(InputError, match=r"3 channel\(s\).* for 1"):
        Normalization((0.0,), (1.0,))(np.zeros((4, 4, 3)), channels_last=True)
    with pytest.raises(InputError, match=r"1 channel\(s\).* for 2"):
        Normalization((0.0, 0.0), (1.0, 1.0))(np.zeros((4, 4)))


@pytest.mark.parametrize(("low", "high"), [((), ()), ((0.0,), (1.0, 2.0))])
def test_ranges_that_do_not_fit_are_refused(low, high):
    with pytest.raises(ValueError, match="per channel"):
        Normalization(low, high)


def test_same_seed_same_result_and_usable_as_a_key():
    raw = noise((20, 600, 600)).astype(np.float32)
    first, again = (estimate_normalization(volume(raw)) for _ in range(2))
    assert first == again
    assert hash(first) == hash(again)
    assert estimate_normalization(volume(raw), seed=1) != first


def test_the_sample_agrees_with_the_whole_volume():
    raw = (noise((30, 700, 900)) * 200 + np.linspace(0, 50, 30)[:, None, None]).astype(np.uint8)
    norm = estimate_normalization(volume(raw))
    low, high = np.percentile(raw, (0.5, 99.5))
    assert norm.low[0] == pytest.approx(low, abs=5)
    assert norm.high[0] == pytest.approx(high, abs=5)


def test_a_huge_lazy_volume_costs_a_bounded_number_of_pixels():
    read = []

    def block(block_info):
        place = block_info[None]
        read.append(int(np.prod(place["chunk-shape"])))
        return np.random.default_rng(place["chunk-location"]).integers(
            0, 200, place["chunk-shape"], dtype=np.uint8
        )

    side = (512,) * 39 + (32,)
    data = da.map_blocks(
        block, chunks=((1,) * 16, side, side), dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8)
    )
    norm = estimate_normalization(Volume(data, "ZYX"))
    assert 0 <= norm.low[0] < 10
    assert sum(read) <= 32 * 4 * 512 * 512


def test_a_memory_map_of_a_hundred_million_voxels_is_quick(tmp_path):
    path = tmp_path / "large.npy"
    raw = np.lib.format.open_memmap(path, "w+", np.uint8, (100, 1000, 1000))
    raw[::10] = np.random.default_rng(0).integers(0, 250, (10, 1000, 1000), dtype=np.uint8)
    raw.flush()
    mapped = np.load(path, mmap_mode="r")
    times = []
    for _ in range(3):
        begin = time.process_time()  # what other programs do does not count
        estimate_normalization(volume(mapped))
        times.append(time.process_time() - begin)
    assert min(times) < 0.3
