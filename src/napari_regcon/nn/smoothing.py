"""Gaussian smoothing along one axis, onto a coarser lattice where that will do, and back from it.

Knows nothing of features: the caller says how wide, how far and how coarse.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

_AT_ONCE = 4


def smooth_along(values: Tensor, dim: int, sigma: float, step: int, radius: int) -> Tensor:
    """Smooth along one dimension and keep every ``step``-th point that has full support.

    Parameters
    ----------
    values : torch.Tensor
        float32, of any shape.
    dim : int
        Which dimension; not the first one.
    sigma : float
        Of the Gaussian, in points.
    step : int
        Points from one that is kept to the next.
    radius : int
        Points on either side at which the Gaussian is cut off.

    Returns
    -------
    torch.Tensor
        ``(n - 1 - 2 * radius) // step + 1`` points in this dimension, where there were ``n``.
    """
    if step == 1:
        return _convolve(values, dim, _gaussian(sigma, radius))
    shape = values.shape
    matrix = _smoothing_matrix(sigma, step, radius, shape[dim], values.device)
    if dim == values.ndim - 1:
        return values @ matrix.T
    flat = values.reshape(*shape[: dim + 1], -1)
    return (matrix @ flat).reshape(*shape[:dim], len(matrix), *shape[dim + 1 :])


def enlarge_into(out: Tensor, coarse: Tensor, skip: Sequence[int], **how: Any) -> None:
    """Interpolate images linearly and write a part of each.

    Parameters
    ----------
    out : torch.Tensor
        ``(F, *tile)``, of any floating type.
    coarse : torch.Tensor
        float32 ``(F, *lattice)``.
    skip : sequence of int
        Points of the enlarged images, along each spatial axis, before those that are written.
    **how
        For :func:`torch.nn.functional.interpolate`: how much larger, and where the corners lie.
    """
    mode = "bilinear" if coarse.ndim == 3 else "trilinear"
    part = [slice(s, s + n) for s, n in zip(skip, out.shape[1:], strict=True)]
    # A few at a time: to fill memory that is new takes longer than to interpolate.
    for some, target in zip(torch.split(coarse, _AT_ONCE), torch.split(out, _AT_ONCE), strict=True):
        full = functional.interpolate(some[None], mode=mode, **how)[0]
        target.copy_(full[:, *part])


def _convolve(values: Tensor, dim: int, kernel: Sequence[float]) -> Tensor:
    """Convolve with a short symmetric kernel; sums of shifted images are quickest here."""
    radius = len(kernel) // 2
    n = values.shape[dim] - 2 * radius
    result = values.narrow(dim, radius, n) * kernel[radius]
    for j in range(radius):
        pair = values.narrow(dim, j, n) + values.narrow(dim, 2 * radius - j, n)
        result.add_(pair, alpha=kernel[j])
    return result


@lru_cache(maxsize=256)
def _gaussian(sigma: float, radius: int) -> tuple[float, ...]:
    values = [math.exp(-0.5 * (i / sigma) ** 2) for i in range(-radius, radius + 1)]
    return tuple(v / sum(values) for v in values)


@lru_cache(maxsize=256)
def _smoothing_matrix(
    sigma: float, step: int, radius: int, length: int, device: torch.device
) -> Tensor:
    """Return ``(n, length)``: a sampled Gaussian that sums to 1 per row, ``step`` apart."""
    rows = torch.arange((length - 1 - 2 * radius) // step + 1)[:, None]
    matrix = torch.zeros(len(rows), length, dtype=torch.float64)
    matrix[rows, rows * step + torch.arange(2 * radius + 1)] = torch.tensor(
        _gaussian(sigma, radius), dtype=torch.float64
    )
    return matrix.to(device, torch.float32)
