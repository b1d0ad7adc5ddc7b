"""Grey loss of USRegCon: regions are even inside and differ from one another.

After Lin et al. 2023 (doi 10.12122/j.issn.1673-4254.2023.05.18), first-order grey
representation. The form is our reading: the variance inside regions is that of the Mumford-Shah
functional, and the difference between regions is a hinge, because an unbounded one diverges.
"""

from __future__ import annotations

import torch
from torch import Tensor

from napari_regcon.nn.regions import pool


def grey_loss(masks: Tensor, image: Tensor, *, weight: float = 0.5, margin: float = 0.2) -> Tensor:
    """Return the mean over images of the grey loss.

    ``mean_p sum_k M_k (I - g_k)^2 + weight * mean_{k<l} max(0, margin - |g_k - g_l|)``

    Parameters
    ----------
    masks : Tensor
        ``(B, K, H, W)`` soft partition, sums to 1 over K.
    image : Tensor
        ``(B, 1, H, W)`` grey values, about [0, 1].
    weight : float
        Weight of the difference between regions.
    margin : float
        Grey difference beyond which two regions differ enough.
    """
    grey = pool(masks, image)
    inside = (masks * (image - grey[..., None]).square()).sum(1).mean()
    values = grey[..., 0]
    pairs = torch.triu_indices(values.shape[1], values.shape[1], 1, device=values.device)
    difference = (values[:, pairs[0]] - values[:, pairs[1]]).abs()
    return inside + weight * (margin - difference).clamp(min=0).mean()
