"""Feature tiles of several sources side by side: the same features, each computed once."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_regcon.data.normalize import Normalization
from napari_regcon.data.views import ImageView
from napari_regcon.engine.feature_source import FeatureSource
from napari_regcon.engine.feature_store import FeatureStore
from napari_regcon.engine.features import ConcatExtractor, FilterBankExtractor
from napari_regcon.engine.joined_source import JoinedSource
from napari_regcon.types import Box, Volume

CPU = torch.device("cpu")
BANKS = [FilterBankExtractor([0.7, 1.5]), FilterBankExtractor([3.0])]
VOLUME = Volume(np.random.default_rng(0).integers(0, 255, (60, 70), dtype=np.uint8), "YX")
VIEW = ImageView(VOLUME, Normalization((0.0,), (255.0,)), (), 2)


def sources_in(*stores, margin=3):
    return [
        FeatureSource(bank, store, CPU, margin) for bank, store in zip(BANKS, stores, strict=False)
    ]


@settings(max_examples=20, deadline=None)
@given(
    start=st.tuples(st.integers(0, 50), st.integers(0, 60)),
    step=st.integers(1, 5),
    shared=st.booleans(),
)
def test_joined_sources_give_what_a_joined_extractor_gives(start, step, shared):
    first = FeatureStore(dtype=torch.float32)
    second = first if shared else FeatureStore(dtype=torch.float32)
    joined = JoinedSource(sources_in(first, second))
    whole = FeatureSource(ConcatExtractor(BANKS), FeatureStore(dtype=torch.float32), CPU, 3)
    tile = Box(start, (start[0] + 10, start[1] + 10))
    assert joined.around(VIEW, tile) == whole.around(VIEW, tile)
    every = (slice(1, None, step), slice(0, None, step))
    assert joined.sample(VIEW, tile, every) is None
    torch.testing.assert_close(joined.tile(VIEW, tile), whole.tile(VIEW, tile))
    found = joined.sample(VIEW, tile, every)
    torch.testing.assert_close(found, whole.sample(VIEW, tile, every))


def test_what_another_has_computed_is_not_computed_again(monkeypatch):
    store, own = FeatureStore(), FeatureStore()
    tile = Box((0, 0), (30, 30))
    alone, _ = sources_in(store, store)
    alone.tile(VIEW, tile)
    asked = []
    compute = FilterBankExtractor.compute_in_steps
    monkeypatch.setattr(
        FilterBankExtractor,
        "compute_in_steps",
        lambda self, *rest: asked.append(self) or compute(self, *rest),
    )
    joined = JoinedSource(sources_in(store, own))
    assert joined.sample(VIEW, tile, (slice(None), slice(None))) is None  # one is there, one not
    before = store.usage_bytes
    joined.tile(VIEW, tile)
    assert asked == BANKS[1:]
    assert store.usage_bytes == before
    assert own.usage_bytes > 0


def test_all_stores_give_way_when_memory_is_short_until_none_can():
    shared, own = FeatureStore(), FeatureStore()
    capacity = shared.capacity_bytes
    joined = JoinedSource(sources_in(shared, own))
    joined.tile(VIEW, Box((0, 0), (9, 9)))
    assert joined.reduce_memory()
    assert shared.usage_bytes == own.usage_bytes == 0
    assert shared.capacity_bytes == own.capacity_bytes == capacity // 2
    while sources_in(shared)[0].reduce_memory():
        pass
    assert joined.reduce_memory()  # the other one can still
    n_times = 0
    while joined.reduce_memory():
        n_times += 1
        assert n_times < 100
    both = FeatureStore()
    assert JoinedSource(sources_in(both, both)).reduce_memory()
    assert both.capacity_bytes == capacity // 2


def test_what_is_out_of_sight_of_one_drives_out_nothing_on_screen_of_the_other():
    grid = [Box((y, x), (y + 10, x + 10)) for y in range(0, 60, 10) for x in range(0, 70, 10)]
    measure = FeatureStore()
    sources_in(measure)[0].tile(VIEW, grid[8])
    store = FeatureStore(capacity_bytes=measure.usage_bytes * len(grid) // 3)
    sources = sources_in(store, store.beside)
    joined, seen = JoinedSource(sources), grid[:8]
    for tile in seen:
        joined.tile(VIEW, tile)
    for _ in range(2):
        for tile in grid[8:]:
            joined.used("out of sight").tile(VIEW, tile)
    bank = sources[0]
    assert all(store.has(VIEW, bank.around(VIEW, t), bank.extractor, CPU) for t in seen)


def test_what_is_kept_beside_is_counted_bounded_and_forgotten_with_the_rest():
    store = FeatureStore(capacity_bytes=8000)
    JoinedSource(sources_in(store, store.beside)).tile(VIEW, Box((0, 0), (4, 4)))
    assert store.beside.capacity_bytes == 1000
    assert store.usage_bytes >= store.beside.usage_bytes > 0
    store.forget(VOLUME.data)
    assert store.usage_bytes == 0
    store.capacity_bytes = 1 << 20
    JoinedSource(sources_in(store, store.beside)).tile(VIEW, Box((0, 0), (4, 4)))
    assert store.usage_bytes > store.beside.usage_bytes > 0
    store.clear()
    assert store.usage_bytes == 0


def test_what_tiles_are_asked_for_is_handed_to_all(monkeypatch):
    seen = []
    get = FeatureStore.get_in_steps
    monkeypatch.setattr(
        FeatureStore,
        "get_in_steps",
        lambda *rest, use: seen.append(use) or get(*rest, use=use),
    )
    store = FeatureStore()
    JoinedSource(sources_in(store, store)).used("in passing").tile(VIEW, Box((0, 0), (9, 9)))
    assert seen == ["in passing"] * 2
