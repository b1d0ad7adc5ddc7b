"""Cross-entropy and Dice on the pixels that somebody has labelled, and on no others.

Classes count by a power of their pixels, as in the pixel head of this package. The soft Dice is
that of Milletari et al. 2016 (arXiv 1606.04797, section 3), taken over labelled pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from napari_regcon.types import NOT_SAID


def sparse_loss(logits: Tensor, labels: Tensor, power: float = 0.5) -> Tensor:
    """Return the sum of cross-entropy and soft Dice loss on labelled pixels.

    Parameters
    ----------
    logits : Tensor
        ``(B, K, H, W)``.
    labels : Tensor
        ``(B, H, W)`` int64, 0 to K - 1, or -1 where nothing is said.
    power : float
        All pixels of a class together count by their number to this power, 0 to 1.

    Returns
    -------
    Tensor
        A scalar; 0 where no pixel is labelled.
    """
    n_classes = logits.shape[1]
    flat = logits.movedim(1, -1)[labels != NOT_SAID].float()
    said = labels[labels != NOT_SAID]
    if not len(said):
        return logits.sum() * 0
    counts = torch.bincount(said, minlength=n_classes).clamp(min=1).to(flat.dtype)
    weight = counts ** (power - 1)
    entropy = functional.cross_entropy(flat, said, weight)
    wanted = functional.one_hot(said, n_classes).to(flat.dtype)
    found = flat.softmax(1)
    present = wanted.sum(0) > 0
    overlap = 2 * (found * wanted).sum(0) / (found.square().sum(0) + wanted.sum(0))
    return entropy + (1 - overlap[present]).mean()
