"""Regions as a picture: their borders or their areas, each in a colour.

Works on one plane of numbered regions. It knows neither layers nor where regions come from.
"""

from __future__ import annotations

import colorsys

import numpy as np


def border_mask(labels: np.ndarray) -> np.ndarray:
    """Return the pixels ``(Y, X)`` bool whose right or lower neighbour is of another region."""
    mask = np.zeros(labels.shape, dtype=bool)
    mask[:, :-1] |= labels[:, 1:] != labels[:, :-1]
    mask[:-1] |= labels[1:] != labels[:-1]
    return mask


def distinct_colors(n: int) -> np.ndarray:
    """Return uint8 ``(n, 3)`` colours; those of numbers near each other differ most."""
    steps = np.arange(1, n + 1)
    hues, values = (0.08 + steps * 0.618034) % 1.0, 0.65 + 0.35 * ((steps * 0.754878) % 1.0)
    found = [colorsys.hsv_to_rgb(hue, 0.75, value) for hue, value in zip(hues, values, strict=True)]
    colors: np.ndarray = np.rint(255 * np.array(found)).astype(np.uint8)
    return colors


def majority(labels: np.ndarray, n_regions: int, values: np.ndarray) -> np.ndarray:
    """Return the commonest value of each region that is not 0; 0 where there is none.

    Parameters
    ----------
    labels : numpy.ndarray
        int ``(Y, X)``, 1..n.
    n_regions : int
        n.
    values : numpy.ndarray
        uint8 ``(Y, X)``.

    Returns
    -------
    numpy.ndarray
        uint8 ``(n,)``; the lowest of equally common values.
    """
    said = values != 0
    pairs = (labels[said] - 1) * 256 + values[said].astype(np.int64)
    counts = np.bincount(pairs, minlength=n_regions * 256).reshape(n_regions, 256)
    commonest: np.ndarray = counts.argmax(axis=1).astype(np.uint8)
    return commonest


def means(labels: np.ndarray, n_regions: int, values: np.ndarray) -> np.ndarray:
    """Return the mean of ``(Y, X)`` values over each region, ``(n,)``."""
    flat = labels.ravel() - 1
    counts = np.maximum(np.bincount(flat, minlength=n_regions), 1)
    found: np.ndarray = np.bincount(flat, values.ravel(), n_regions) / counts
    return found


def draw(labels: np.ndarray, colors: np.ndarray, borders: np.ndarray | None) -> np.ndarray:
    """Return a picture of regions.

    Parameters
    ----------
    labels : numpy.ndarray
        int ``(Y, X)``, 1..n.
    colors : numpy.ndarray
        uint8 ``(n, 4)``, with opacity.
    borders : numpy.ndarray or None
        ``(Y, X)`` bool: only these pixels are drawn; all where it is None.

    Returns
    -------
    numpy.ndarray
        uint8 ``(Y, X, 4)``, transparent where nothing is drawn.
    """
    if borders is None:
        filled: np.ndarray = colors[labels - 1]
        return filled
    picture = np.zeros((*labels.shape, 4), dtype=np.uint8)
    picture[borders] = colors[labels[borders] - 1]
    return picture
