"""Networks that a fine-tuning begins with: pre-trained, fine-tuned before, or random.

Nothing here trains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_regcon.engine.embedding import load_network
from napari_regcon.engine.finetuned import load_finetuned
from napari_regcon.engine.weights import load_state
from napari_regcon.nn.class_net import ClassNet

if TYPE_CHECKING:
    from pathlib import Path

    from napari_regcon.config import FinetuneConfig
    from napari_regcon.engine.weights import WeightsInfo
    from napari_regcon.nn.regcon import RegConNet


def network_for(
    config: FinetuneConfig, n_channels: int, n_classes: int, start: RegConNet | ClassNet | None
) -> ClassNet:
    """Return a network to be trained, with what another one has learnt already.

    Parameters
    ----------
    config : FinetuneConfig
        Seed, neighbouring slices, and the sizes of a network that starts from scratch.
    n_channels, n_classes : int
        Of the images and the labels.
    start : RegConNet or ClassNet or None
        What it begins with.
    """
    body = start.body if isinstance(start, ClassNet) else start
    width, levels = (body or config).width, (body or config).levels
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        net = ClassNet(n_channels, n_classes, width, levels, config.neighbours)
    if start is not None:
        net.start_from(start)
    for parameter in net.parameters():
        if parameter.ndim == 4:  # a convolution
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return net


def load_start(weights: str | Path) -> tuple[RegConNet | ClassNet, WeightsInfo]:
    """Load a network to begin with: a pre-trained one, or one that was fine-tuned before.

    Parameters
    ----------
    weights : str or pathlib.Path
        A name in the weights registry, or a file.

    Raises
    ------
    WeightsError
        If they cannot be read, or are of another network.
    """
    state, info = load_state(weights)
    if "head.weight" not in state:
        return load_network(weights)
    return load_finetuned(weights)[0], info
