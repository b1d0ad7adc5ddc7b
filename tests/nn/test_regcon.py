"""The embedding network: size, shape, and how far a pixel sees."""

from __future__ import annotations

import pytest
import torch

from napari_regcon.nn.regcon import RegConNet


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return RegConNet().eval()


def test_it_is_compact(net):
    assert sum(p.numel() for p in net.parameters()) < 5_000_000


@torch.no_grad()
def test_embedding_has_length_one_at_every_pixel(net):
    embedding = net(torch.rand(2, 1, 32, 48))
    assert embedding.shape == (2, 32, 32, 48)
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(2, 32, 48))
    assert net.region_logits(embedding).shape == (2, 8, 32, 48)


@torch.no_grad()
def test_a_tile_with_its_halo_gives_the_crop_of_the_whole(net):
    halo = net.halo_px
    image = torch.rand(1, 1, 16, 2 * halo + 96)
    whole = net(image)
    tile = net(image[..., 32 : 32 + 2 * halo + 32])
    torch.testing.assert_close(
        tile[..., halo : halo + 32], whole[..., 32 + halo : 64 + halo], atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("levels", [1, 2, 4, 5])
@torch.no_grad()
def test_less_work_for_a_skirt_that_is_only_looked_at_changes_nothing(levels):
    torch.manual_seed(2)
    net = RegConNet(8, width=4, levels=levels).double().eval()
    image = torch.rand(1, 1, 112, 96, dtype=torch.float64)
    whole = net(image)
    for skirt in (0, 1, 6, 13, 31, 40):
        height, width = image.shape[2:]
        inner = whole[:, :, skirt : height - skirt, skirt : width - skirt]
        torch.testing.assert_close(net(image, skirt), inner, atol=1e-12, rtol=0)


@torch.no_grad()
def test_embeddings_in_training_have_no_common_direction():
    torch.manual_seed(1)
    embedding = RegConNet().train()(torch.rand(4, 1, 64, 64))
    mean = embedding.mean((0, 2, 3))
    assert float(mean.norm()) < 0.2  # of length 1 each


def test_embeddings_of_pixels_are_those_of_the_image(net):
    image = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        pixels = net.embed_pixels(net.decode(image)[0].flatten(1).T)
        torch.testing.assert_close(pixels.T.reshape(32, 32, 32), net(image)[0])
