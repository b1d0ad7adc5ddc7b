"""Speed of networks and features: UniverSeg's two forms, and the filter bank."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks import universeg_forms as forms
from benchmarks.methods import skimage_features
from benchmarks.timing import Row, in_turn, matmul_rates
from napari_regcon.config import PixelHeadConfig
from napari_regcon.data.normalize import Normalization
from napari_regcon.data.phantom import make_phantom
from napari_regcon.data.views import ImageView
from napari_regcon.engine.device import choose_device
from napari_regcon.engine.embedding import EmbeddingExtractor, load_network
from napari_regcon.engine.feature_store import FeatureStore
from napari_regcon.engine.features import ConcatExtractor, FilterBankExtractor, GuideExtractor
from napari_regcon.nn.filter_bank import geometric_sigmas
from napari_regcon.types import Box, Volume

if TYPE_CHECKING:
    import argparse

    from napari_regcon.engine.features import FeatureExtractor

PLANE_PX = 1024


def matrix_multiply(options: argparse.Namespace) -> list[Row]:
    """Measure the device's rate of matrix multiplication, the yardstick of the networks."""
    device = choose_device(options.device)
    rows = []
    for dtype in (torch.float32, torch.bfloat16):
        if dtype == torch.bfloat16 and not device.supports_bf16:
            continue
        rates = matmul_rates(device.torch_device, dtype, repeats=options.repeats)
        rows.append(Row(f"matrix multiply {dtype}".replace("torch.", ""), "GFLOP/s", rates))
    return rows


def features(options: argparse.Namespace) -> list[Row]:
    """Measure features per Mvoxel, by filters and with the network, against scikit-image's."""
    device = choose_device(options.device)
    plane = np.asarray(make_phantom((1, PLANE_PX, PLANE_PX), seed=2).volume.data)[0]
    volume = Volume(plane, "YX")
    view = ImageView(volume, Normalization((0.0,), (255.0,)), (), 2)
    config = PixelHeadConfig()
    bank = FilterBankExtractor(geometric_sigmas(config.sigma_min_px, config.sigma_max_px))
    net, _ = load_network("regcon-em")
    both = ConcatExtractor((bank, EmbeddingExtractor(net, device), GuideExtractor(2)))
    box = Box.of_shape(plane.shape)
    grey = plane.astype(np.float32) / 255
    n_other = skimage_features(grey[:64, :64]).shape[-1]
    per_mvoxel = 1e6 / plane.size
    rows = []
    for name, extractor in (("filters", bank), ("filters and regcon-em", both)):

        def ours(extractor: FeatureExtractor = extractor) -> None:
            FeatureStore().get(view, box, extractor, device.torch_device)

        own, other = in_turn([ours, lambda: skimage_features(grey)], repeats=options.repeats)
        rows.append(
            Row(
                f"{extractor.n_features(1)} features per Mvoxel, {name}",
                "ms",
                tuple(t * per_mvoxel for t in own),
                f"scikit-image ({n_other})",
                tuple(t * per_mvoxel for t in other),
            )
        )
    return rows


def universeg_forms(options: argparse.Namespace) -> list[Row]:
    """Measure UniverSeg factorised against plain, at several sizes of the support set."""
    return forms.rows(device=options.device, repeats=options.repeats)
