"""A fitted pixel classifier, kept with the network that adds to it.

Nothing here computes; see :mod:`napari_regcon.engine.classifier`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from napari_regcon.nn.regcon import RegConNet


class PixelBase(nn.Module):
    """The tensors of a classifier with one hidden layer, and the network that it looks through.

    Parameters
    ----------
    n_features, hidden, n_classes : int
        Sizes.
    network : RegConNet, optional
        What gives the last of its features; the others are those of the filter bank.
    """

    low: Tensor
    high: Tensor
    hidden_weight: Tensor
    hidden_bias: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(
        self, n_features: int, hidden: int, n_classes: int, network: RegConNet | None = None
    ) -> None:
        super().__init__()
        self.network = network
        shapes = {
            "low": (n_features, 1),
            "high": (n_features, 1),
            "hidden_weight": (hidden, n_features),
            "hidden_bias": (hidden, 1),
            "weight": (n_classes, hidden),
            "bias": (n_classes, 1),
        }
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape))
