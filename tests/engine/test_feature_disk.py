"""The disk level of the feature cache: the same features as computed, and never in the way."""

from __future__ import annotations

import errno
import threading

import dask.array as da
import numpy as np
import pytest
import torch

from napari_regcon.data.normalize import Normalization
from napari_regcon.data.views import ImageView
from napari_regcon.engine.feature_disk import FeatureDisk
from napari_regcon.engine.feature_folder import FeatureFolder
from napari_regcon.engine.feature_store import FeatureStore
from napari_regcon.engine.features import FeatureExtractor, FilterBankExtractor
from napari_regcon.engine.segmenter import run
from napari_regcon.types import Box, Volume

CPU = torch.device("cpu")
TILE = Box((0, 0), (32, 32))
OTHER_TILE = Box((32, 0), (64, 32))
TILE_BYTES = 32 * 32 * 2


class Counting(FeatureExtractor):
    """A local mean that counts how often it is computed."""

    name = "local mean"
    spatial_ndim = 2
    halo_px = (2, 2)

    def __init__(self, fingerprint="local mean"):
        self.n = 0
        self._fingerprint = fingerprint

    @property
    def fingerprint(self):
        return self._fingerprint

    def n_features(self, n_channels):
        return n_channels

    def compute_in_steps(self, image, origin, out):
        yield
        self.n += 1
        out.copy_(torch.nn.functional.avg_pool2d(image, 5, stride=1))


class SlowFolder(FeatureFolder):
    """Waits before every write until it may."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.may_write = threading.Event()
        self.written = []

    def write(self, name, values):
        assert self.may_write.wait(30)
        self.written.append(name)
        super().write(name, values)


@pytest.fixture
def stack():
    return np.random.default_rng(0).integers(0, 255, (8, 64, 48), dtype=np.uint8)


def view_of(data, plane=0, norm=(0.0, 255.0)):
    return ImageView(Volume(data, "ZYX"), Normalization((norm[0],), (norm[1],)), (plane,), 2)


@pytest.fixture
def open_store(tmp_path):
    """Return a function that makes a store on one folder, as an engine does when it starts."""
    disks = []

    def make(capacity_bytes=2**30, *, kind=FeatureFolder, limit_bytes=10**9, **options):
        folder = kind(tmp_path, limit_bytes, reserve_bytes=0)
        store = FeatureStore(capacity_bytes)
        store.disk = FeatureDisk(folder, **options)
        disks.append(store.disk)
        return store

    yield make
    for disk in disks:
        getattr(disk.folder, "may_write", threading.Event()).set()
        disk.close()


def settle(store):
    assert store.disk.settle(30)


def test_after_a_restart_features_are_read_and_not_computed(open_store, stack):
    bank = FilterBankExtractor([0.7, 2.0])
    first = open_store()
    computed = first.get(view_of(stack), TILE, bank, CPU)
    settle(first)
    again = open_store()
    settle(again)
    assert again.disk.usage_bytes >= computed.nbytes
    counting = Counting(bank.fingerprint)
    counting.n_features = bank.n_features
    counting.halo_px = bank.halo_px
    found = again.get(view_of(stack.copy()), TILE, counting, CPU)
    assert counting.n == 0
    assert found.dtype == torch.float16
    assert torch.equal(found, computed)


def test_files_and_arrays_of_the_same_pixels_share_their_features(open_store, stack, tmp_path):
    mean, store = Counting(), open_store()
    store.get(view_of(stack), TILE, mean, CPU)
    settle(store)
    np.save(tmp_path / "image.npy", stack)
    for same in (
        np.load(tmp_path / "image.npy", mmap_mode="r"),
        da.from_array(stack, chunks=(1, 20, 20)),
    ):
        open_store().get(view_of(same), TILE, mean, CPU)
    assert mean.n == 1


@pytest.mark.parametrize(
    "change", ["pixel", "pixel of the halo", "plane", "tile", "parameters", "normalisation"]
)
def test_whatever_features_depend_on_tells_them_apart(open_store, stack, change):
    mean, store = Counting(), open_store()
    store.get(view_of(stack), TILE, mean, CPU)
    settle(store)
    view, tile = view_of(stack.copy()), TILE
    match change:
        case "pixel":
            view.volume.data[0, 20, 20] += 1
        case "pixel of the halo":
            view.volume.data[0, 33, 20] += 1
        case "plane":
            view = view_of(stack, plane=1)
        case "tile":
            tile = OTHER_TILE
        case "parameters":
            mean = Counting("another")
        case "normalisation":
            view = view_of(stack, norm=(0.0, 254.0))
    n = mean.n
    got = open_store().get(view, tile, mean, CPU)
    assert mean.n == n + 1
    torch.testing.assert_close(got, FeatureStore().get(view, tile, mean, CPU))


def test_what_the_memory_gives_up_is_read_again(open_store, stack):
    mean = Counting()
    store = open_store(2 * TILE_BYTES)
    planes = [store.get(view_of(stack, z), TILE, mean, CPU).clone() for z in range(8)]
    settle(store)
    assert mean.n == 8
    assert store.usage_bytes == 2 * TILE_BYTES
    for z, plane in enumerate(planes):
        assert torch.equal(store.get(view_of(stack, z), TILE, mean, CPU), plane)
    assert mean.n == 8


def test_a_tile_that_waits_to_be_written_is_not_computed_again(open_store, stack):
    mean = Counting()
    store = open_store(TILE_BYTES, kind=SlowFolder)
    for z in (0, 1, 0, 1):
        store.get(view_of(stack, z), TILE, mean, CPU)
    assert mean.n == 2
    assert store.disk.is_busy


def test_tiles_that_wait_take_bounded_memory(open_store, stack):
    mean = Counting()
    store = open_store(TILE_BYTES, kind=SlowFolder, held_bytes=3 * TILE_BYTES)
    for z in range(8):
        store.get(view_of(stack, z), TILE, mean, CPU)
    store.disk.folder.may_write.set()
    settle(store)
    # Three that only wait, and the one that is in memory.
    assert len(store.disk.folder.written) == 4


def test_nothing_is_written_while_somebody_waits(open_store, stack):
    mean = Counting()
    store = open_store()
    settle(store)
    store.disk.pause(True)
    store.get(view_of(stack), TILE, mean, CPU)
    assert store.disk.is_busy
    assert store.disk.usage_bytes == 0
    store.disk.pause(False)
    settle(store)
    assert store.disk.usage_bytes > 0


def test_a_volume_too_large_for_the_disk_does_not_drive_out_what_is_there(open_store, stack):
    mean = Counting()
    store = open_store(limit_bytes=6 * TILE_BYTES)
    run(store.get_in_steps(view_of(stack), TILE, mean, CPU, use="in passing"))
    settle(store)
    assert store.disk.usage_bytes == 0
    store.get(view_of(stack, 1), TILE, mean, CPU)
    settle(store)
    assert store.disk.usage_bytes > 0


def test_a_full_disk_is_said_in_words_and_work_goes_on(open_store, stack, monkeypatch):
    mean = Counting()
    store = open_store()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store.disk.folder, "write", full)
    store.get(view_of(stack), TILE, mean, CPU)
    settle(store)
    assert "too full" in store.disk.problem
    assert "No space left on device" in store.disk.problem
    assert "Preferences" in store.disk.problem
    assert store.get(view_of(stack, 1), TILE, mean, CPU).shape == (1, 32, 32)
    assert not store.disk.is_busy
    # Once the user has made room and cleared, it is tried again.
    monkeypatch.undo()
    store.clear()
    store.disk.clear()
    assert store.disk.problem == ""
    store.get(view_of(stack), TILE, mean, CPU)
    settle(store)
    assert store.disk.usage_bytes > 0


def test_a_folder_that_cannot_be_written_to_is_said_in_words(stack, tmp_path):
    (tmp_path / "file").write_text("in the way")
    store = FeatureStore()
    store.disk = FeatureDisk(FeatureFolder(tmp_path / "file"))
    assert store.get(view_of(stack), TILE, Counting(), CPU).shape == (1, 32, 32)
    settle(store)
    assert "cannot be written to" in store.disk.problem
    store.disk.close()


def test_a_damaged_file_is_computed_anew(open_store, stack):
    mean, store = Counting(), open_store()
    right = store.get(view_of(stack), TILE, mean, CPU)
    settle(store)
    (file,) = store.disk.folder.path.iterdir()
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    store = open_store()
    assert torch.equal(store.get(view_of(stack), TILE, mean, CPU), right)
    assert mean.n == 2
    settle(store)
    open_store().get(view_of(stack), TILE, mean, CPU)
    assert mean.n == 2


def test_clearing_removes_also_what_waits(open_store, stack):
    mean = Counting()
    store = open_store(kind=SlowFolder)
    for z in range(4):
        store.get(view_of(stack, z), TILE, mean, CPU)
    threading.Timer(0.1, store.disk.folder.may_write.set).start()
    store.clear()
    store.disk.clear()
    settle(store)
    assert store.disk.usage_bytes == 0
    assert list(store.disk.folder.path.glob("*")) == []


def test_short_memory_gives_up_what_waits(open_store, stack):
    store = open_store(kind=SlowFolder)
    for z in range(4):
        store.get(view_of(stack, z), TILE, Counting(), CPU)
    assert store.reduce_memory(4 * TILE.size)
    assert store.disk.settle(15)  # what still waited would be written after 30 s at the earliest


def test_reading_stops_where_it_is_slower_than_computing(open_store, stack, monkeypatch):
    mean, store = Counting(), open_store(TILE_BYTES)
    asked, now = [], [0.0]
    monkeypatch.setattr("napari_regcon.engine.feature_store.time.perf_counter", lambda: now[0])
    read = store.disk.get

    def slow(name):
        asked.append(name)
        now[0] += 1.0
        return read(name)

    monkeypatch.setattr(store.disk, "get", slow)
    for _ in range(4):
        for z in range(8):
            store.get(view_of(stack, z), TILE, mean, CPU)
    # Eight are computed, eight are read to see how long it takes, then it is left.
    assert len(asked) == 16
    assert mean.n == 24
