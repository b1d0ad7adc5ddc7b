"""A small task that any method should solve: bright squares in noise."""

import numpy as np

from napari_regcon.data.support import SupportSet
from napari_regcon.types import Volume


def blobs(shape, seed=0):
    """An image with bright, noisy squares, and where they are (1) and are not (0)."""
    rng = np.random.default_rng(seed)
    truth = np.zeros(shape, dtype=np.uint8)
    for _ in range(6 * max(1, shape[0] // 40) if len(shape) == 3 else 6):
        corner = [rng.integers(0, max(1, n - 14)) for n in shape]
        truth[tuple(slice(c, c + 14) for c in corner)] = 1
    image = 80 + 70 * truth + rng.normal(0, 12, shape)
    return image.clip(0, 255).astype(np.uint8), truth


def strokes(truth, share=0.05, seed=1):
    chosen = np.random.default_rng(seed).random(truth.shape) < share
    return np.where(chosen, truth + 1, 0).astype(np.uint8)


def support_of(image, labels, axes, classes=("background", "blob")):
    support = SupportSet(classes)
    support.add(Volume(image, axes), labels)
    return support


def dice(found, truth):
    return 2 * (found & truth).sum() / (found.sum() + truth.sum())
