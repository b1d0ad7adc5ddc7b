"""Usage loss: all regions are used, which keeps the soft partition from collapsing.

The negative entropy of the mean assignment, as in SwAV-like clustering methods; our choice
against collapse in USRegCon.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def usage_loss(masks: Tensor) -> Tensor:
    """Return ``1 - H(mean assignment) / log K``, in [0, 1]; 0 where all regions are used alike.

    Parameters
    ----------
    masks : Tensor
        ``(B, K, H, W)`` soft partition, sums to 1 over K.
    """
    share = masks.mean((0, 2, 3))
    entropy = -(share * (share + 1e-9).log()).sum()
    return 1 - entropy / math.log(masks.shape[1])
