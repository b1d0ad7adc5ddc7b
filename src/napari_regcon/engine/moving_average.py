"""The moving average of a network's weights, which is steadier than the network itself.

Mean teacher (Tarvainen and Valpola 2017, arXiv 1703.01780, equation 1), with a decay that rises
over the first steps, so that the random beginning is soon forgotten. Knows nothing of training.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TypeVar

import torch
from torch import nn

_Net = TypeVar("_Net", bound=nn.Module)


def average_of(net: _Net) -> _Net:
    """Return a copy of a network to keep the average in; it does not learn by itself."""
    return deepcopy(net).eval().requires_grad_(False)


@torch.no_grad()
def update_average(average: nn.Module, net: nn.Module, decay: float, n_steps: int) -> None:
    """Move the average towards the network, in place.

    Parameters
    ----------
    average, net : torch.nn.Module
        Of the same kind. What is no number with a fraction, such as a count, is copied.
    decay : float
        How much of the average stays, 0 to 1.
    n_steps : int
        Steps the network has taken; over the first ones less stays.
    """
    decay = min(decay, (1 + n_steps) / (10 + n_steps))
    pairs = zip(average.state_dict().values(), net.state_dict().values(), strict=True)
    for mean, current in pairs:
        if mean.is_floating_point():
            mean.lerp_(current.detach(), 1 - decay)
        else:
            mean.copy_(current)
