"""Images and labels as a grey network was trained on: one channel, smaller, spread over [0, 1].

Works on planes in memory. Nothing here knows the network.
"""

from __future__ import annotations

import numpy as np

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey image (ITU-R BT.601)."""


def network_image(image: np.ndarray, side: int, downscale: int) -> np.ndarray:
    """Make a crop what a grey network was trained on.

    Parameters
    ----------
    image : numpy.ndarray
        ``(C, y, x)`` float32. Three channels are taken for red, green and blue; of any other
        number the mean is taken.
    side : int
        Continued to this size as in a mirror, if smaller.
    downscale : int
        Squares of this many pixels are averaged.

    Returns
    -------
    numpy.ndarray
        float32 ``(side / downscale, side / downscale)``, spread over [0, 1]; 0 where constant.
    """
    weights = LUMA if len(image) == 3 else (1 / len(image),) * len(image)
    grey = np.tensordot(np.array(weights, np.float32), image, 1)
    small = _block_means(mirrored(grey, side), downscale)
    low, high = small.min(), small.max()
    spread: np.ndarray = (small - low) / (high - low) if high > low else np.zeros_like(small)
    return spread


def mirrored(plane: np.ndarray, side: int) -> np.ndarray:
    """Continue a plane on all sides as in a mirror, to a square of at least this size."""
    missing = [max(0, side - length) for length in plane.shape]
    if not any(missing):
        return plane
    return np.pad(plane, [(n // 2, n - n // 2) for n in missing], mode="reflect")


def shrunk_labels(labels: np.ndarray, downscale: int) -> np.ndarray:
    """Shrink labels so that each square gets the value that most of its pixels have.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(y, x)``, both multiples of ``downscale``.
    downscale : int
        Side of the squares.

    Returns
    -------
    numpy.ndarray
        Same type, ``(y / downscale, x / downscale)``; of two equals the smaller value.
    """
    values = np.unique(labels)
    if downscale == 1 or len(values) == 1:
        return labels[::downscale, ::downscale]
    shares = np.stack([_block_means((labels == v).astype(np.float32), downscale) for v in values])
    return np.asarray(values[shares.argmax(0)])


def _block_means(plane: np.ndarray, side: int) -> np.ndarray:
    rows, columns = (n // side for n in plane.shape)
    means: np.ndarray = plane.reshape(rows, side, columns, side).mean((1, 3))
    return means
