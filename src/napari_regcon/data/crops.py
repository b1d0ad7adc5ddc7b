"""Crops of a plane through affine maps, and changes of intensity, for training.

Everything is drawn from a random generator of the caller. It does not know what a crop is for.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def draw_centre(shape: tuple[int, ...], side: float, rng: np.random.Generator) -> np.ndarray:
    """Draw the centre of a crop of this side, inside the plane where it fits."""
    half = np.minimum(side / 2, np.array(shape) / 2)
    return np.asarray(rng.uniform(half, np.array(shape) - half))


def draw_matrix(zoom: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a 2 x 2 matrix from crop pixels to source pixels: zoom, stretch, turn, flip."""
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    stretch = np.exp(rng.uniform(-0.15, 0.15))
    flip = rng.choice([-1.0, 1.0])
    return np.asarray(zoom * turn @ np.diag([stretch, flip / stretch]))


def sample_crop(
    image: np.ndarray, centre: np.ndarray, matrix: np.ndarray, size: int, order: int
) -> np.ndarray:
    """Sample a ``(size, size)`` crop through an affine map, mirrored outside the plane."""
    zoom = float(np.sqrt(abs(np.linalg.det(matrix))))
    reach = int(np.ceil(size * zoom * 0.9)) + 4
    index = [
        np.clip(np.arange(int(c) - reach, int(c) + reach), -n + 1, 2 * n - 2)
        for c, n in zip(centre, image.shape, strict=True)
    ]
    index = [
        np.where(np.abs(i) >= n, 2 * (n - 1) - np.abs(i), np.abs(i))
        for i, n in zip(index, image.shape, strict=True)
    ]
    patch = image[np.ix_(*index)]
    if order and zoom > 1:
        patch = ndimage.gaussian_filter(patch, 0.4 * zoom)
    local = np.array([c - int(c) + reach for c in centre])
    offset = local - matrix @ np.full(2, (size - 1) / 2)
    crop: np.ndarray = ndimage.affine_transform(
        patch, matrix, offset, (size, size), order=order, mode="mirror"
    )
    return crop


def coordinates_between(
    matrices: list[np.ndarray], centres: list[np.ndarray], size: int
) -> np.ndarray:
    """Map each pixel of the second view to normalised coordinates in the first."""
    middle = (size - 1) / 2
    pixels = np.stack(np.meshgrid(np.arange(size), np.arange(size), indexing="ij"), -1) - middle
    source = pixels @ matrices[1].T + centres[1]
    first = (source - centres[0]) @ np.linalg.inv(matrices[0]).T + middle
    normalised = (2 * first + 1) / size - 1
    return np.ascontiguousarray(normalised[..., ::-1], dtype=np.float32)


def draw_intensity(rng: np.random.Generator) -> tuple[float, float, float, bool]:
    """Draw gamma, contrast, brightness and inversion."""
    return (
        float(np.exp(rng.uniform(-0.5, 0.5))),
        float(np.exp(rng.uniform(-0.4, 0.3))),
        float(rng.uniform(-0.15, 0.15)),
        bool(rng.random() < 0.1),
    )


def recolour(image: np.ndarray, change: tuple[float, float, float, bool]) -> np.ndarray:
    """Apply gamma, inversion, contrast and brightness to a crop of about [0, 1]."""
    gamma, contrast, brightness, inverted = change
    image = np.clip(image, 0, 1) ** gamma
    image = 1 - image if inverted else image
    return (image - 0.5) * contrast + 0.5 + brightness


def draw_loss(size: int, share: float, rng: np.random.Generator) -> np.ndarray | None:
    """Draw which side of a crop ``(size, size)`` a fold or a tear takes; None but for a share.

    A partly missing section, as in Lee et al. 2017 (arXiv 1706.00120).
    """
    if rng.random() >= share:
        return None
    angle, offset = rng.uniform(0, 2 * np.pi), rng.uniform(-0.4, 0.4) * size
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    lost: np.ndarray = y * np.sin(angle) + x * np.cos(angle) > abs(offset)
    return lost


def degrade(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add what differs from picture to picture to ``(..., Y, X)``: blur, noise, a slope."""
    if rng.random() < 0.3:
        image = ndimage.gaussian_filter(image, rng.uniform(0.3, 1.2), axes=(-2, -1))
    if rng.random() < 0.5:
        image = image + rng.normal(0, rng.uniform(0.01, 0.12), image.shape)
    if rng.random() < 0.3:
        slope = rng.normal(0, 0.12, 2)
        y, x = np.mgrid[-0.5 : 0.5 : image.shape[-2] * 1j, -0.5 : 0.5 : image.shape[-1] * 1j]
        image = image + slope[0] * y + slope[1] * x
    return image.astype(np.float32)
