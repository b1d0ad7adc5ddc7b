"""Cross-entropy and Dice of one class against all else, for images that are labelled in full.

The soft Dice is that of Milletari et al. 2016 (arXiv 1606.04797, section 3), per image and
smoothed, so that an image without the class asks for little to be found, not for a ratio of
nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

SMOOTHING = 0.01
"""Share of the pixels of an image that is added to both sides of the ratio."""


def overlap_loss(logits: Tensor, labels: Tensor, *, entropy_weight: float = 1.0) -> Tensor:
    """Return the mean over images of soft Dice loss and cross-entropy.

    Parameters
    ----------
    logits : Tensor
        ``(B, 1, H, W)``; the sigmoid is the probability of the class.
    labels : Tensor
        ``(B, 1, H, W)`` of 0 and 1.
    entropy_weight : float
        Weight of the cross-entropy.

    Returns
    -------
    Tensor
        A scalar.
    """
    logits = logits.float()
    found = logits.sigmoid().flatten(1)
    wanted = labels.flatten(1)
    smooth = SMOOTHING * wanted.shape[1]
    overlap = 2 * (found * wanted).sum(1) + smooth
    size = found.square().sum(1) + wanted.sum(1) + smooth
    entropy = functional.binary_cross_entropy_with_logits(logits, labels)
    return (1 - overlap / size).mean() + entropy_weight * entropy
