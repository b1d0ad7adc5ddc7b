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
    stroked: Tensor,
    stroked_classes: Tensor,
    judged: Tensor,
    judged_classes: Tensor,
    classes: int,
    *,
    scale: Tensor | float = 4.0,
    ridge: float = 0.1,
) -> Tensor:
    """Return the class-balanced cross-entropy of a stroke-fitted head on other pixels.

    Parameters
    ----------
    stroked : Tensor
        ``(N, E)`` embeddings of the stroked pixels of a task.
    stroked_classes : Tensor
        ``(N,)`` int64, 0 to ``classes - 1``; each occurs.
    judged : Tensor
        ``(M, E)`` embeddings of the pixels the head is judged by.
    judged_classes : Tensor
        ``(M,)`` int64, 0 to ``classes - 1``.
    classes : int
        Number of classes.
    scale : Tensor or float
        Multiplies the ridge scores, which lie near [-1, 1], into logits.
    ridge : float
        See :func:`ridge_head`.
    """
    head = ridge_head(stroked, stroked_classes, classes, ridge=ridge)
    logits = scale * (judged @ head[:-1] + head[-1])
    share = torch.bincount(judged_classes, minlength=classes).to(logits.dtype).clamp(min=1)
    # Between plain and fully balanced: rare classes matter, but a few pixels do not rule.
    weight = share.rsqrt()
    return functional.cross_entropy(logits, judged_classes, weight / weight.sum())
