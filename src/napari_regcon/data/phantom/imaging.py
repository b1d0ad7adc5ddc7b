"""How a microscope sees a phantom: blur, noise, uneven light and the usual accidents.

Works section by section on brightness values in [0, 1]. It does not know what is depicted,
and never moves anything, so the truth stays true.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_regcon.data.phantom.fields import SmoothField

if TYPE_CHECKING:
    from napari_regcon.data.phantom.config import PhantomConfig


def image(rng: np.random.Generator, brightness: np.ndarray, config: PhantomConfig) -> np.ndarray:
    """Return the 8-bit image of a scene.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    brightness : numpy.ndarray
        ``(Z, Y, X)`` float32, 0 = black, 1 = white. Overwritten.
    config : PhantomConfig
        Blur, noise, contrast and how often something goes wrong.

    Returns
    -------
    numpy.ndarray
        ``(Z, Y, X)`` uint8.
    """
    sigma = (config.blur_z_px, config.blur_px, config.blur_px)
    ndimage.gaussian_filter(brightness, sigma, output=brightness)
    result = np.empty(brightness.shape, dtype=np.uint8)
    light = SmoothField.draw(rng, brightness.shape[1:], max(brightness.shape[1:]) / 2.0)
    gain = 1.0 + config.unevenness * light.grid(*(np.arange(n) for n in brightness.shape[1:]))
    for z, section in enumerate(brightness):
        result[z] = _expose(rng, section * gain, config)
    return result


def _expose(rng: np.random.Generator, section: np.ndarray, config: PhantomConfig) -> np.ndarray:
    """Return one section as the detector records it."""
    accident = rng.random() < config.artefacts_per_section
    if accident:
        section = _ACCIDENTS[rng.integers(len(_ACCIDENTS))](rng, section)
    section = section + _noise(rng, section, config)
    level = rng.normal(0.0, config.section_variation)
    contrast = config.contrast * (1.0 + 2.0 * rng.normal(0.0, config.section_variation))
    grey = 0.52 + level + contrast * (section - 0.6)
    return np.clip(np.rint(255.0 * grey), 0, 255).astype(np.uint8)


def _noise(rng: np.random.Generator, section: np.ndarray, config: PhantomConfig) -> np.ndarray:
    """Return shot noise (its variance follows the signal) plus a little scan-line noise."""
    white = rng.standard_normal(section.shape, dtype=np.float32)
    if config.noise_grain_px > 0:
        white = ndimage.gaussian_filter(white, config.noise_grain_px, mode="wrap")
        white /= white.std() + 1e-6
    shot = config.noise * np.sqrt(np.clip(section, 0.05, 1.2) / 0.6)
    rows = rng.normal(0.0, 0.06 * config.noise, (section.shape[0], 1)).astype(np.float32)
    noise: np.ndarray = white * shot + rows
    return noise


def _along(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the distance (px) from a random, slightly bent line, and the place along it."""
    y, x = np.indices(shape, dtype=np.float32)
    angle = rng.uniform(0.0, np.pi)
    y0, x0 = rng.uniform(0.15, 0.85, 2) * shape
    along = (x - x0) * np.cos(angle) + (y - y0) * np.sin(angle)
    across = (y - y0) * np.cos(angle) - (x - x0) * np.sin(angle)
    size = float(max(shape))
    bend = rng.normal(0.0, 0.03) * size * np.sin(along / size * np.pi * rng.uniform(0.5, 1.5))
    return across - bend, along


def _knife_mark(rng: np.random.Generator, section: np.ndarray) -> np.ndarray:
    """Scratch the section along a straight line."""
    across, along = _along(rng, section.shape)
    strength = rng.uniform(0.12, 0.3) * rng.choice([-1.0, 1.0])
    ragged = 1.0 + 0.5 * np.sin(along / rng.uniform(5.0, 15.0))
    mark = np.exp(-((across / rng.uniform(0.7, 1.8)) ** 2)) * ragged
    return section + np.float32(strength) * mark + 0.03 * (across > 0)


def _fold(rng: np.random.Generator, section: np.ndarray) -> np.ndarray:
    """Lay a fold across the section: the doubled tissue is dark."""
    across, _ = _along(rng, section.shape)
    half = rng.uniform(0.01, 0.03) * max(section.shape)
    dark = 1.0 / (1.0 + np.exp((np.abs(across) - half) / 1.5))
    edge = np.exp(-(((np.abs(across) - half - 3.0) / 2.5) ** 2))
    folded: np.ndarray = section * (1.0 - 0.65 * dark) + 0.08 * edge
    return folded


def _charge(rng: np.random.Generator, section: np.ndarray) -> np.ndarray:
    """Let a spot charge up: bright, washed out, with a dark tail along the scan lines."""
    y, x = np.indices(section.shape, dtype=np.float32)
    y0, x0 = rng.uniform(0.1, 0.9, 2) * section.shape
    reach = rng.uniform(0.06, 0.15) * max(section.shape)
    glow = np.exp(-((y - y0) ** 2 + 0.4 * (x - x0) ** 2) / (2 * reach**2))
    tail = np.exp(-((y - y0) ** 2) / (2 * (0.4 * reach) ** 2)) * (x > x0)
    charged: np.ndarray = section + 0.5 * glow * (1.05 - section) - 0.1 * tail * (1.0 - glow)
    return charged


def _out_of_focus(rng: np.random.Generator, section: np.ndarray) -> np.ndarray:
    """Record the section out of focus."""
    blurred: np.ndarray = ndimage.gaussian_filter(section, rng.uniform(1.2, 2.2))
    return blurred


def _pale(rng: np.random.Generator, section: np.ndarray) -> np.ndarray:
    """Record a section that is too thin: little contrast."""
    return 0.62 + rng.uniform(0.35, 0.6) * (section - 0.62)


def _dirt(rng: np.random.Generator, section: np.ndarray) -> np.ndarray:
    """Drop a few specks of stain precipitate on the section."""
    section = section.copy()
    y, x = np.indices(section.shape, dtype=np.float32)
    for _ in range(rng.integers(2, 7)):
        y0, x0 = rng.uniform(0.0, 1.0, 2) * section.shape
        outside = np.hypot(y - y0, x - x0) - rng.uniform(1.0, 4.0)
        section += (0.05 - section) * np.clip(0.5 - outside / 2.0, 0.0, 1.0)
    return section


_ACCIDENTS = (_knife_mark, _knife_mark, _fold, _charge, _out_of_focus, _pale, _dirt)
