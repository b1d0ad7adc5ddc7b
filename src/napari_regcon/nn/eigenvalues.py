"""Eigenvalues of symmetric 2 x 2 and 3 x 3 matrices, one matrix per pixel, in closed form.

Works on whole images at once, on any device. Knows nothing of what the matrices mean.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


def symmetric_eigenvalues(entries: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return the eigenvalues of symmetric matrices, the largest first.

    Parameters
    ----------
    entries : sequence of torch.Tensor
        The upper triangle row by row: ``(xx, xy, yy)`` or ``(xx, xy, xz, yy, yz, zz)``, all of
        the same shape.

    Returns
    -------
    tuple of torch.Tensor
        Two or three tensors of that shape.

    Notes
    -----
    3 x 3: the trigonometric solution of the characteristic polynomial (Smith, "Eigenvalues of a
    symmetric 3 x 3 matrix", Comm. ACM 4(4), 1961). Where two eigenvalues nearly agree its
    arc cosine loses half of the digits, so it is computed in double precision where the device
    has it.
    """
    if len(entries) == 3:
        return _two(*entries)
    return _three(*entries)


def _two(xx: Tensor, xy: Tensor, yy: Tensor) -> tuple[Tensor, Tensor]:
    middle = (xx + yy).mul_(0.5)
    half = (xx - yy).mul_(0.5)
    radius = half.square_().addcmul_(xy, xy).sqrt_()
    return middle + radius, middle - radius


def _three(
    xx: Tensor, xy: Tensor, xz: Tensor, yy: Tensor, yz: Tensor, zz: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    kind = xx.dtype
    exact = kind if xx.device.type == "mps" else torch.float64
    xx, xy, xz, yy, yz, zz = (e.to(exact) for e in (xx, xy, xz, yy, yz, zz))
    mean = (xx + yy + zz) / 3
    xx, yy, zz = xx - mean, yy - mean, zz - mean
    off = xy * xy + xz * xz + yz * yz
    spread = ((xx * xx + yy * yy + zz * zz + 2 * off) / 6).sqrt_()
    determinant = xx * (yy * zz - yz * yz) - xy * (xy * zz - yz * xz) + xz * (xy * yz - yy * xz)
    # Equal eigenvalues give 0 / 0; any angle is right there, because spread is 0.
    tiny = torch.finfo(exact).tiny ** (1 / 3)
    cosine = (determinant / (2 * spread.clamp(min=tiny) ** 3)).clamp_(-1, 1)
    angle = cosine.acos_().div_(3)
    first = mean + 2 * spread * angle.cos()
    last = mean + 2 * spread * (angle + 2 * math.pi / 3).cos()
    middle = 3 * mean - first - last
    return first.to(kind), middle.to(kind), last.to(kind)
