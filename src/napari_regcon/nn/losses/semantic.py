"""Semantic loss of USRegCon: a region is like itself in another view, unlike other regions.

After Lin et al. 2023 (doi 10.12122/j.issn.1673-4254.2023.05.18), deep semantic representation;
InfoNCE is our reading. Regions with the same index in other images are left out: in electron
microscopy they are mostly the same tissue, and calling them different teaches nonsense.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def semantic_loss(
    first: Tensor, second: Tensor, counts: Tensor, *, temperature: float = 0.1
) -> Tensor:
    """Return the symmetric InfoNCE over region embeddings of two views.

    For anchor ``(b, k)`` the positive is ``(b, k)`` in the other view; negatives are the regions
    ``l != k`` of every image in the other view.

    Parameters
    ----------
    first, second : Tensor
        ``(B, K, E)`` region embeddings of the two views, any length.
    counts : Tensor
        ``(B, K)`` bool: the region covers enough of both views to count.
    temperature : float
        Divides the cosine.

    Returns
    -------
    Tensor
        Mean over the regions that count; 0 where none has a negative.
    """
    n_regions = first.shape[1]
    index = torch.arange(n_regions, device=first.device).repeat(first.shape[0])
    keep = counts.flatten()
    a = functional.normalize(first.flatten(0, 1), dim=-1)[keep]
    b = functional.normalize(second.flatten(0, 1), dim=-1)[keep]
    index = index[keep]
    similarity = a @ b.T / temperature
    same_index = index[:, None] == index[None]
    itself = torch.eye(len(index), dtype=torch.bool, device=first.device)
    allowed = itself | ~same_index
    if int(allowed.sum()) == len(index):
        return first.sum() * 0
    target = torch.arange(len(index), device=first.device)
    forward = functional.cross_entropy(similarity.masked_fill(~allowed, -torch.inf), target)
    backward = functional.cross_entropy(similarity.T.masked_fill(~allowed, -torch.inf), target)
    return (forward + backward) / 2
