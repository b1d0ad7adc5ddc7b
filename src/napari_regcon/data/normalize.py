"""Intensity normalisation of a volume, estimated from a sample of blocks.

Methods see intensities of about [0, 1] whatever the microscope stored. The estimate reads a
bounded number of pixels however large the volume is, always the same ones. It does not know
what the pixels show.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_regcon.types import Volume

BLOCK_PX = 256
"""Side of a sampled block, in pixels of one plane."""

MOST_PIXELS = 500_000
"""Percentiles are taken from about this many pixels per channel."""

_LARGEST = 1e37
"""Intensities beyond are cut, so that differences of them stay finite in float32."""


@dataclass(frozen=True)
class Normalization:
    """A linear map of raw intensities to about [0, 1], one per channel.

    Parameters
    ----------
    low, high : tuple of float
        Intensities that become 0 and 1, one per channel. Equal values stand for a constant
        channel.

    Raises
    ------
    ValueError
        If the two differ in length or are empty.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.low or len(self.low) != len(self.high):
            raise ValueError(f"low {self.low} and high {self.high} need one value per channel")

    def __call__(self, raw: np.ndarray, *, channels_last: bool = False) -> np.ndarray:
        """Normalise raw intensities.

        Parameters
        ----------
        raw : numpy.ndarray
            Any real type.
        channels_last : bool
            Whether the last axis is one of channels.

        Returns
        -------
        numpy.ndarray
            float32 of the same shape, cut to [-0.5, 1.5]; 0 where ``raw`` is NaN or infinite
            and where the channel is constant.

        Raises
        ------
        InputError
            If the number of channels is another one than this was estimated for.
        """
        n_channels = raw.shape[-1] if channels_last else 1
        if n_channels != len(self.low):
            raise InputError(
                f"The image has {n_channels} channel(s), but its normalisation was estimated "
                f"for {len(self.low)}."
            )
        # float32 holds the small types exactly; large integers need more digits.
        exact = raw.dtype.itemsize <= 2 or raw.dtype == np.float32
        kind = np.dtype(np.float32 if exact else np.float64)
        low, high = np.array(self.low, kind), np.array(self.high, kind)
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            span = high - low
            varies = np.isfinite(span) & (span > 0)
            values = np.subtract(raw, low, dtype=kind)
            values /= np.where(varies, span, 1)
            np.clip(values, -0.5, 1.5, out=values)
        if not varies.all():
            values *= varies
        if raw.dtype.kind == "f":
            values[~np.isfinite(raw)] = 0
        normalised: np.ndarray = values.astype(np.float32, copy=False)
        return normalised


def estimate_normalization(
    volume: Volume,
    *,
    percentiles: tuple[float, float] = (0.5, 99.5),
    n_blocks: int = 32,
    seed: int = 0,
) -> Normalization:
    """Estimate the normalisation of a volume from a sample of blocks.

    Every channel gets its own range, for colours too: a method then sees the same image
    whatever the white balance was.

    Parameters
    ----------
    volume : Volume
        The image; at most ``n_blocks`` blocks of 256 x 256 px are read at first, and up to
        four times as many where these are all of one value.
    percentiles : tuple of float
        Percentiles of the finite intensities that become 0 and 1. Where one falls on the very
        smallest or largest value, as in volumes with black borders or saturated parts, pixels
        of exactly that value are left out.
    n_blocks : int
        Number of blocks.
    seed : int
        Places the blocks; same seed, same result.

    Returns
    -------
    Normalization
        Hashable; one low and high per channel.
    """
    rng = np.random.default_rng(seed)
    for round_blocks in (n_blocks, 4 * n_blocks):
        sample = np.concatenate(list(_blocks(volume, round_blocks, rng)))
        sample = sample[:: -(-len(sample) // MOST_PIXELS)]
        ranges = [_range(channel, percentiles) for channel in sample.T]
        if any(low < high for low, high in ranges):
            break
    return Normalization(tuple(low for low, _ in ranges), tuple(high for _, high in ranges))


def _blocks(volume: Volume, n_blocks: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Read blocks spread over a volume, or all of a small one, each ``(pixels, channels)``."""
    shape = volume.label_shape
    if math.prod(shape) <= n_blocks * BLOCK_PX**2:
        yield np.asarray(volume.data[...]).reshape(-1, volume.n_channels)
        return
    sides = [1] * (len(shape) - 2) + [min(BLOCK_PX, n) for n in shape[-2:]]
    places = np.array([n - side + 1 for n, side in zip(shape, sides, strict=True)])
    # Latin hypercube: along every axis, each of `n_blocks` parts holds one block.
    ranks = rng.permuted(np.tile(np.arange(n_blocks), (len(shape), 1)), axis=1).T
    starts = ((ranks + rng.random(ranks.shape)) / n_blocks * places).astype(int)
    for start in np.unique(starts, axis=0):  # sorted, in the order of the file
        box = tuple(slice(a, a + side) for a, side in zip(start, sides, strict=True))
        yield np.asarray(volume.data[box]).reshape(-1, volume.n_channels)


def _range(values: np.ndarray, percentiles: tuple[float, float]) -> tuple[float, float]:
    """Return the intensities of one channel that become 0 and 1."""
    with np.errstate(over="ignore"):
        values = values.astype(np.float64)
    values = np.clip(values[np.isfinite(values)], -_LARGEST, _LARGEST)
    if not values.size:
        return 0.0, 0.0
    least, most = values.min(), values.max()
    low, high = np.percentile(values, percentiles)
    if low == least:
        values = values[values > least]
    if high == most:
        values = values[values < most]
    if values.size and (low == least or high == most):
        low, high = np.percentile(values, percentiles)
    # Where nearly everything has one value, the few others still have to be told apart.
    return (float(low), float(high)) if low < high else (float(least), float(most))
