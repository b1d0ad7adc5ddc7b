"""Usage loss: every pixel chooses a region, and all regions are chosen.

The negative mutual information between pixel and region, as in discriminative clustering (Krause
et al., NIPS 2010, Discriminative Clustering by Regularized Information Maximization, equation 1);
our choice against collapse in USRegCon. The entropy of the mean assignment alone would be at its
best where every pixel belongs to all regions alike, which is a collapse, too.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def usage_loss(masks: Tensor) -> Tensor:
    """Return ``1 - (H(mean_p M) - mean_p H(M)) / log K``, in [0, 1].

    Parameters
    ----------
    masks : Tensor
        ``(B, K, H, W)`` soft partition, sums to 1 over K.

    Returns
    -------
    Tensor
        0 where each pixel has one region and all regions are used alike; 1 where all pixels
        have the same assignment.
    """
    return 1 - information(masks) / math.log(masks.shape[1])


def information(masks: Tensor) -> Tensor:
    """Return the mutual information of pixel and region, in nats; see :func:`usage_loss`."""
    return _entropy(masks.mean((0, 2, 3)), 0) - _entropy(masks, 1).mean()


def _entropy(shares: Tensor, axis: int) -> Tensor:
    return -(shares * (shares + 1e-9).log()).sum(axis)
