"""Regions of images and volumes, in memory and in files."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import ndimage

import napari_regcon as rc
from napari_regcon.config import RegionsConfig
from napari_regcon.data import region_tree
from napari_regcon.engine.embedding import save_network
from napari_regcon.errors import InputError, WeightsError
from napari_regcon.nn.regcon import RegConNet
from napari_regcon.types import BlockDone, Finished, Progress, Volume


def stack(shape=(3, 48, 64), seed=0):
    """Blobs that drift slowly from slice to slice."""
    noise = np.random.default_rng(seed).random(shape)
    smooth = ndimage.gaussian_filter(noise, (*(2,) * (len(shape) - 2), 3, 3))
    return (255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A small network that nobody has trained."""
    torch.manual_seed(0)
    sizes = {"embedding": 4, "regions": 4, "width": 4, "levels": 2}
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_network(RegConNet(**sizes).eval(), path, {"licence": "BSD-3-Clause", **sizes})
    return str(path)


@pytest.mark.parametrize("shape", [(48, 64), (3, 48, 64), (2, 2, 30, 31)])
def test_an_array_is_cut_into_numbered_regions(shape):
    regions = rc.partition(stack(shape), granularity=0.7)
    assert regions.shape == shape
    assert regions.dtype == np.uint32
    assert regions.min() == 1
    for plane in regions.reshape(-1, *shape[-2:]):
        for number in np.unique(plane):
            assert ndimage.label(plane == number)[1] == 1


def test_a_finer_granularity_splits_every_slice_of_a_volume():
    image = stack()
    coarse, fine = rc.partition(image, 0.3), rc.partition(image, 0.8)
    for a, b in zip(coarse, fine, strict=True):
        pairs = np.unique(np.stack([a.ravel(), b.ravel()]), axis=1)
        assert len(pairs[0]) == len(np.unique(b)) > len(np.unique(a))


def test_numbers_go_on_from_slice_to_slice_but_not_from_time_to_time():
    image = np.stack([stack((2, 40, 40))[:1].repeat(2, axis=0)] * 2)
    regions = rc.partition(image, 0.8)
    np.testing.assert_array_equal(regions[0, 0], regions[0, 1])
    np.testing.assert_array_equal(regions[1, 0], regions[1, 1])
    assert not np.intersect1d(regions[0], regions[1]).size


def test_colours_count():
    colours = np.full((40, 60, 3), 90, np.uint8)
    colours[:, 30:, 0], colours[:, :30, 1] = 200, 200
    regions = rc.partition(Volume(colours, "YXC"), 1.0)
    left, right = regions[:, :27], regions[:, 33:]
    assert not np.intersect1d(left, right).size


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan, np.inf])
@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (2, 9, 8)])
def test_images_without_contrast_are_one_region(shape, value):
    assert (rc.partition(np.full(shape, value), 1.0) == 1).all()


def test_not_a_number_is_no_obstacle():
    image = stack((48, 64)).astype(np.float32)
    image[10:20, 10:20] = np.nan
    assert rc.partition(image, 0.8).min() == 1


def test_a_network_is_heard(weights):
    image = stack((48, 64))
    plain, heard = rc.partition(image, 0.9), rc.partition(image, 0.9, weights=weights, device="cpu")
    assert heard.min() == 1
    assert (plain != heard).any()
    again = rc.partition(image, 0.9, weights=weights, device="cpu")
    np.testing.assert_array_equal(heard, again)


def test_large_planes_are_done_in_parts(monkeypatch):
    image = stack((2, 70, 50))
    monkeypatch.setattr(region_tree, "LARGEST_PX", 40)
    events = list(rc.partition_volume(Volume(image, "ZYX"), np.zeros(image.shape, np.uint32)))
    boxes = [event.box for event in events if isinstance(event, BlockDone)]
    assert sorted(box.start for box in boxes) == [
        (z, y, x) for z in (0, 1) for y in (0, 35) for x in (0, 25)
    ]
    regions = rc.partition(image)
    tiles = [regions[:, y : y + 35, x : x + 25] for y in (0, 35) for x in (0, 25)]
    numbers = np.concatenate([np.unique(tile) for tile in tiles])
    assert len(numbers) == len(np.unique(numbers))
    assert regions.min() == 1


@pytest.mark.parametrize("name", ["r.zarr", "r.tif"])
def test_files_hold_the_same_with_scale_and_units(tmp_path, name):
    volume = Volume(stack(), "ZYX", (40.0, 8.0, 8.0), ("nanometer",) * 3, name="brain")
    *events, last = rc.partition_volume(volume, tmp_path / name, RegionsConfig(granularity=0.6))
    assert last.outputs == (tmp_path / name,)
    assert isinstance(last, Finished)
    progress = [event for event in events if isinstance(event, Progress)]
    assert progress[-1].done == progress[-1].total == 3
    back = rc.open_volume(tmp_path / name)
    np.testing.assert_array_equal(np.asarray(back.data), rc.partition(volume, 0.6))
    assert back.scale == pytest.approx(volume.scale)
    assert back.units == volume.units


def test_stopping_removes_the_file(tmp_path):
    events = rc.partition_volume(Volume(stack(), "ZYX"), tmp_path / "r.zarr")
    while not isinstance(next(events), BlockDone):
        pass
    events.close()
    assert not list(tmp_path.iterdir())


def test_mistakes_are_told_at_once(tmp_path):
    volume = Volume(stack(), "ZYX", name="brain")
    with pytest.raises(InputError, match=r"Granularity is 1\.5"):
        rc.partition(stack(), 1.5)
    with pytest.raises(InputError, match="not known"):
        rc.partition(stack(), colour="red")
    with pytest.raises(InputError, match="2 to 4 axes"):
        rc.partition(np.zeros(5))
    with pytest.raises(InputError, match="'brain' is empty"):
        rc.partition_volume(Volume(np.zeros((0, 4, 4)), "ZYX", name="brain"), tmp_path / "r.zarr")
    with pytest.raises(InputError, match="can hold 4294967295"):
        rc.partition_volume(volume, np.zeros(volume.label_shape, np.uint8))
    np.save(tmp_path / "brain.npy", stack())
    with pytest.raises(InputError, match="is the image"):
        rc.partition_volume(rc.open_volume(tmp_path / "brain.npy"), tmp_path / "brain.npy")
    with pytest.raises(WeightsError):
        rc.partition_volume(volume, tmp_path / "r.zarr", weights="nobody-knows-these")


def test_without_weights_torch_is_not_needed():
    code = """
import sys, numpy as np, napari_regcon as rc
rc.partition(np.random.default_rng(0).random((20, 20)))
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
