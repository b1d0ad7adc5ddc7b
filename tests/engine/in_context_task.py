"""Bright and dark squares, told apart by example only."""

import numpy as np

GREY_OF_CLASS = np.array([0.5, 0.85, 0.15])
"""Background, bright, dark."""


def squares(shape, rng, n=8):
    """Return a noisy image of about [0, 255] and its classes: 0, 1 = bright, 2 = dark."""
    truth = np.zeros(shape, np.uint8)
    for _ in range(n):
        size = rng.integers(5, 14, 2)
        corner = [rng.integers(0, n - s) for n, s in zip(shape, size, strict=True)]
        box = tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))
        truth[box] = rng.integers(1, 3)
    image = GREY_OF_CLASS[truth] + rng.normal(0, 0.08, shape)
    return (255 * image).clip(0, 255).astype(np.uint8), truth
