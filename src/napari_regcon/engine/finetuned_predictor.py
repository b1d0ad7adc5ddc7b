"""Prediction with a fine-tuned network: alone, or added to the pixel classifier that it comes with.

Knows neither files nor training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from napari_regcon.config import PixelHeadConfig
from napari_regcon.engine.embedding import EmbeddingExtractor
from napari_regcon.engine.feature_source import FeatureSource
from napari_regcon.engine.feature_store import FeatureStore
from napari_regcon.engine.features import ConcatExtractor, GuideExtractor, filters_for
from napari_regcon.engine.finetune_bases import classifier_of
from napari_regcon.engine.joined_source import JoinedSource
from napari_regcon.engine.opinion import log_prior
from napari_regcon.engine.pixel_head import PixelPredictor
from napari_regcon.engine.smoothed import smoothing_margin

if TYPE_CHECKING:
    import numpy as np

    from napari_regcon.data.support import SupportSet
    from napari_regcon.engine.device import Device
    from napari_regcon.nn.class_net import ClassNet


def predictor_of(
    net: ClassNet,
    downscale: int,
    support: SupportSet,
    device: Device,
    store: FeatureStore | None = None,
) -> PixelPredictor:
    """Return a predictor for a network as it is now, also while it is trained.

    Parameters
    ----------
    net : ClassNet
        Copied.
    downscale : int
        The image is made smaller by this before the network looks at it.
    support : SupportSet
        What it was trained on.
    device : Device
        Where to compute.
    store : FeatureStore, optional
        Features of the pixel head, kept there. What the network itself makes of a tile is not, as
        it will be another network next time.
    """
    looks = looks_of(net, downscale, device)
    store = FeatureStore() if store is None else store
    return joined(net, PixelHeadConfig(), looks, support, device, store, FeatureStore())


class Looks(NamedTuple):
    """What gives the logits of a network, and the features of its pixel classifier's, if any."""

    own: EmbeddingExtractor
    base: EmbeddingExtractor | None


def looks_of(net: ClassNet, downscale: int, device: Device) -> Looks:
    """Return how a network looks at images."""
    own = EmbeddingExtractor(net, device, zooms=(downscale,), neighbours=net.neighbours)
    if net.base is None or net.base.network is None:
        return Looks(own, None)
    # As the pixel head looked when the classifier was fitted, whatever it does by default later.
    return Looks(own, EmbeddingExtractor(net.base.network, device, zooms=(2,)))


def joined(
    net: ClassNet,
    base: PixelHeadConfig,
    looks: Looks,
    support: SupportSet,
    device: Device,
    store: FeatureStore,
    own_store: FeatureStore,
) -> PixelPredictor:
    """Return a predictor that joins a network with the pixel classifier it adds to, if any.

    Parameters
    ----------
    net : ClassNet
        The network.
    base : PixelHeadConfig
        Parameters of the pixel classifier.
    looks : Looks
        See :func:`looks_of`.
    support : SupportSet
        Tells the kind of image.
    device : Device
        Where to compute.
    store, own_store : FeatureStore
        Where features of the pixel classifier, and logits of the network, are kept.
    """
    first = support.examples[0]
    at = device.torch_device
    if net.base is None:
        own = FeatureSource(looks.own, own_store, at)
        sources = JoinedSource((own, FeatureSource(GuideExtractor(2), store, at)))
        return PixelPredictor(support.classes, _Unchanged(), sources, first)
    looked = [] if looks.base is None else [looks.base]
    seen = ConcatExtractor((filters_for(base, first.volume), *looked, GuideExtractor(2)))
    margin = smoothing_margin(base.smoothing)
    own = FeatureSource(looks.own, own_store, at, margin)
    sources = JoinedSource((FeatureSource(seen, store, at, margin), own))
    classifier = classifier_of(net.base, at)
    return _AddingPredictor(support.classes, classifier, sources, first, base.smoothing)


class _Unchanged:
    """Stands for a classifier where the features are the scores already."""

    def probabilities(self, features: torch.Tensor, rows: slice) -> torch.Tensor:
        return torch.softmax(features[:, rows].float(), 0)


class _AddingPredictor(PixelPredictor):
    """Adds the logits of a network, the last of the features, to a pixel classifier."""

    def _classify(self, features: torch.Tensor, smoothing: int, rows: slice) -> np.ndarray:
        n_seen = len(features) - len(self.classes)
        base = super()._classify(features[:n_seen], smoothing, rows)
        scores = features[n_seen:, rows].float().cpu() + torch.from_numpy(log_prior(base))
        found: np.ndarray = torch.softmax(scores, 0).numpy()
        return found
