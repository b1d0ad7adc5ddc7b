"""Cytosol, membranes, endoplasmic reticulum and microtubules: what every cell has.

Sizes are those of textbooks (Peters, Palay and Webster, The Fine Structure of the Nervous
System, 1991). How they are imaged is not known here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_regcon.data.phantom.scene import BACKGROUND, MEMBRANE, line, resampled

if TYPE_CHECKING:
    from napari_regcon.data.phantom.scene import Scene


def draw_cytoplasm(scene: Scene) -> None:
    """Fill the cells with cytosol that is denser in some, with fine texture and granules."""
    rng, config = scene.rng, scene.config
    n_cells = int(scene.neurites.ids.max()) + 1
    density = np.minimum(rng.gamma(1.2, 0.8, n_cells), 3.0).astype(np.float32)
    density = config.cell_variation * density[scene.cells.ids]
    blotches = scene.field(45.0)
    texture = 0.03 * scene.field(20.0) + (0.03 + 0.25 * density) * blotches
    texture *= config.cytoplasm_texture
    granules = rng.random(scene.labels.shape, dtype=np.float32) < 0.5 * density * (blotches < -0.3)
    scene.brightness[:] = 0.78 - density + texture
    scene.brightness[granules] -= 0.14
    scene.labels[:] = BACKGROUND


def draw_membranes(scene: Scene) -> None:
    """Draw the two membranes between neighbouring cells, and the cleft where it opens."""
    depth, tilt = scene.cells.depth_nm, scene.cells.tilt
    # A section is as thick as a voxel is deep; a slanted membrane smears across it.
    slope = tilt / np.sqrt(np.maximum(1.0 - tilt**2, 0.05))
    smear = np.minimum(0.3 * scene.voxel_size_nm[0] * slope, 22.0)
    half = 0.5 * scene.config.membrane_thickness_nm
    cleft = half * np.clip(0.35 * scene.field(150.0) - 0.1, 0.0, 1.0)
    width = np.hypot(1.3 * half, smear)
    stain = line(depth - 0.5 * half - cleft, 1.2 * width) * (1.3 * half / width) ** 0.5
    inside = depth < cleft
    stain = np.where(inside, np.maximum(stain, 0.25), stain)
    stain = np.where(depth < 0.5 * half + cleft, np.maximum(stain, 0.8 - cleft / half), stain)
    target = 0.16 + 0.05 * scene.field(60.0)
    scene.brightness += (target - scene.brightness) * stain
    scene.labels[depth < half + cleft + 0.4 * smear] = MEMBRANE


def draw_reticulum(scene: Scene) -> None:
    """Draw winding cisternae of endoplasmic reticulum: two dark sheets with a lumen between."""
    config, depth = scene.config, scene.cells.depth_nm
    region = scene.field(170.0)
    where = np.clip(4.0 * (region - 1.5 + 2.5 * config.reticulum), 0.0, 1.0)
    where *= np.clip((depth - 30.0) / 20.0, 0.0, 1.0)
    distance = 75.0 * np.abs(scene.field(120.0))
    lumen = 12.0
    stain = 0.9 * where * line(distance - lumen, 15.0)
    scene.brightness += (0.3 - scene.brightness) * stain
    scene.brightness += 0.06 * where * (distance < lumen)


def draw_microtubules(scene: Scene) -> None:
    """Draw bundles of microtubules along thick neurites: dots when cut across, lines along."""
    rng, neurites = scene.rng, scene.neurites
    points = []
    for cell in np.unique(neurites.ids):
        balls = np.flatnonzero(neurites.ids == cell)
        radius = float(np.median(neurites.radii_nm[balls]))
        n_tubes = rng.poisson(scene.config.microtubules * (radius / 70.0) ** 2)
        if len(balls) < 4 or radius < 90.0 or n_tubes == 0:
            continue
        path = resampled(neurites.centres_nm[balls], 8.0)
        offset = rng.normal(0.0, 0.4 * radius, (n_tubes, 1, 3))
        tubes_nm = (path[None] + offset).reshape(-1, 3)
        points.append(tubes_nm[scene.is_near(tubes_nm, 150.0)])
    if not points:
        return
    index = np.rint(scene.warp.invert(np.concatenate(points))).astype(int)
    index = index[np.all((index >= 0) & (index < scene.labels.shape), axis=1)]
    index = index[scene.cells.depth_nm[tuple(index.T)] > 25.0]
    tubes = np.zeros(scene.labels.shape, dtype=np.float32)
    tubes[tuple(index.T)] = 1.0
    sigma = [7.0 / v for v in scene.voxel_size_nm[1:]]
    tubes = ndimage.gaussian_filter(tubes, [0.0, *sigma])
    single = min(1.0, 1.0 / (2 * np.pi * sigma[0] * sigma[1]))
    scene.brightness -= 0.22 * np.minimum(tubes / single, 1.0)
