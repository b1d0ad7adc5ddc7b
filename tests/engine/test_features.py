"""What the feature store keeps, drops and computes."""

import gc
import math

import dask.array as da
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_regcon.data.normalize import Normalization
from napari_regcon.data.support import SupportSet
from napari_regcon.data.views import ImageView
from napari_regcon.engine import feature_memory, feature_source
from napari_regcon.engine.feature_store import FeatureStore
from napari_regcon.engine.features import (
    ConcatExtractor,
    FeatureExtractor,
    FilterBankExtractor,
)
from napari_regcon.engine.segmenter import run
from napari_regcon.types import Box, Volume

CPU = torch.device("cpu")


class LocalMean(FeatureExtractor):
    """Counts how often it is asked; its one feature is a box average."""

    name = "local mean"

    def __init__(self, radius=1, ndim=2):
        self.radius = radius
        self.spatial_ndim = ndim
        self.halo_px = (radius,) * ndim
        self.computed = []

    @property
    def fingerprint(self):
        return f"local mean {self.radius}"

    def n_features(self, n_channels):
        return n_channels

    def compute_in_steps(self, image, origin, out):
        yield
        self.computed.append(tuple(origin))
        out.copy_(torch.nn.functional.avg_pool2d(image, 2 * self.radius + 1, stride=1))


def view_of(data, axes="ZYX", prefix=(0,), ndim=2):
    volume = Volume(data, axes)
    n = volume.n_channels
    return ImageView(volume, Normalization((0.0,) * n, (255.0,) * n), prefix, ndim)


@pytest.fixture
def stack():
    return np.random.default_rng(0).integers(0, 255, (2, 64, 48), dtype=np.uint8)


TILE = Box((0, 0), (32, 32))


def test_a_tile_is_computed_once(stack):
    store, mean, view = FeatureStore(), LocalMean(), view_of(stack)
    first = store.get(view, TILE, mean, CPU)
    again = store.get(view_of(stack), TILE, mean, CPU)
    assert again is first
    assert len(mean.computed) == 1
    assert store.has(view, TILE, mean, CPU)


def test_other_planes_tiles_and_parameters_are_told_apart(stack):
    store, view = FeatureStore(), view_of(stack)
    store.get(view, TILE, LocalMean(), CPU)
    other_plane = view_of(stack, prefix=(1,))
    assert not store.has(other_plane, TILE, LocalMean(), CPU)
    assert not store.has(view, Box((32, 0), (64, 32)), LocalMean(), CPU)
    assert not store.has(view, TILE, LocalMean(radius=2), CPU)
    assert not store.has(view_of(stack.copy()), TILE, LocalMean(), CPU)


def test_the_tiles_not_asked_for_longest_go_first(stack):
    mean, view = LocalMean(), view_of(stack)
    tiles = [Box((0, x), (16, x + 16)) for x in (0, 16, 32)]
    store = FeatureStore(2 * 16 * 16 * 4, dtype=torch.float32)
    store.get(view, tiles[0], mean, CPU)
    store.get(view, tiles[1], mean, CPU)
    store.get(view, tiles[0], mean, CPU)
    store.get(view, tiles[2], mean, CPU)
    assert [store.has(view, t, mean, CPU) for t in tiles] == [True, False, True]
    assert store.usage_bytes == 2 * 16 * 16 * 4


def test_some_pixels_of_a_tile_are_picked_once_and_counted(stack):
    store, mean, view = FeatureStore(dtype=torch.float32), LocalMean(), view_of(stack)
    some, others = (slice(1, None, 3), slice(0, None, 3)), (slice(0, None, 4), slice(2, None, 4))
    assert store.sample(view, TILE, mean, CPU, some) is None
    tile = store.get(view, TILE, mean, CPU)
    for where in (some, others):
        picked = store.sample(view, TILE, mean, CPU, where)
        assert torch.equal(picked, tile[:, *where])
        assert store.sample(view, TILE, mean, CPU, where) is picked
        assert store.usage_bytes == tile.nbytes + picked.nbytes
    assert store.sample(view_of(stack.copy()), TILE, mean, CPU, some) is None
    store.clear()
    assert store.usage_bytes == 0


def test_picked_pixels_drive_out_no_tile_and_make_room_for_one(stack):
    mean, view, every = LocalMean(), view_of(stack), (slice(None), slice(None))
    tiles = [Box((0, x), (16, x + 16)) for x in (0, 16, 32)]
    tile_bytes = 16 * 16 * 4
    store = FeatureStore(3 * tile_bytes, dtype=torch.float32)
    for tile in tiles[:2]:
        store.get(view, tile, mean, CPU)
    for tile in tiles[:2]:  # there is room for one of them
        expected = store.get(view, tile, mean, CPU)
        torch.testing.assert_close(store.sample(view, tile, mean, CPU, every), expected)
        assert store.usage_bytes == 3 * tile_bytes
    store.get(view, tiles[2], mean, CPU)
    assert store.usage_bytes == 3 * tile_bytes
    assert store.sample(view, tiles[2], mean, CPU, every) is not None
    assert all(store.has(view, tile, mean, CPU) for tile in tiles)


def test_of_a_volume_that_does_not_fit_hardly_anything_stays(stack, monkeypatch):
    tile_bytes = TILE.size * 2
    monkeypatch.setattr(feature_memory, "PASSING_BYTES", 2 * tile_bytes)
    mean, view = LocalMean(), view_of(stack)
    tiles = [Box((y, x), (y + 32, x + 16)) for y in (0, 32) for x in (0, 16, 32)]
    tiles.append(Box((0, 0), (32, 32)))
    store = FeatureStore(5 * tile_bytes)
    store.get(view, tiles[-1], mean, CPU)
    for tile in tiles:
        run(store.get_in_steps(view, tile, mean, CPU, use="in passing"))
    # Four small ones that came last, and what a preview had asked for.
    assert [store.has(view, t, mean, CPU) for t in tiles] == [False, False, *[True] * 5]
    # One that a preview asks for is kept like any other.
    store.get(view, tiles[2], mean, CPU)
    for tile in tiles[:2]:
        run(store.get_in_steps(view, tile, mean, CPU, use="in passing"))
    assert [store.has(view, t, mean, CPU) for t in tiles] == [True, True, True, False, *[True] * 3]


def test_what_is_out_of_sight_drives_out_nothing_of_its_plane(stack):
    mean, view, other = LocalMean(), view_of(stack), view_of(stack, prefix=(1,))
    tiles = [Box((0, x), (16, x + 16)) for x in (0, 16, 32)]
    store = FeatureStore(3 * 16 * 16 * 4, dtype=torch.float32)
    for tile in tiles[:2]:
        store.get(other, tile, mean, CPU)
    store.get(view, tiles[0], mean, CPU)
    for tile in tiles:  # the first is on screen; there is room for all once the others go
        run(store.get_in_steps(view, tile, mean, CPU, use="out of sight"))
    assert [store.has(view, tile, mean, CPU) for tile in tiles] == [True, True, True]
    assert not any(store.has(other, tile, mean, CPU) for tile in tiles[:2])
    more = Box((16, 0), (32, 16))
    run(store.get_in_steps(view, more, mean, CPU, use="out of sight"))
    assert not store.has(view, more, mean, CPU)
    # Once it is on screen, it stays, and what was out of sight goes first.
    store.get(view, tiles[0], mean, CPU)
    store.get(view, more, mean, CPU)
    assert [store.has(view, tile, mean, CPU) for tile in (*tiles, more)] == [
        True,
        False,
        True,
        True,
    ]


def test_what_was_computed_otherwise_makes_room_for_what_is_out_of_sight(stack):
    view, before, now = view_of(stack), LocalMean(), LocalMean(radius=2)
    tiles = [Box((0, x), (16, x + 16)) for x in (0, 16, 32)]
    store = FeatureStore(3 * 16 * 16 * 4, dtype=torch.float32)
    for tile in tiles:
        store.get(view, tile, before, CPU)
    for tile in tiles:
        run(store.get_in_steps(view, tile, now, CPU, use="out of sight"))
    assert all(store.has(view, tile, now, CPU) for tile in tiles)


def test_of_a_volume_that_fits_everything_stays(stack, monkeypatch):
    monkeypatch.setattr(feature_memory, "PASSING_BYTES", 0)
    store, mean = FeatureStore(stack.size * 2), LocalMean()
    for z in (0, 1):
        run(store.get_in_steps(view_of(stack, prefix=(z,)), TILE, mean, CPU, use="in passing"))
    assert store.usage_bytes == 2 * TILE.size * 2


def test_a_tile_larger_than_the_store_is_computed_but_not_kept(stack):
    store, mean, view = FeatureStore(100), LocalMean(), view_of(stack)
    assert store.get(view, TILE, mean, CPU).shape == (1, 32, 32)
    assert store.usage_bytes == 0
    assert not store.has(view, TILE, mean, CPU)


def test_forgetting_an_image_keeps_the_others(stack):
    store, mean = FeatureStore(), LocalMean()
    other = stack.copy()
    for data in (stack, other):
        store.get(view_of(data), TILE, mean, CPU)
    store.forget(stack)
    assert not store.has(view_of(stack), TILE, mean, CPU)
    assert store.has(view_of(other), TILE, mean, CPU)
    store.clear()
    assert store.usage_bytes == 0


def test_the_store_does_not_keep_an_image_alive_nor_mistake_a_new_one_for_it():
    mean, store = LocalMean(), FeatureStore()
    store.get(view_of(da.zeros((1, 64, 64))), TILE, mean, CPU)
    gc.collect()
    assert store.usage_bytes > 0
    store.forget(None)
    assert store.usage_bytes == 0


@pytest.mark.parametrize("steps", [1, 2])
def test_reduced_memory_gives_the_same_features_in_smaller_parts(stack, steps):
    big = np.random.default_rng(1).integers(0, 255, (1, 200, 150), dtype=np.uint8)
    bank = FilterBankExtractor([0.7, 2.0, 6.0])
    tile = Box((64, 37), (192, 150))
    whole = FeatureStore(dtype=torch.float32).get(view_of(big), tile, bank, CPU)
    store = FeatureStore(dtype=torch.float32)
    for _ in range(steps):
        assert store.reduce_memory(tile.size)
    parts = store.get(view_of(big), tile, bank, CPU)
    torch.testing.assert_close(parts, whole, atol=1e-5, rtol=0)


def test_memory_cannot_be_reduced_for_ever(stack):
    store, mean = FeatureStore(), LocalMean()
    for _ in range(20):
        if not store.reduce_memory(TILE.size):
            break
    else:
        pytest.fail("never said that it cannot go on")
    store.get(view_of(stack), TILE, mean, CPU)
    assert store.capacity_bytes < 2**31


@settings(max_examples=20, deadline=None)
@given(a=st.integers(0, 2), b=st.integers(0, 4), colour=st.booleans())
def test_joined_extractors_see_what_they_see_alone(a, b, colour):
    shape, axes = ((40, 30, 3), "YXC") if colour else ((40, 30), "YX")
    data = np.random.default_rng(2).integers(0, 255, shape, dtype=np.uint8)
    view = view_of(data, axes, ())
    parts = [LocalMean(a), LocalMean(b), FilterBankExtractor([1.0])]
    joined = ConcatExtractor(parts)
    tile = Box((3, 4), (20, 30))
    store = FeatureStore(dtype=torch.float32)
    found = store.get(view, tile, joined, CPU)
    assert len(found) == joined.n_features(3 if colour else 1)
    alone = [store.get(view, tile, part, CPU) for part in parts]
    torch.testing.assert_close(found, torch.cat(alone))
    assert "local mean" in joined.name
    assert joined.fingerprint != ConcatExtractor(parts[::-1]).fingerprint


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_a_tile_can_be_left_between_its_scales_and_comes_out_the_same(stack, threads, monkeypatch):
    view = view_of(np.random.default_rng(3).integers(0, 255, (2, 64, 64), dtype=np.uint8))
    joined = ConcatExtractor([FilterBankExtractor([0.7, 1.5, 3.0]), LocalMean()])
    store, other = FeatureStore(), FeatureStore()
    whole = store.get(view, TILE, joined, CPU)
    store.clear()
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    work = store.get_in_steps(view, TILE, joined, CPU)
    for _ in range(math.ceil(3 / threads) + 1):  # three scales, and the other extractor
        next(work)
        other.get(view_of(stack), TILE, LocalMean(), CPU)
    assert not store.has(view, TILE, joined, CPU)
    with pytest.raises(StopIteration) as stop:
        next(work)
    assert torch.equal(stop.value.value, whole)
    assert store.has(view, TILE, joined, CPU)


def test_a_tile_that_is_given_up_leaves_nothing_half(stack):
    bank, store, view = FilterBankExtractor([0.7, 1.5]), FeatureStore(), view_of(stack)
    work = store.get_in_steps(view, TILE, bank, CPU)
    next(work)
    work.close()
    assert store.usage_bytes == 0
    assert torch.equal(store.get(view, TILE, bank, CPU), FeatureStore().get(view, TILE, bank, CPU))


def test_extractors_for_planes_and_stacks_cannot_be_joined():
    with pytest.raises(ValueError, match="planes or all for stacks"):
        ConcatExtractor([LocalMean(ndim=2), LocalMean(ndim=3)])


def test_an_extractor_that_looks_at_slices_beside_cannot_be_joined():
    beside = LocalMean()
    beside.neighbours = 1
    with pytest.raises(ValueError, match="slices beside"):
        ConcatExtractor([LocalMean(), beside])


def test_filter_banks_with_other_parameters_have_other_fingerprints():
    banks = [
        FilterBankExtractor([1.0]),
        FilterBankExtractor([2.0]),
        FilterBankExtractor([1.0], (1.0, 1.0, 1.0)),
        FilterBankExtractor([1.0], (2.0, 1.0, 1.0)),
    ]
    assert len({b.fingerprint for b in banks}) == len(banks)


# ------------------------------------------------------------------------------ painted pixels


@pytest.fixture
def source(monkeypatch):
    monkeypatch.setitem(feature_source.TILE_SHAPES, 2, (16, 16))
    store = FeatureStore(16 * 16 * 4, dtype=torch.float32)  # one tile fits
    return feature_source.FeatureSource(LocalMean(), store, CPU)


def gathered(source, stack, labels):
    """Return the features of painted pixels, on a plane of them, as a new stroke has them found."""
    support = SupportSet(("one", "two"))
    support.add(Volume(stack, "ZYX"), labels)
    (example,) = support.examples
    values, said = run(source.painted(example, 0))
    where, again = feature_source._painted_pixels(example, 2, 0)
    np.testing.assert_array_equal(said, again)
    found = np.full(stack.shape[1:], np.nan, np.float32)
    found[tuple(where.T)] = values[:, 0]
    return found


def test_a_new_stroke_looks_up_its_own_tile_alone(source, stack):
    labels = np.zeros(stack.shape, np.uint8)
    labels[0, 2, 2:9], labels[0, 60, 40:46] = 1, 2
    first = gathered(source, stack, labels)
    assert len(source.extractor.computed) == 2
    labels[0, 6, 3:12] = 2
    second = gathered(source, stack, labels)
    assert source.extractor.computed[2:] == [(0, 0)]
    fresh = feature_source.FeatureSource(LocalMean(), FeatureStore(dtype=torch.float32), CPU)
    np.testing.assert_array_equal(second, gathered(fresh, stack, labels))
    np.testing.assert_array_equal(second[60], first[60])
    labels[0, 6] = 0  # fewer of them: nothing has to be looked up
    np.testing.assert_array_equal(gathered(source, stack, labels), first)
    assert len(source.extractor.computed) == 3
    source.store.forget(stack)
    gathered(source, stack, labels)
    assert len(source.extractor.computed) == 5


@given(st.integers(5, 40), st.integers(0, 3))
def test_pixels_that_are_chosen_stay_so_while_more_are_painted(n, seed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feature_source, "MAX_PIXELS_PER_CLASS", 100)
        chosen = []
        for rows in (20, 40):
            labels = np.zeros((1, 64, 48), np.uint8)
            labels[0, :rows, :n] = 1
            labels[0, 60, 40] = 2
            support = SupportSet(("one", "two"))
            support.add(Volume(np.zeros((1, 64, 48), np.uint8), "ZYX"), labels)
            where, said = feature_source._painted_pixels(support.examples[0], 2, seed)
            chosen.append({tuple(row) for row, value in zip(where, said, strict=True) if not value})
    before, after = chosen
    assert {row for row in after if row[0] < 20} <= before
    if 40 * n > 200:
        assert len(after) == pytest.approx(100, abs=60)
