"""The guided filter: averages over neighbours that look alike, so that edges of an image stay.

In every window the result is the straight line through the values against the grey of the image
that fits best; a pixel takes the mean of the lines of the windows it lies in. After He, Sun and
Tang 2013 (doi 10.1109/TPAMI.2012.213, equations 5, 6 and 8), with the lines found at half the
resolution as in He and Sun 2015 (arXiv 1505.00996). Knows nothing of what is filtered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

STEP = 2
"""Pixels from one point of the lattice of lines to the next."""

FLATNESS = 0.003
"""Windows whose grey varies less than this, squared, in units of the range of the image, are
averaged as a whole (epsilon of the paper)."""


def reach(radius: int) -> int:
    """Return from how far away, in pixels, values count; a multiple of :data:`STEP`."""
    return STEP * (2 * radius + 2)


def guided_filter(values: Tensor, guide: Tensor, radius: int) -> Tensor:
    """Smooth planes along the edges of an image.

    Parameters
    ----------
    values : torch.Tensor
        float32 ``(K, Y, X)``, each plane filtered by itself.
    guide : torch.Tensor
        float32 ``(Y, X)``, the image, about 0 to 1. Its first pixel lies on the lattice, whose
        points are :data:`STEP` apart.
    radius : int
        Of the windows, in points of the lattice: they are ``STEP * (2 * radius + 1)`` pixels wide.

    Returns
    -------
    torch.Tensor
        ``(K, Y, X)``. The same for a part of an image, but for :func:`reach` pixels along its cuts.
        Sums over planes stay what they are; values may be a little beyond those that went in.
    """
    height, width = guide.shape
    image, values = guide[None, None], values[:, None]
    grey = _window(_coarse(image), radius)
    spread = _window(_coarse(image.square()), radius).addcmul_(grey, grey, value=-1)
    mean = _window(_coarse(values), radius)
    together = _window(_coarse(values * image), radius).addcmul_(mean, grey, value=-1)
    slope = together.div_(spread.clamp_(min=0).add_(FLATNESS))
    offset = mean.addcmul_(slope, grey, value=-1)
    lines = _window(torch.cat((slope, offset)), radius)
    slope, offset = _fine(_fine(lines, -2), -1)[:, 0, :height, :width].chunk(2)
    return torch.addcmul(offset, slope, guide)


def _coarse(planes: Tensor) -> Tensor:
    """Return the means of squares of ``STEP`` pixels, those at the last border of what is there."""
    height, width = planes.shape[-2:]
    missing = (0, -width % STEP, 0, -height % STEP)
    if any(missing):  # a pixel twice has the mean of the pixel
        planes = functional.pad(planes, missing, mode="replicate")
    return functional.avg_pool2d(planes, STEP)


def _fine(planes: Tensor, dim: int) -> Tensor:
    """Interpolate linearly along a dimension, onto :data:`STEP` times as many points.

    Written out, as torch rounds otherwise where what comes out is small, and a part of an image
    would not be as the whole.
    """
    n = planes.shape[dim]
    before = torch.cat((planes.narrow(dim, 0, 1), planes.narrow(dim, 0, n - 1)), dim)
    after = torch.cat((planes.narrow(dim, 1, n - 1), planes.narrow(dim, n - 1, 1)), dim)
    pairs = torch.stack(
        (planes.lerp(before, 0.25), planes.lerp(after, 0.25)), planes.ndim + dim + 1
    )
    return pairs.flatten(planes.ndim + dim, planes.ndim + dim + 1)


def _window(planes: Tensor, radius: int) -> Tensor:
    """Return the means of windows, at the borders of what is there of them."""
    for size, pad in (((2 * radius + 1, 1), (radius, 0)), ((1, 2 * radius + 1), (0, radius))):
        planes = functional.avg_pool2d(planes, size, 1, pad, count_include_pad=False)
    return planes
