"""Superpixels: small connected regions that end where an image has edges.

They are the finest regions there are: everything coarser is made of them (see
:mod:`napari_regcon.data.region_tree`). Works on one plane in memory; it knows nothing of
files, networks or what the image shows.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.segmentation import watershed

_BASIN_PX = 5
"""A basin begins at a pixel that is the lowest in a window of this side."""

_FLATTEN_PX = 1.0
"""Smoothing of the edges before basins are looked for; without it noise makes twice as many."""


def edge_strength(features: np.ndarray, sigma_px: float) -> np.ndarray:
    """Return how fast smoothed features change at each pixel.

    Parameters
    ----------
    features : numpy.ndarray
        float32 ``(F, Y, X)``.
    sigma_px : float
        Standard deviation of the Gaussian.

    Returns
    -------
    numpy.ndarray
        float32 ``(Y, X)``: length of the gradient over all features, per pixel.
    """
    total = np.zeros(features.shape[1:], dtype=np.float32)
    for channel in features:
        for axis in range(2):
            order = tuple(int(axis == i) for i in range(2))
            total += ndimage.gaussian_filter(channel, sigma_px, order=order, mode="nearest") ** 2
    strength: np.ndarray = np.sqrt(total)
    return strength


def superpixels(edges: np.ndarray) -> np.ndarray:
    """Cut a plane along the crests of its edges.

    Parameters
    ----------
    edges : numpy.ndarray
        float32 ``(Y, X)``, high at edges.

    Returns
    -------
    numpy.ndarray
        int32 ``(Y, X)``: 0, 1, 2... Every number is one piece, joined by sides of pixels; a
        constant plane is a single one.
    """
    flattened = ndimage.gaussian_filter(edges, _FLATTEN_PX, mode="nearest")
    lowest = ndimage.minimum_filter(flattened, _BASIN_PX, mode="nearest") == flattened
    basins, _ = ndimage.label(lowest)
    regions: np.ndarray = watershed(edges, basins).astype(np.int32, copy=False) - 1
    return regions
