"""Mitochondria: dark, bent sausages along the thicker neurites, with cristae inside.

Sizes are those of textbooks (Peters, Palay and Webster, The Fine Structure of the Nervous
System, 1991). How they are imaged is not known here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_regcon.data.phantom.fields import SmoothField
from napari_regcon.data.phantom.scene import MITOCHONDRION, line, resampled

if TYPE_CHECKING:
    from napari_regcon.data.phantom.scene import Scene


def draw_mitochondria(scene: Scene) -> None:
    """Place mitochondria along the thicker neurites."""
    rng, neurites = scene.rng, scene.neurites
    margin = 200.0
    near = scene.is_near(neurites.centres_nm, margin)
    starts = np.flatnonzero(near & (neurites.radii_nm > 110.0))
    extent = np.asarray(scene.labels.shape) * scene.voxel_size_nm
    volume = scene.volume_um3 * np.prod((extent + 2 * margin) / extent)
    wanted = min(rng.poisson(scene.config.mitochondria_per_um3 * volume), 2 * len(starts))
    if len(starts) == 0:
        return
    # Thick neurites hold more of them.
    chance = neurites.radii_nm[starts] ** 2
    taken: dict[int, list[np.ndarray]] = {}
    for start in rng.choice(starts, wanted, p=chance / chance.sum()):
        balls = np.flatnonzero(neurites.ids == neurites.ids[start])
        first = max(balls[0], start - rng.integers(0, 4))
        path = neurites.centres_nm[first : min(balls[-1], start + rng.integers(1, 5)) + 1]
        radius = float(neurites.radii_nm[start]) * rng.uniform(0.4, 0.68)
        radius = min(max(radius, 65.0), 230.0)
        slack = max(0.0, 0.9 * neurites.radii_nm[start] - radius)
        path = resampled(path, 0.4 * radius) + rng.normal(0.0, 0.35 * slack, 3)
        others = taken.setdefault(int(neurites.ids[start]), [])
        if all(cKDTree(other).query(path)[0].min() > 2.5 * radius for other in others):
            others.append(path)
            _draw_mitochondrion(scene, path, radius, int(neurites.ids[start]))


def _draw_mitochondrion(scene: Scene, path_nm: np.ndarray, radius_nm: float, cell: int) -> None:
    """Draw one mitochondrion around a path: envelope, matrix and cristae."""
    rng = scene.rng
    corners = scene.warp.invert(path_nm)
    reach = (radius_nm * 1.5 + 60.0) / np.asarray(scene.voxel_size_nm)
    low = np.clip(np.floor(corners.min(0) - reach), 0, scene.labels.shape).astype(int)
    high = np.clip(np.ceil(corners.max(0) + reach), 0, scene.labels.shape).astype(int)
    if np.any(high <= low):
        return
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    room = (scene.cells.ids[box] == cell) & (scene.cells.depth_nm[box] > 22.0)
    at = np.nonzero(room)
    grids = scene.warp.grid(tuple(low), tuple(high))
    position = np.stack([g[at] for g in grids], axis=-1)
    if len(position) == 0:
        return
    squeeze = _squeeze(rng)
    depth = radius_nm - cKDTree(path_nm @ squeeze).query(position @ squeeze)[0]
    noise = SmoothField.draw(rng, np.ptp(position, 0) + 1.0, 0.8 * radius_nm)
    origin = position.min(0)
    depth += 0.13 * radius_nm * noise.at(position - origin)
    depth = np.minimum(depth, scene.cells.depth_nm[box][at] - 22.0)
    inside = _largest(room, at, depth > 0)
    position, depth = position[inside], depth[inside]
    if len(position) == 0:
        return
    voxels = tuple(index[inside] + first for index, first in zip(at, low, strict=True))
    scene.brightness[voxels] = _stain(scene, position, depth, path_nm)
    scene.labels[voxels] = MITOCHONDRION


def _largest(room: np.ndarray, at: tuple[np.ndarray, ...], inside: np.ndarray) -> np.ndarray:
    """Return which of the voxels ``at`` belong to the largest connected part of ``inside``."""
    solid = np.zeros(room.shape, dtype=bool)
    solid[at] = inside
    parts, _ = ndimage.label(solid)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    largest: np.ndarray = inside & (parts[at] == sizes.argmax())
    return largest


def _stain(
    scene: Scene, position_nm: np.ndarray, depth_nm: np.ndarray, path_nm: np.ndarray
) -> np.ndarray:
    """Return the brightness inside a mitochondrion: double membrane, matrix, cristae."""
    rng, config = scene.rng, scene.config
    extent = np.ptp(position_nm, 0) + 1.0
    local = position_nm - position_nm.min(0)
    axis = path_nm[-1] - path_nm[0] + rng.normal(0.0, 60.0, 3)
    if rng.random() < 0.4:  # cristae along the mitochondrion instead of across
        axis = np.cross(axis, rng.normal(0.0, 1.0, 3))
    axis /= np.linalg.norm(axis)
    bend = SmoothField.draw(rng, extent, 110.0).at(local)
    patch = SmoothField.draw(rng, extent, 70.0).at(local)
    period_nm = rng.uniform(42.0, 62.0)
    wave = np.cos(2 * np.pi * (local @ axis + 30.0 * bend) / period_nm)
    lumen = np.clip(1.6 * wave - 0.5, 0.0, 1.0) * np.clip(0.75 + 0.6 * patch, 0.0, 1.3)
    walls = line(np.abs(wave) - 0.35, 0.7)
    matrix = config.mitochondrion_brightness + rng.normal(0.0, 0.05)
    brightness: np.ndarray = matrix + config.cristae_contrast * (lumen - 0.35 * walls)
    gap = line(depth_nm - 17.0, 11.0)
    brightness += 0.10 * gap
    envelope = np.maximum(line(depth_nm - 6.0, 13.0), 0.7 * line(depth_nm - 27.0, 12.0))
    target = min(0.2, 0.75 * config.mitochondrion_brightness)
    brightness += (target - brightness) * envelope
    return brightness


def _squeeze(rng: np.random.Generator) -> np.ndarray:
    """Return the matrix that flattens a round cross-section along a random direction."""
    direction = rng.normal(0.0, 1.0, 3)
    direction /= np.linalg.norm(direction)
    return np.eye(3) + (rng.uniform(1.0, 1.6) - 1.0) * np.outer(direction, direction)
