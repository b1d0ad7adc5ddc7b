"""Stroke-episode loss: features for which a head fitted on strokes is right elsewhere.

A ridge regression is solved in closed form on the embeddings of the stroked pixels and applied
to all pixels; the cross-entropy there is differentiated through the solution into the network
(the closed-form base learner of Bertinetto et al. 2019, arXiv 1805.08136, equations 3 to 6, at
pixel level). The features are so trained for what the pixel head does with them.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def ridge_head(features: Tensor, targets: Tensor, classes: int, *, ridge: float = 0.1) -> Tensor:
    """Return the weights of a class-balanced ridge regression with a bias.

    Parameters
    ----------
    features : Tensor
        ``(N, E)`` embeddings of the stroked pixels.
    targets : Tensor
        ``(N,)`` int64 classes, 0 to ``classes - 1``.
    classes : int
        Number of classes.
    ridge : float
        Regularisation relative to the mean feature energy.

    Returns
    -------
    Tensor
        ``(E + 1, classes)``, bias last.
    """
    counts = torch.bincount(targets, minlength=classes).clamp(min=1)
    weight = (1.0 / (classes * counts[targets])).to(features.dtype)
    design = torch.cat([features, torch.ones_like(features[:, :1])], dim=1)
    wanted = 2 * functional.one_hot(targets, classes).to(features.dtype) - 1
    gram = design.T @ (design * weight[:, None])
    energy = gram.diagonal().mean().detach()
    eye = torch.eye(design.shape[1], device=features.device, dtype=features.dtype)
    head: Tensor = torch.linalg.solve(
        gram + ridge * energy * eye, design.T @ (wanted * weight[:, None])
    )
    return head


def episode_loss(
    embedding: Tensor,
    labels: Tensor,
    strokes: Tensor,
    classes: int,
    *,
    scale: Tensor | float = 4.0,
    ridge: float = 0.1,
) -> Tensor:
    """Return the class-balanced cross-entropy of a stroke-fitted head on all labelled pixels.

    Parameters
    ----------
    embedding : Tensor
        ``(B, E, H, W)`` of the images of one task.
    labels : Tensor
        ``(B, H, W)`` int64 truth, -1 = not known.
    strokes : Tensor
        ``(B, H, W)`` bool, the stroked pixels; each of the classes has some.
    classes : int
        Number of classes.
    scale : Tensor or float
        Multiplies the ridge scores, which lie near [-1, 1], into logits.
    ridge : float
        See :func:`ridge_head`.
    """
    pixels = embedding.permute(0, 2, 3, 1).float()
    head = ridge_head(pixels[strokes], labels[strokes], classes, ridge=ridge)
    known = labels >= 0
    logits = scale * (pixels[known] @ head[:-1] + head[-1])
    targets = labels[known]
    share = torch.bincount(targets, minlength=classes).to(logits.dtype).clamp(min=1)
    # Between plain and fully balanced: rare classes matter, but a few pixels do not rule.
    weight = share.rsqrt()
    return functional.cross_entropy(logits, targets, weight / weight.sum())
