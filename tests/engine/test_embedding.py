"""The embedding of a pre-trained network as features, and its weights on disk."""

import numpy as np
import pytest
import torch

from napari_regcon.data.support import SupportSet
from napari_regcon.engine.device import choose_device
from napari_regcon.engine.embedding import EmbeddingExtractor, fold, load_network, save_network
from napari_regcon.engine.registry import load_segmenter, method_of_weights
from napari_regcon.errors import WeightsError
from napari_regcon.nn.regcon import RegConNet
from napari_regcon.nn.universeg import UniverSeg
from napari_regcon.types import Volume

SIZES = {"embedding": 16, "regions": 4, "width": 8, "levels": 3}


@pytest.fixture
def net() -> RegConNet:
    torch.manual_seed(0)
    net = RegConNet(**SIZES)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return net.eval().requires_grad_(False)


@pytest.fixture
def weights(net, tmp_path):
    path = tmp_path / "net.safetensors"
    save_network(net, path, {**SIZES, "licence": "BSD-3-Clause", "data": ["phantom"]})
    return path


def test_saved_weights_come_back_with_their_card_and_give_the_same_embedding(net, weights):
    loaded, info = load_network(weights)
    assert info.licence == "BSD-3-Clause"
    assert info.card["data"] == '["phantom"]'
    image = torch.rand(1, 1, 32, 48)
    torch.testing.assert_close(loaded(image), net(image), atol=1e-5, rtol=1e-4)


def test_weights_of_another_network_are_refused_in_words(net, weights, tmp_path):
    wrong = tmp_path / "wrong.safetensors"
    save_network(net, wrong, {**SIZES, "width": 4})
    with pytest.raises(WeightsError, match="does not fit the network it names"):
        load_network(wrong)
    silent = tmp_path / "silent.safetensors"
    save_network(net, silent, {"licence": "?"})
    with pytest.raises(WeightsError, match="does not say which network"):
        load_network(silent)
    huge = tmp_path / "huge.safetensors"
    save_network(net, huge, {**SIZES, "width": 10**9})
    with pytest.raises(WeightsError, match="claims a network of sizes"):
        load_network(huge)


@pytest.mark.parametrize("zooms", [(1,), (2,), (1, 2)])
def test_a_pixel_does_not_depend_on_where_tiles_are_cut(net, zooms):
    extractor = EmbeddingExtractor(fold(net), choose_device("cpu"), zooms=zooms)
    halo = extractor.halo_px[0]
    image = torch.rand(1, 90 + 2 * halo, 70 + 2 * halo)
    whole = extractor.compute(image, (0, 0))
    assert whole.shape == (extractor.n_features(1), 90, 70)
    for y, x, height, width in [(0, 0, 90, 70), (13, 7, 40, 31), (57, 30, 33, 40)]:
        tile = image[:, y : y + height + 2 * halo, x : x + width + 2 * halo]
        found = extractor.compute(tile, (y, x))
        torch.testing.assert_close(
            found, whole[:, y : y + height, x : x + width], atol=1e-4, rtol=0
        )


def test_planes_of_a_stack_are_looked_at_one_by_one(net):
    folded = fold(net)
    plane = EmbeddingExtractor(folded, choose_device("cpu"))
    stack = EmbeddingExtractor(folded, choose_device("cpu"), spatial_ndim=3)
    halo = plane.halo_px[0]
    image = torch.rand(2, 3, 20 + 2 * halo, 24 + 2 * halo)
    found = stack.compute(image, (5, 4, 3))
    assert stack.halo_px == (0, halo, halo)
    assert found.shape == (2 * 16, 3, 20, 24)
    torch.testing.assert_close(found[:, 1], plane.compute(image[:, 1], (4, 3)))


def test_every_channel_is_looked_at_by_itself(net):
    extractor = EmbeddingExtractor(fold(net), choose_device("cpu"), zooms=(1, 2))
    halo = extractor.halo_px[0]
    image = torch.rand(3, 20 + 2 * halo, 24 + 2 * halo)
    found = extractor.compute(image, (5, 3))
    assert len(found) == extractor.n_features(3) == 3 * extractor.n_features(1)
    alone = [extractor.compute(channel[None], (5, 3)) for channel in image]
    torch.testing.assert_close(found, torch.cat(alone))


def test_it_can_be_stopped_between_planes_and_sizes(net):
    extractor = EmbeddingExtractor(fold(net), choose_device("cpu"), zooms=(1, 2), spatial_ndim=3)
    halo = extractor.halo_px[1]
    image, out = torch.rand(1, 3, 8 + 2 * halo, 8 + 2 * halo), torch.empty(32, 3, 8, 8)
    steps = extractor.compute_in_steps(image, (0, 0, 0), out)
    assert sum(1 for _ in steps) == 3 * 2


@pytest.mark.parametrize(("features", "dimensions"), [("network", 2), ("both", 2), ("both", 3)])
def test_the_pixel_head_uses_the_network(weights, features, dimensions):
    rng = np.random.default_rng(0)
    truth = np.zeros((4, 64, 64), bool)
    truth[:, 20:44, 20:44] = True
    volume = Volume((truth * 0.5 + rng.normal(0.2, 0.02, truth.shape)).astype(np.float32), "ZYX")
    labels = np.zeros(truth.shape, np.uint8)
    labels[1, 4:8, 4:60], labels[1, 28:32, 24:40] = 1, 2
    support = SupportSet(("background", "square"))
    support.add(volume, labels)
    head = load_segmenter(
        "pixel-head", weights=str(weights), device="cpu", features=features, dimensions=dimensions
    )
    found = head.fit(support)(np.asarray(volume.data)).argmax(0)
    # Random weights see little, but enough to tell apart what was painted.
    looked_at = labels > 0 if features == "network" else np.ones(labels.shape, bool)
    assert (found == truth)[looked_at].mean() > 0.8


def test_a_file_of_weights_stands_for_the_method_it_is_for(net, weights, tmp_path):
    assert method_of_weights(weights) == ("pixel-head", {"features": "both"})
    assert load_segmenter(str(weights), device="cpu").config.features == "both"
    other = tmp_path / "universeg.pt"
    torch.save(UniverSeg().state_dict(), other)
    assert method_of_weights(other) == ("in-context", {})
    foreign = tmp_path / "foreign.pt"
    torch.save({"conv.weight": torch.zeros(3)}, foreign)
    with pytest.raises(WeightsError, match="of no network that this plugin has"):
        load_segmenter(str(foreign))


def test_a_missing_network_is_named_with_the_way_to_get_it(tmp_path):
    with pytest.raises(WeightsError, match=r"nothing\.safetensors"):
        load_segmenter("pixel-head", features="both", weights=str(tmp_path / "nothing.safetensors"))
