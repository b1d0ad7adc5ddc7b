"""A phantom under construction: the cells, and what has been drawn into them so far.

Organelles of every kind draw into a :class:`Scene`. It holds brightness before imaging and the
truth, and offers what several of them need. It does not know which organelles there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_regcon.data.phantom.fields import SmoothField

if TYPE_CHECKING:
    from napari_regcon.data.phantom.cells import Cells, Neurites, Warp
    from napari_regcon.data.phantom.config import PhantomConfig

BACKGROUND, MEMBRANE, MITOCHONDRION, VESICLE = 1, 2, 3, 4
"""Label values of a phantom's truth."""


@dataclass(eq=False)
class Scene:
    """A phantom under construction.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    config : PhantomConfig
        How dense and how dark things are.
    neurites, warp, cells
        The cells to fill.
    brightness : numpy.ndarray
        ``(Z, Y, X)`` float32, 0 = black (much stain), 1 = white (none).
    labels : numpy.ndarray
        ``(Z, Y, X)`` uint8 truth.
    """

    rng: np.random.Generator
    config: PhantomConfig
    neurites: Neurites
    warp: Warp
    cells: Cells
    brightness: np.ndarray
    labels: np.ndarray

    @property
    def voxel_size_nm(self) -> tuple[float, float, float]:
        """Voxel size along Z, Y, X."""
        return self.warp.voxel_size_nm

    @property
    def volume_um3(self) -> float:
        """Volume of the tissue."""
        return self.labels.size * float(np.prod(self.voxel_size_nm)) * 1e-9

    def field(self, spacing_nm: float) -> np.ndarray:
        """Return a new smooth random field on all voxels."""
        shape = self.labels.shape
        extent = [n * v for n, v in zip(shape, self.voxel_size_nm, strict=True)]
        at = [(np.arange(n) + 0.5) * v for n, v in zip(shape, self.voxel_size_nm, strict=True)]
        return SmoothField.draw(self.rng, extent, spacing_nm).grid(*at)

    def is_near(self, points_nm: np.ndarray, margin_nm: float) -> np.ndarray:
        """Return which points ``(N, 3)`` lie in the volume or within a margin of it."""
        extent = np.asarray(self.labels.shape) * self.voxel_size_nm
        near: np.ndarray = np.all(
            (points_nm > -margin_nm) & (points_nm < extent + margin_nm), axis=1
        )
        return near

    def box_around(self, centre: np.ndarray, reach_nm: float) -> tuple[slice, ...]:
        """Return the voxels within a distance of a voxel index, clipped to the volume."""
        slices = []
        for c, n, v in zip(centre, self.labels.shape, self.voxel_size_nm, strict=True):
            reach = reach_nm / v
            slices.append(slice(max(0, int(c - reach)), max(0, min(n, int(c + reach) + 2))))
        return tuple(slices)


def line(distance_nm: np.ndarray, width_nm: float | np.ndarray) -> np.ndarray:
    """Return the stain of a thin sheet: 1 on it, falling off smoothly over its width."""
    stain: np.ndarray = np.exp(-((2.0 * distance_nm / width_nm) ** 2))
    return stain


def resampled(path_nm: np.ndarray, step_nm: float) -> np.ndarray:
    """Return points at equal distances along a polyline."""
    length = np.concatenate([[0.0], np.linalg.norm(np.diff(path_nm, axis=0), axis=1).cumsum()])
    at = np.linspace(0.0, length[-1], int(length[-1] / step_nm) + 2)
    return np.stack([np.interp(at, length, path_nm[:, i]) for i in range(3)], axis=1)
