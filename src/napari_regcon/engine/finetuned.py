"""Networks that were fine-tuned, as segmenters: their file, its card, and prediction.

The card says which classes the network knows and on what it was trained. With the network comes
the pixel classifier it adds to. Every pixel is exact: tiles are read with the halo that both need.
Nothing here trains.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch

from napari_regcon.config import FinetunedConfig, PixelHeadConfig
from napari_regcon.data.fingerprint import about_image
from napari_regcon.engine.device import choose_device
from napari_regcon.engine.embedding import empty_network, save_network
from napari_regcon.engine.feature_store import FeatureStore
from napari_regcon.engine.features import FilterBankExtractor
from napari_regcon.engine.finetuned_predictor import joined, looks_of
from napari_regcon.engine.segmenter import Segmenter
from napari_regcon.engine.weights import load_state
from napari_regcon.errors import InputError, WeightsError
from napari_regcon.nn.class_net import ClassNet
from napari_regcon.nn.filter_bank import geometric_sigmas
from napari_regcon.nn.pixel_base import PixelBase

if TYPE_CHECKING:
    from pathlib import Path

    from napari_regcon.data.support import SupportSet
    from napari_regcon.engine.finetune import FineTuning
    from napari_regcon.engine.segmenter import Predictor
    from napari_regcon.engine.weights import WeightsInfo
    from napari_regcon.nn.regcon import RegConNet

_SIZES = {"n_channels": "", "width": "", "levels": "", "downscale": "", "neighbours": "0"}
"""What a card says of the network, and what one means that does not say it."""
_EXPECTED = "Expected a network made by 'napari-regcon finetune' or by the dock."


@dataclass(frozen=True)
class FinetunedCard:
    """What a file says about a fine-tuned network.

    Parameters
    ----------
    classes : tuple of str
        What its outputs stand for.
    n_channels : int
        Channels of the images it looks at.
    width, levels : int
        Of the network.
    downscale : int
        The image is made smaller by this before the network looks at it.
    about : dict of str to Any
        Whatever else a user should know: parameters, parent, what it was trained on, figures.
    base : PixelHeadConfig
        Parameters of the pixel classifier that comes with it, if one does.
    neighbours : int
        Slices above and below that it looks at, too.
    """

    classes: tuple[str, ...]
    n_channels: int
    width: int
    levels: int
    downscale: int
    about: dict[str, Any]
    base: PixelHeadConfig = field(default_factory=PixelHeadConfig)
    neighbours: int = 0


class FineTuned(Segmenter):
    """A fine-tuned network.

    It has learnt already: of the support set only classes and kind of image count, which have
    to be its own.

    Parameters
    ----------
    config : FinetunedConfig, optional
        Parameters.
    weights : str or pathlib.Path
        A name in the weights registry, or a file.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    store : FeatureStore, optional
        Keeps what was computed; an own one where not given.

    Raises
    ------
    WeightsError
        If the weights cannot be loaded, or are not those of a fine-tuned network.
    DeviceError
        If the device is not there.
    """

    def __init__(
        self,
        config: FinetunedConfig | None = None,
        *,
        weights: str | Path,
        device: str = "auto",
        store: FeatureStore | None = None,
    ) -> None:
        self.config = config or FinetunedConfig()
        chosen = choose_device(device)
        self._net, self.card = load_finetuned(weights)
        self._device = chosen
        self._store = FeatureStore() if store is None else store
        self._looks = looks_of(self._net, self.card.downscale, chosen)

    def fit(self, support: SupportSet) -> Predictor:
        """Return a predictor for the classes of the network.

        Raises
        ------
        InputError
            If the classes or the channels are not those the network knows.
        """
        if support.classes != self.card.classes:
            raise InputError(
                f"The classes are {', '.join(support.classes)}.",
                expected=f"This network knows {', '.join(self.card.classes)}, in this order.",
                next_step="Name the classes like this, or choose another method.",
            )
        volume = support.examples[0].volume
        if volume.n_channels != self.card.n_channels:
            raise InputError(
                f"{volume.name!r} has {volume.n_channels} channel(s), but the network was trained "
                f"on images with {self.card.n_channels}.",
                next_step="Choose an image of the same kind.",
            )
        stores = self._store, self._store.beside
        return joined(self._net, self.card.base, self._looks, support, self._device, *stores)


def save_finetuned(net: ClassNet, path: Path, card: FinetunedCard) -> None:
    """Write a fine-tuned network with its card, whole or not at all.

    Parameters
    ----------
    net : ClassNet
        Normalisation not folded, so that training can go on from it.
    path : pathlib.Path
        A name that ends in ``.safetensors``.
    card : FinetunedCard
        What to say about it.
    """
    sizes = {
        "classes": list(card.classes),
        "base": asdict(card.base),
    }
    if net.base is not None and net.base.network is not None:
        sizes["base_network"] = net.base.network.sizes
    sizes |= {name: getattr(card, name) for name in _SIZES}
    save_network(net, path, card.about | sizes)


def card_of(tuning: FineTuning, parent: WeightsInfo | None) -> FinetunedCard:
    """Return the card of what a training has made so far.

    Parameters
    ----------
    tuning : FineTuning
        The training.
    parent : WeightsInfo or None
        The weights it started from; None for random ones.
    """
    support, net, base = tuning.support, tuning.result(), tuning.base_weights
    volumes = {id(e.volume): e.volume for e in support.examples}.values()
    about = {
        "licence": "not stated",
        "parent": parent.name if parent else "none",
        "parent_sha256": parent.sha256 if parent else "",
        "base_weights": base.name if base else "none",
        "base_weights_sha256": base.sha256 if base else "",
        "base_weights_licence": base.licence if base else "",
        "parameters": asdict(tuning.config),
        "steps": tuning.step,
        "painted_px": dict(zip(support.classes, support.painted_counts().tolist(), strict=True)),
        "held_out_dice": tuning.best.dice if tuning.best else {},
        "images": [about_image(volume) for volume in volumes],
        "made_with": f"napari-regcon {version('napari-regcon')}",
    }
    return FinetunedCard(
        support.classes,
        support.examples[0].volume.n_channels,
        net.body.width,
        net.body.levels,
        tuning.config.downscale,
        about,
        neighbours=net.neighbours,
    )


def load_finetuned(weights: str | Path) -> tuple[ClassNet, FinetunedCard]:
    """Load a fine-tuned network.

    Parameters
    ----------
    weights : str or pathlib.Path
        A name in the weights registry, or a file.

    Returns
    -------
    net : ClassNet
        Normalisation not folded.
    card : FinetunedCard
        What the file says about it.

    Raises
    ------
    WeightsError
        If they cannot be read, or are of another network.
    """
    state, info = load_state(weights)
    about = dict(info.card)
    try:
        classes = json.loads(about.pop("classes"))
        sizes = {name: int(about.pop(name, older)) for name, older in _SIZES.items()}
        base = PixelHeadConfig(**json.loads(about.pop("base", "{}")))
        seen_through = json.loads(about.pop("base_network", "null"))
    except (KeyError, TypeError, ValueError, OverflowError, InputError) as error:
        raise WeightsError(
            f"{info.path.name} does not say which classes it is for.", expected=_EXPECTED
        ) from error
    named = isinstance(classes, list) and all(isinstance(name, str) for name in classes)
    if not named or not 2 <= len(classes) <= 255 or not _fit(**sizes):
        told = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise WeightsError(
            f"{info.path.name} claims a network for {classes!r}, of {told}.", expected=_EXPECTED
        )
    card = FinetunedCard(tuple(classes), **sizes, about=about, base=base)
    misfit = WeightsError(
        f"{info.path.name} does not fit the network it names.", expected=_EXPECTED
    )
    try:
        network = None if seen_through is None else empty_network(seen_through)
    except (KeyError, TypeError, ValueError) as error:
        raise misfit from error
    with torch.device("meta"):
        net = ClassNet(
            card.n_channels, len(classes), card.width, card.levels, neighbours=card.neighbours
        )
        if "base.weight" in state:
            n_features = _n_features(card, network)
            hidden = state["base.weight"].shape[-1] if state["base.weight"].ndim else 0
            net.base = PixelBase(n_features, hidden, len(classes), network)
    try:
        net.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise misfit from error
    if base.dimensions != 2:
        raise misfit
    return net.float().requires_grad_(False), card


def _n_features(card: FinetunedCard, network: RegConNet | None) -> int:
    """Return how many features the pixel classifier has to look at."""
    sigmas = geometric_sigmas(card.base.sigma_min_px, card.base.sigma_max_px)
    per_network = 0 if network is None else card.n_channels * network.n_features
    return FilterBankExtractor(sigmas).n_features(card.n_channels) + per_network


def _fit(n_channels: int, width: int, levels: int, downscale: int, neighbours: int) -> bool:
    of_net = 1 <= n_channels <= 64 and 4 <= width <= 64 and 2 <= levels <= 6
    return of_net and 1 <= downscale <= 8 and 0 <= neighbours <= 3
