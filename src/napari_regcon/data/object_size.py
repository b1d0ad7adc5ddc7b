"""How large what is painted is, and how much an image has to be made smaller to show it well.

Works on labels in memory. Thickness stands for size, because it means something for blobs and
for membranes alike, whether or not they are cut into objects. Nothing here knows a network.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Sequence

GOOD_PX = 16.0
"""Thickness that a network with tiles of about 128 px sees well, together with surroundings."""


_MEASURED_PX = 512
"""Larger masks are thinned out to this side before they are measured."""


def thickness(masks: Sequence[np.ndarray]) -> float:
    """Return how thick the things in some masks are: the diameter, if they are discs.

    Six times the mean distance from a pixel inside to the nearest outside; of a long band it is
    one and a half times the width.

    Parameters
    ----------
    masks : sequence of numpy.ndarray
        bool ``(y, x)``. Beyond the border is neither inside nor outside.

    Returns
    -------
    float
        In pixels; 0 where nothing is inside, infinity where all is.
    """
    inside = [mask for mask in masks if mask.any()]
    if not inside:
        return 0.0
    bounded = [mask for mask in inside if not mask.all()]
    if not bounded:
        return float("inf")
    total, n = 0.0, 0
    for mask in bounded:
        # Whole slices are large, and a rough figure is enough.
        step = math.ceil(max(mask.shape) / _MEASURED_PX)
        few = mask[::step, ::step]
        total += step * float((ndimage.distance_transform_edt(few)[few] - 0.5).sum())
        n += int(few.sum())
    return 6.0 * total / n if n else 0.0


def good_downscale(thick_px: float, longest_px: int, smallest_px: int) -> int:
    """Return how many pixels should become one, so that objects are about as large as is good.

    Parameters
    ----------
    thick_px : float
        How thick they are; 0 or infinite says nothing.
    longest_px : int
        Longest side of what is labelled in full.
    smallest_px : int
        It should not get smaller than this.

    Returns
    -------
    int
        1 to 16.
    """
    if not 0 < thick_px < float("inf"):
        return 1
    most = max(1, min(16, longest_px // smallest_px))
    return int(np.clip(round(thick_px / GOOD_PX), 1, most))
