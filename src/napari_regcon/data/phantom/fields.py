"""Smooth random fields: the raw material of every phantom.

A field is white noise on a coarse lattice, interpolated by cubic B-splines. It can be evaluated
on any regular grid (axis by axis, so a full volume costs milliseconds) or at scattered points,
always with the same values. It does not know what it is used for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Sequence

# Mean over all positions of the sum of squared weights of a cubic B-spline, in one dimension.
_MEAN_SQUARED_WEIGHT = 151.0 / 315.0


@dataclass(frozen=True, eq=False)
class SmoothField:
    """A random function of position with mean 0, standard deviation 1 and a length scale.

    Parameters
    ----------
    coefficients : numpy.ndarray
        float32, B-spline coefficients on the lattice, one axis per spatial axis.
    spacing_nm : tuple of float
        Distance of the lattice points along each axis; structures are about twice as large.
    """

    coefficients: np.ndarray
    spacing_nm: tuple[float, ...]

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        extent_nm: Sequence[float] | np.ndarray,
        spacing_nm: float | Sequence[float],
    ) -> SmoothField:
        """Draw a field over ``[0, extent]`` along each axis.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of randomness.
        extent_nm : sequence of float
            Size of the region along each axis.
        spacing_nm : float or sequence of float
            Lattice spacing, the same for all axes or one each.
        """
        spacing = tuple(float(s) for s in np.broadcast_to(spacing_nm, len(extent_nm)))
        shape = [int(np.ceil(e / s)) + 4 for e, s in zip(extent_nm, spacing, strict=True)]
        gain = _MEAN_SQUARED_WEIGHT ** (-len(shape) / 2)
        noise = rng.standard_normal(shape, dtype=np.float32) * np.float32(gain)
        return cls(noise, spacing)

    def grid(self, *positions_nm: np.ndarray) -> np.ndarray:
        """Return float32 values on the grid spanned by one vector of positions per axis."""
        values = self.coefficients
        axes = range(values.ndim)[::-1]
        # Axes that shrink come first, so that intermediate results stay small.
        for axis in sorted(axes, key=lambda a: len(positions_nm[a]) >= values.shape[a]):
            values = _interpolate(values, axis, positions_nm[axis] / self.spacing_nm[axis] + 1.0)
        return np.ascontiguousarray(values)

    def at(self, points_nm: np.ndarray) -> np.ndarray:
        """Return values at points ``(N, ndim)``; outside the region, those of its edge."""
        index = points_nm.T / np.asarray(self.spacing_nm)[:, None] + 1.0
        values: np.ndarray = ndimage.map_coordinates(
            self.coefficients, index, order=3, prefilter=False, mode="nearest"
        )
        return values


def _interpolate(values: np.ndarray, axis: int, index: np.ndarray) -> np.ndarray:
    """Evaluate cubic B-splines along one axis at fractional indices.

    Four taps by hand instead of a matrix product: the result then does not depend on how many
    threads a linear algebra library happens to use.
    """
    base = np.clip(np.floor(index).astype(int), 1, values.shape[axis] - 3)
    distance = np.abs(index[:, None] - (base[:, None] + np.arange(-1, 3)))
    inner = 2.0 / 3.0 - distance**2 * (1.0 - distance / 2.0)
    outer = np.clip(2.0 - distance, 0.0, None) ** 3 / 6.0
    weights = np.where(distance < 1.0, inner, outer).astype(np.float32)
    column = [-1 if axis == a else 1 for a in range(values.ndim)]
    result: np.ndarray = np.take(values, base - 1, axis) * weights[:, 0].reshape(column)
    for tap in (1, 2, 3):
        result += np.take(values, base - 1 + tap, axis) * weights[:, tap].reshape(column)
    return result
