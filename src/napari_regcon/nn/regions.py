"""Region pooling: the mean of a map over each region of a soft partition.

Source: Lin et al. 2023 (doi 10.12122/j.issn.1673-4254.2023.05.18), step 2. Knows nothing of
where the partition comes from.
"""

from __future__ import annotations

import torch
from torch import Tensor


def pool(masks: Tensor, values: Tensor, *, eps: float = 1e-6) -> Tensor:
    """Return the mean of each channel over each region.

    ``sum_p M_k(p) V_c(p) / sum_p M_k(p)``

    Parameters
    ----------
    masks : Tensor
        ``(B, K, H, W)``, not negative.
    values : Tensor
        ``(B, C, H, W)``.
    eps : float
        Keeps empty regions finite.

    Returns
    -------
    Tensor
        ``(B, K, C)``.
    """
    sums = torch.einsum("bkhw,bchw->bkc", masks, values)
    return sums / (masks.sum((2, 3))[..., None] + eps)


def coverage(masks: Tensor) -> Tensor:
    """Return the share of the image that each region covers, ``(B, K)`` in [0, 1]."""
    return masks.mean((2, 3))
