"""Cross-entropy with what another method thinks of a pixel, by how sure that method is.

What is taught are probabilities, not decisions, so that a doubtful opinion stays one (Hinton et al.
2015, arXiv 1503.02531, section 2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


def taught_loss(logits: Tensor, wanted: Tensor, where: Tensor) -> Tensor:
    """Return the mean over all pixels of cross-entropy times sureness.

    A method is sure by ``(K max(p) - 1) / (K - 1)``: 0 where all classes are alike to it, 1 where
    only one is left.

    Parameters
    ----------
    logits : Tensor
        ``(B, K, H, W)``.
    wanted : Tensor
        ``(B, K, H, W)`` probabilities; nothing is taught where they are 0 for all classes.
    where : Tensor
        ``(B, H, W)`` bool: the pixels that are taught.

    Returns
    -------
    Tensor
        A scalar.
    """
    n_classes = logits.shape[1]
    sure = ((n_classes * wanted.amax(1) - 1) / (n_classes - 1)).clamp(min=0)
    entropy = functional.cross_entropy(logits, wanted, reduction="none")
    return (entropy * sure * where).mean()
