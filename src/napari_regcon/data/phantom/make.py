"""How a phantom is put together: the steps, in order, and the checks before them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_regcon.data.phantom.cells import draw_warp, grow_neurites, partition
from napari_regcon.data.phantom.config import PhantomConfig
from napari_regcon.data.phantom.cytoplasm import (
    draw_cytoplasm,
    draw_membranes,
    draw_microtubules,
    draw_reticulum,
)
from napari_regcon.data.phantom.imaging import image
from napari_regcon.data.phantom.mitochondria import draw_mitochondria
from napari_regcon.data.phantom.scene import Scene
from napari_regcon.data.phantom.synapses import draw_synapses
from napari_regcon.errors import InputError
from napari_regcon.types import Volume

if TYPE_CHECKING:
    from collections.abc import Sequence

CLASSES = ("background", "membrane", "mitochondrion", "vesicle")
"""Classes of a phantom; label value ``i + 1`` means ``CLASSES[i]``."""


# What comes later displaces what was there.
_STEPS = (
    draw_cytoplasm,
    draw_microtubules,
    draw_reticulum,
    draw_membranes,
    draw_mitochondria,
    draw_synapses,
)


@dataclass(frozen=True, eq=False)
class Phantom:
    """A phantom volume and what is in it.

    Parameters
    ----------
    volume : Volume
        uint8 image with axes ``ZYX``, scale in nanometres.
    labels : numpy.ndarray
        ``(Z, Y, X)`` uint8; ``i + 1`` means ``classes[i]``. Every voxel is labelled.
    classes : tuple of str
        Class names.
    """

    volume: Volume
    labels: np.ndarray
    classes: tuple[str, ...] = CLASSES


def make_phantom(
    shape: tuple[int, int, int] = (32, 256, 256),
    *,
    seed: int = 0,
    voxel_size_nm: tuple[float, float, float] = (30.0, 8.0, 8.0),
    config: PhantomConfig | None = None,
) -> Phantom:
    """Make an EM-like volume with its truth; the same arguments give the same volume.

    Parameters
    ----------
    shape : tuple of int
        Voxels along Z, Y, X.
    seed : int
        Another seed gives other cells.
    voxel_size_nm : tuple of float
        Section thickness and pixel size along Y and X.
    config : PhantomConfig, optional
        What it shows and how it was recorded.

    Returns
    -------
    Phantom
        Image and truth.

    Raises
    ------
    InputError
        If the shape or the voxel size is not three positive numbers.
    """
    _check("shape", shape)
    _check("voxel size", voxel_size_nm)
    config = config or PhantomConfig()
    rng = np.random.default_rng(seed)
    warp = draw_warp(
        rng, shape, voxel_size_nm, waviness=config.waviness, jitter_px=config.jitter_px
    )
    neurites = grow_neurites(
        rng,
        tuple(n * v for n, v in zip(shape, voxel_size_nm, strict=True)),
        radius_nm=config.cell_radius_nm,
        calibre_spread=config.calibre_spread,
    )
    scene = Scene(
        rng,
        config,
        neurites,
        warp,
        partition(neurites, warp, shape),
        brightness=np.empty(shape, dtype=np.float32),
        labels=np.empty(shape, dtype=np.uint8),
    )
    for draw in _STEPS:
        draw(scene)
    pixels = image(rng, scene.brightness, config)
    volume = Volume(pixels, "ZYX", voxel_size_nm, ("nanometer",) * 3, name="EM phantom")
    return Phantom(volume, scene.labels)


def _check(name: str, value: Sequence[float]) -> None:
    if len(value) != 3 or min(value) <= 0:
        raise InputError(
            f"The {name} of a phantom is {tuple(value)}.",
            expected="Expected three positive numbers: depth, rows, columns.",
        )
