"""Packed neurites of varied calibre: the cells of a phantom and the membranes between them.

Neurites are chains of balls along wandering curves, thick ones placed first and thin ones
into the gaps. The cells are the power diagram of the balls, taken in warped coordinates so
that membranes are curved. What lies inside a cell, and how it looks, is not known here.

The power diagram is that of Aurenhammer (SIAM J. Comput. 16, 1987): a ball with centre ``p``
and radius ``r`` claims the positions where ``|x - p|^2 - r^2`` is smallest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from napari_regcon.data.phantom.fields import SmoothField

_NEIGHBOURS = 8
"""Balls looked at per position; enough to meet a second cell wherever a membrane is near."""


@dataclass(frozen=True, eq=False)
class Neurites:
    """Balls along curves, in warped nanometres.

    Parameters
    ----------
    centres_nm : numpy.ndarray
        ``(N, 3)`` positions, in the order Z, Y, X, those of one neurite in sequence.
    radii_nm : numpy.ndarray
        ``(N,)``.
    ids : numpy.ndarray
        ``(N,)`` int32, which neurite a ball belongs to.
    """

    centres_nm: np.ndarray
    radii_nm: np.ndarray
    ids: np.ndarray


@dataclass(frozen=True, eq=False)
class Warp:
    """A smooth displacement of space, plus a shift of each section.

    Parameters
    ----------
    displacements : list of tuple of (SmoothField, float)
        Per spatial axis, fields and their amplitudes in nm.
    shifts_nm : numpy.ndarray
        ``(Z, 2)`` shift of each section along Y and X.
    voxel_size_nm : tuple of float
        Voxel size along Z, Y, X.
    """

    displacements: list[list[tuple[SmoothField, float]]]
    shifts_nm: np.ndarray
    voxel_size_nm: tuple[float, float, float]

    def grid(self, start: tuple[int, ...], stop: tuple[int, ...]) -> list[np.ndarray]:
        """Return the warped Z, Y, X positions (nm) of a box of voxels, float32."""
        at = [
            (np.arange(a, b, dtype=np.float32) + 0.5) * v
            for a, b, v in zip(start, stop, self.voxel_size_nm, strict=True)
        ]
        warped = []
        for axis, parts in enumerate(self.displacements):
            shape = [-1 if axis == i else 1 for i in range(3)]
            value = sum(amplitude * field.grid(*at) for field, amplitude in parts)
            warped.append(value + at[axis].reshape(shape))
        for axis in (1, 2):
            warped[axis] += self.shifts_nm[start[0] : stop[0], axis - 1, None, None]
        return warped

    def invert(self, warped_nm: np.ndarray) -> np.ndarray:
        """Return the voxel indices (float, ``(N, 3)``) of warped positions, approximately."""
        voxel = np.asarray(self.voxel_size_nm)
        position = warped_nm
        for _ in range(4):
            section = np.clip(position[:, 0] / voxel[0], 0, len(self.shifts_nm) - 1).astype(int)
            moved = np.stack(
                [sum(a * f.at(position) for f, a in parts) for parts in self.displacements], axis=1
            )
            moved[:, 1:] += self.shifts_nm[section]
            position = warped_nm - moved
        index: np.ndarray = position / voxel - 0.5
        return index


@dataclass(frozen=True, eq=False)
class Cells:
    """Which cell each voxel is in, and how far from the membrane.

    Parameters
    ----------
    ids : numpy.ndarray
        ``(Z, Y, X)`` int32, index of the neurite.
    depth_nm : numpy.ndarray
        ``(Z, Y, X)`` float32, distance from the middle of the nearest membrane pair.
    tilt : numpy.ndarray
        ``(Z, Y, X)`` float32 in [0, 1]: 0 where that membrane stands upright in the section,
        1 where it lies flat in it.
    """

    ids: np.ndarray
    depth_nm: np.ndarray
    tilt: np.ndarray


def draw_warp(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    voxel_size_nm: tuple[float, float, float],
    *,
    waviness: float,
    jitter_px: float,
) -> Warp:
    """Draw the displacement that makes flat facets into curved membranes.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    shape : tuple of int
        Voxels along Z, Y, X.
    voxel_size_nm : tuple of float
        Voxel size along Z, Y, X.
    waviness : float
        1 for the undulation of ordinary neuropil, 0 for flat membranes.
    jitter_px : float
        Standard deviation of the misalignment of neighbouring sections.
    """
    extent = [n * v for n, v in zip(shape, voxel_size_nm, strict=True)]
    scales = ((300.0, 50.0 * waviness), (110.0, 13.0 * waviness))
    displacements = [
        [(SmoothField.draw(rng, extent, spacing), amplitude) for spacing, amplitude in scales]
        for _ in range(3)
    ]
    shifts = rng.normal(0.0, jitter_px, (shape[0], 2)) * np.asarray(voxel_size_nm[1:])
    return Warp(displacements, shifts.astype(np.float32), voxel_size_nm)


def grow_neurites(
    rng: np.random.Generator,
    extent_nm: tuple[float, ...],
    *,
    radius_nm: float,
    calibre_spread: float,
) -> Neurites:
    """Pack neurites into a region, thick ones first, until few gaps are left.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    extent_nm : tuple of float
        Size of the region; neurites also fill a margin around it, so that it has no edge.
    radius_nm : float
        Median radius.
    calibre_spread : float
        Standard deviation of the logarithm of the radius.
    """
    largest = radius_nm * min(4.0, float(np.exp(2.2 * calibre_spread)))
    margin = 1.5 * largest
    region = np.asarray(extent_nm) + 2 * margin
    n_tries = int(6.0 * region.prod() / (np.pi * radius_nm**2 * 8.0 * radius_nm)) + 20
    radii = radius_nm * np.exp(rng.normal(0.0, calibre_spread, n_tries))
    radii = np.sort(np.clip(radii, radius_nm / 4.0, largest))[::-1]
    occupied = _Occupancy(region, cell_nm=max(radius_nm / 3.0, 20.0))
    kept: list[tuple[np.ndarray, np.ndarray]] = []
    for radius in radii:
        start = rng.uniform(0.0, region)
        if occupied.is_taken(start) or not occupied.free(start[None], np.array([radius]))[0]:
            continue
        centres, widths = _wander(rng, start, radius)
        free = occupied.free(centres, widths)
        middle = len(free) // 2
        if not free[middle]:
            continue
        blocked = np.flatnonzero(~free)
        first = blocked[blocked < middle].max(initial=-1) + 1
        last = blocked[blocked > middle].min(initial=len(free))
        kept.append((centres[first:last], widths[first:last]))
        occupied.fill(*kept[-1])
    ids = np.repeat(np.arange(len(kept), dtype=np.int32), [len(w) for _, w in kept])
    centres = np.concatenate([c for c, _ in kept]) - margin
    return Neurites(centres, np.concatenate([w for _, w in kept]), ids)


def _wander(
    rng: np.random.Generator, start_nm: np.ndarray, radius_nm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the balls of one neurite that wanders both ways from a place."""
    step = 0.7 * radius_nm
    half = int(rng.uniform(4, 18))
    turns = rng.normal(0.0, 0.28, (2 * half, 3)).cumsum(0)
    heading = rng.normal(0.0, 1.0, 3)
    heading = heading / np.linalg.norm(heading) + turns - turns[half]
    heading /= np.linalg.norm(heading, axis=1, keepdims=True)
    path = np.concatenate([np.zeros((1, 3)), (step * heading).cumsum(0)])
    centres = path - path[half] + start_nm
    swelling = np.convolve(rng.normal(0.0, 0.35, len(path) + 4), np.ones(5) / 5, mode="valid")
    return centres, radius_nm * np.exp(swelling)


_PROBES = np.concatenate([np.zeros((1, 3)), np.eye(3), -np.eye(3)])
"""Where a ball is looked at: its middle and six places around it."""


class _Occupancy:
    """A coarse grid that remembers where balls are already."""

    def __init__(self, region_nm: np.ndarray, *, cell_nm: float) -> None:
        self._cell_nm = cell_nm
        self._taken = np.zeros(np.ceil(region_nm / cell_nm).astype(int), dtype=bool)
        self._last = np.asarray(self._taken.shape) - 1

    def is_taken(self, position_nm: np.ndarray) -> bool:
        """Return whether a position in the region lies in a ball: the quick part of ``free``."""
        return bool(self._taken[tuple(int(p // self._cell_nm) for p in position_nm.tolist())])

    def free(self, centres_nm: np.ndarray, radii_nm: np.ndarray) -> np.ndarray:
        """Return which balls lie inside the region and touch nothing much."""
        probes = centres_nm[:, None] + 0.8 * radii_nm[:, None, None] * _PROBES
        inside = ((centres_nm >= 0) & (centres_nm < (self._last + 1) * self._cell_nm)).all(1)
        index = (probes // self._cell_nm).clip(0, self._last).astype(int)
        blocked = self._taken[index[..., 0], index[..., 1], index[..., 2]].any(1)
        free: np.ndarray = inside & ~blocked
        return free

    def fill(self, centres_nm: np.ndarray, radii_nm: np.ndarray) -> None:
        """Mark the balls of a neurite as taken."""
        reach = int(np.ceil(radii_nm.max() / self._cell_nm))
        across = np.arange(-reach, reach + 1) ** 2
        squared = across[:, None, None] + across[:, None] + across
        distance_nm = np.sqrt(squared) * self._cell_nm
        first = (centres_nm // self._cell_nm).astype(int) - reach
        for start, radius in zip(first.tolist(), radii_nm.tolist(), strict=True):
            taken = self._taken[tuple(slice(max(0, i), i + 2 * reach + 1) for i in start)]
            # What of the ball lies in the region.
            skipped = [max(0, -i) for i in start]
            part = tuple(slice(i, i + n) for i, n in zip(skipped, taken.shape, strict=True))
            taken |= distance_nm[part] <= radius


def partition(neurites: Neurites, warp: Warp, shape: tuple[int, int, int]) -> Cells:
    """Return which cell each voxel is in, and its distance from the membrane.

    The two nearest cells are looked up on every few rows and columns; the distance from the
    plane between their balls is then exact for every voxel.

    Parameters
    ----------
    neurites : Neurites
        The packed balls.
    warp : Warp
        Maps voxels to the coordinates of the balls.
    shape : tuple of int
        Voxels along Z, Y, X.
    """
    ids = np.empty(shape, dtype=np.int32)
    depth = np.empty(shape, dtype=np.float32)
    tilt = np.empty(shape, dtype=np.float32)
    squared = neurites.radii_nm**2
    # A fourth coordinate turns the nearest ball by power into the nearest point.
    lift = np.sqrt(squared.max() - squared)
    tree = cKDTree(np.column_stack([neurites.centres_nm, lift]), leafsize=32)
    step = [int(np.clip(round(18.0 / v), 1, 4)) for v in warp.voxel_size_nm[1:]]
    centres = neurites.centres_nm.astype(np.float32)
    power = squared.astype(np.float32)
    for z in range(shape[0]):
        position = np.stack([p[0] for p in warp.grid((z, 0, 0), (z + 1, *shape[1:]))], -1)
        own, other = _two_nearest(tree, neurites.ids, position[:: step[0], :: step[1]])
        own, other = (i.repeat(step[0], 0).repeat(step[1], 1) for i in (own, other))
        own, other = (i[: shape[1], : shape[2]] for i in (own, other))
        between = centres[other] - centres[own]
        length = np.linalg.norm(between, axis=-1)
        to_own = ((position - centres[own]) ** 2).sum(-1) - power[own]
        to_other = ((position - centres[other]) ** 2).sum(-1) - power[other]
        signed = (to_other - to_own) / (2 * length)
        ids[z] = neurites.ids[np.where(signed < 0, other, own)]
        depth[z] = np.abs(signed)
        tilt[z] = np.abs(between[..., 0]) / length
    return Cells(ids, depth, tilt)


def _two_nearest(
    tree: cKDTree, ids: np.ndarray, position_nm: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest ball, and the nearest one of another neurite, for each position."""
    lifted = np.concatenate([position_nm, np.zeros((*position_nm.shape[:-1], 1))], axis=-1)
    k = min(_NEIGHBOURS, tree.n)
    _, near = tree.query(lifted, k=k, workers=-1)
    differs = ids[near] != ids[near[..., :1]]
    # Deep inside a cell no other is among them; the farthest then gives a distance, not too small.
    rank = np.where(differs.any(-1), differs.argmax(-1), k - 1)
    other = np.take_along_axis(near, rank[..., None], axis=-1)[..., 0]
    return near[..., 0], other
