"""Synapses: a dense patch of membrane, and a cloud of vesicles in the cell on one side of it.

Sizes are those of textbooks (Peters, Palay and Webster, The Fine Structure of the Nervous
System, 1991). How they are imaged is not known here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from napari_regcon.data.phantom.scene import BACKGROUND, VESICLE, line

if TYPE_CHECKING:
    from napari_regcon.data.phantom.scene import Scene


def draw_synapses(scene: Scene) -> None:
    """Draw synapses: a dense patch of membrane, and a cloud of vesicles on one side of it."""
    rng, config = scene.rng, scene.config
    voxel = np.asarray(scene.voxel_size_nm)
    n = rng.poisson(config.synapses_per_um3 * scene.volume_um3)
    candidates = np.flatnonzero((scene.cells.depth_nm < 8.0) & (scene.cells.tilt < 0.7))
    if n == 0 or len(candidates) == 0:
        return
    sites = np.stack(np.unravel_index(rng.choice(candidates, n), scene.labels.shape), axis=1)
    clouds = []
    for site in sites:
        _thicken(scene, site)
        cell = scene.cells.ids[tuple(site)]
        spread = rng.normal(0.0, rng.uniform(80.0, 150.0), (3 * rng.poisson(150), 3))
        index = np.rint(site + spread / voxel).astype(int)
        index = index[np.all((index >= 0) & (index < scene.labels.shape), axis=1)]
        clouds.append(index[scene.cells.ids[tuple(index.T)] == cell])
    scattered = rng.integers(0, scene.labels.shape, (rng.poisson(12 * scene.volume_um3), 3))
    _draw_vesicles(scene, np.concatenate([*clouds, scattered]))


def _thicken(scene: Scene, site: np.ndarray) -> None:
    """Darken the membrane around a synapse."""
    box = scene.box_around(site, 160.0)
    grid = np.ogrid[box]
    squared = sum(
        ((g - c) * v) ** 2 for g, c, v in zip(grid, site, scene.voxel_size_nm, strict=True)
    )
    dense = 0.9 * np.exp(-squared / (2 * 65.0**2)) * line(scene.cells.depth_nm[box], 50.0)
    scene.brightness[box] += (0.12 - scene.brightness[box]) * dense


def _draw_vesicles(scene: Scene, index: np.ndarray) -> None:
    """Draw vesicles at voxels where there is room and none is yet."""
    rng, config = scene.rng, scene.config
    voxel = np.asarray(scene.voxel_size_nm, dtype=np.float64)
    radii = 0.5 * config.vesicle_diameter_nm * np.exp(rng.normal(0.0, 0.09, len(index)))
    at = tuple(index.T)
    room = (scene.labels[at] == BACKGROUND) & (scene.cells.depth_nm[at] > radii + 14.0)
    index, radii = index[room], radii[room]
    centres = index + rng.uniform(-0.5, 0.5, index.shape)
    if len(centres) == 0:
        return
    close = cKDTree(centres * voxel)
    near = close.query_ball_point(centres * voxel, 1.05 * config.vesicle_diameter_nm)
    kept = np.zeros(len(centres), dtype=bool)
    for i, others in enumerate(near):
        if not kept[others].any():
            kept[i] = True
            _draw_vesicle(scene, centres[i], radii[i])


def _draw_vesicle(scene: Scene, centre: np.ndarray, radius_nm: float) -> None:
    """Draw one vesicle: a dark rim around a clear lumen."""
    box = scene.box_around(centre, radius_nm + 10.0)
    z, y, x = np.ogrid[box]
    dz_nm = (z - centre[0]) * scene.voxel_size_nm[0]
    # A section shows what lies anywhere within its thickness, so the widest cut wins.
    dz_nm = np.maximum(np.abs(dz_nm) - 0.4 * scene.voxel_size_nm[0], 0.0)
    across = ((y - centre[1]) * scene.voxel_size_nm[1]) ** 2 + (
        (x - centre[2]) * scene.voxel_size_nm[2]
    ) ** 2
    distance = np.sqrt(dz_nm**2 + across)
    free = scene.labels[box] == BACKGROUND
    inside = (distance < radius_nm) & free
    part = scene.brightness[box]
    part[inside] += 0.5 * (0.74 - part[inside])
    rim = np.where(free, 0.85 * line(distance - radius_nm + 5.0, 16.0), 0.0)
    part += (0.18 - part) * rim
    scene.labels[box][inside] = VESICLE
