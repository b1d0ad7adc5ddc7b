"""Robust intensity normalisation of a volume, from a sample of its blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_regcon.types import Volume


@dataclass(frozen=True)
class Normalization:
    """Maps raw intensities to about [0, 1].

    Parameters
    ----------
    low, high : tuple of float
        Raw values that become 0 and 1, one per channel.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]

    def __call__(self, raw: np.ndarray, *, channels_last: bool = False) -> np.ndarray:
        """Return float32 values in [-0.5, 1.5]; NaN, infinities and constants become 0."""
        low = np.asarray(self.low if channels_last else self.low[0], np.float32)
        high = np.asarray(self.high if channels_last else self.high[0], np.float32)
        span = np.where(high > low, high - low, np.inf).astype(np.float32)
        values = (raw.astype(np.float32) - low) / span
        values[~np.isfinite(values)] = 0
        return np.clip(values, -0.5, 1.5)


def estimate_normalization(
    volume: Volume,
    *,
    percentiles: tuple[float, float] = (0.5, 99.5),
    n_blocks: int = 32,
    seed: int = 0,
) -> Normalization:
    """Estimate the normalisation of a volume from evenly spread blocks."""
    rng = np.random.default_rng(seed)
    shape = volume.label_shape
    side = [min(n, 128 if axis in "YX" else 1) for n, axis in zip(shape, volume.label_axes, strict=True)]
    samples = []
    for _ in range(n_blocks):
        start = [int(rng.integers(0, n - s + 1)) for n, s in zip(shape, side, strict=True)]
        block = np.asarray(volume.data[tuple(slice(a, a + s) for a, s in zip(start, side, strict=True))])
        samples.append(block.reshape(-1, volume.n_channels).astype(np.float64))
    values = np.concatenate(samples)
    values = values[np.isfinite(values).all(1)]
    if not len(values):
        return Normalization((0.0,) * volume.n_channels, (0.0,) * volume.n_channels)
    low, high = np.percentile(values, percentiles)
    return Normalization((float(low),) * volume.n_channels, (float(high),) * volume.n_channels)
