"""Segmentation tasks that are drawn, never the same twice: what matters most is many tasks.

A scene has a ground (plain, patches, or cells with walls), winding lines and two kinds of bodies,
all or some. How large, how bright, how grainy each is belongs to the task; every image of a task
is another scene of that kind. What is looked for is one of the things in it, the others distract.
(Synthetic tasks of arXiv 2304.06131, section 3.3.) All draws are seeded by the caller.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

_GROUNDS = 3
"""Labels of a ground are 0 to 2; beyond them are walls, lines and two kinds of bodies."""

_WALL, _LINE, _BODIES = _GROUNDS, _GROUNDS + 1, (_GROUNDS + 2, _GROUNDS + 3)
_N_LABELS = _GROUNDS + 4


@dataclass(frozen=True)
class _Body:
    """How bodies of a kind are drawn; lengths in pixels."""

    radius: float
    stretch: float
    spacing: float
    rim_px: float
    """Width of a rim that looks like the walls; 0 for none."""


@dataclass(frozen=True, eq=False)
class _Kind:
    """What the scenes of a task have in common.

    Parameters
    ----------
    ground : str
        ``"plain"``, ``"patches"`` or ``"cells"``.
    grain_px : float
        Size of patches, cells and bends.
    wall_px, line_px : float
        Widths; 0 for none.
    bodies : tuple
        Of the two kinds of bodies those that there are, or None.
    grey, noise : numpy.ndarray
        For each label its mean grey value, and the size of its texture.
    smooth_px : tuple of float
        How smooth two textures are.
    texture : numpy.ndarray
        For each label which of the two it has.
    """

    ground: str
    grain_px: float
    wall_px: float
    line_px: float
    bodies: tuple[_Body | None, _Body | None]
    grey: np.ndarray
    noise: np.ndarray
    smooth_px: tuple[float, float]
    texture: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator) -> _Kind:
        """Draw a kind of scenes."""

        def body() -> _Body | None:
            if rng.random() < 0.3:
                return None
            radius = _log_uniform(rng, 2.0, 14.0)
            return _Body(
                radius,
                stretch=_log_uniform(rng, 1.0, 2.5),
                spacing=radius * rng.uniform(2.2, 6.0),
                rim_px=rng.uniform(0.8, 2.5) if rng.random() < 0.4 else 0.0,
            )

        ground = str(rng.choice(["plain", "patches", "cells"], p=[0.25, 0.3, 0.45]))
        return cls(
            ground=ground,
            grain_px=_log_uniform(rng, 6.0, 30.0),
            wall_px=rng.uniform(0.7, 3.0) if ground == "cells" else 0.0,
            line_px=rng.uniform(0.8, 3.0) if rng.random() < 0.3 else 0.0,
            bodies=(body(), body()),
            grey=rng.uniform(0.0, 1.0, _N_LABELS),
            noise=rng.uniform(0.0, 0.25, _N_LABELS) * (rng.random(_N_LABELS) < 0.7),
            smooth_px=(rng.uniform(0.3, 1.0), _log_uniform(rng, 1.0, 4.0)),
            texture=rng.integers(2, size=_N_LABELS),
        )


def drawn_task(n: int, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray] | None:
    """Draw scenes of one kind, and what is looked for in them.

    Parameters
    ----------
    n : int
        Number of images.
    size : int
        Their side in pixels.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    images : numpy.ndarray
        float32 ``(n, size, size)``, about [0, 1].
    labels : numpy.ndarray
        bool ``(n, size, size)``.
    """
    kind = _Kind.draw(rng)
    scenes = [_scene(kind, size, rng) for _ in range(n)]
    counts = np.bincount(scenes[0].ravel(), minlength=_N_LABELS)
    # Bodies and lines are looked for more often than a ground.
    weight = (counts > 0.004 * size * size) * np.array([0.5] * _GROUNDS + [1.0, 1.0, 1.5, 1.5])
    if np.count_nonzero(weight) < 2:
        return None
    wanted = rng.choice(_N_LABELS, p=weight / weight.sum())
    labels = np.stack([scene == wanted for scene in scenes])
    return np.stack([_render(kind, scene, rng) for scene in scenes]), labels


def _scene(kind: _Kind, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return labels ``(size, size)`` of a scene."""
    bent = _bent_grid(size, kind.grain_px, rng)
    scene = np.zeros((size, size), np.int64)
    if kind.ground == "patches":
        fields = np.stack([_smooth_noise(size, kind.grain_px / 2, rng) for _ in range(_GROUNDS)])
        scene = fields.argmax(0)
    elif kind.ground == "cells":
        centres = _scattered(size, kind.grain_px, rng)
        distance, nearest = cKDTree(centres).query(bent.reshape(-1, 2), k=2)
        types = rng.integers(_GROUNDS, size=len(centres))
        scene = types[nearest[:, 0]].reshape(size, size)
        wall = (distance[:, 1] - distance[:, 0]).reshape(size, size) < 2 * kind.wall_px
        scene[wall] = _WALL
    if kind.line_px:
        level = _smooth_noise(size, kind.grain_px, rng)
        slope = np.hypot(*np.gradient(level)) + 1e-6
        scene[np.abs(level) < kind.line_px / 2 * slope] = _LINE
    for label, body in zip(_BODIES, kind.bodies, strict=True):
        if body is not None:
            _put_bodies(scene, label, body, bent, rng)
    return scene


def _put_bodies(
    scene: np.ndarray, label: int, body: _Body, bent: np.ndarray, rng: np.random.Generator
) -> None:
    size = len(scene)
    centres = _scattered(size, body.spacing, rng)
    _, nearest = cKDTree(centres).query(bent.reshape(-1, 2))
    away = bent.reshape(-1, 2) - centres[nearest]
    angle = rng.uniform(0, np.pi, len(centres))[nearest]
    along = away[:, 0] * np.cos(angle) + away[:, 1] * np.sin(angle)
    across = away[:, 1] * np.cos(angle) - away[:, 0] * np.sin(angle)
    radius = body.radius * np.exp(rng.normal(0, 0.2, len(centres)))
    radius[rng.random(len(centres)) < 0.3] = 0  # some places stay empty
    r = radius[nearest]
    reach = np.hypot(along / body.stretch, across).reshape(size, size)
    r = r.reshape(size, size)
    scene[reach < r] = _WALL if body.rim_px else label
    if body.rim_px:
        scene[reach < r - body.rim_px] = label


def _render(kind: _Kind, scene: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size = len(scene)
    textures = np.stack([_smooth_noise(size, s, rng) for s in kind.smooth_px])
    chosen = np.where(kind.texture[scene], textures[1], textures[0])
    sharp = kind.grey[scene] + kind.noise[scene] * chosen
    image: np.ndarray = ndimage.gaussian_filter(sharp, rng.uniform(0.3, 0.9)).astype(np.float32)
    return image


def _smooth_noise(size: int, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Return noise of mean 0 and deviation 1, smoothed; coarse noise is enlarged from less."""
    shrink = max(1, int(sigma / 2))
    few = size // shrink + 4
    noise = ndimage.gaussian_filter(rng.standard_normal((few, few)), sigma / shrink, mode="wrap")
    noise /= noise.std() + 1e-9
    if shrink > 1:
        noise = ndimage.zoom(noise, shrink, order=1)
    return np.asarray(noise[:size, :size])


def _bent_grid(size: int, grain_px: float, rng: np.random.Generator) -> np.ndarray:
    """Return ``(size, size, 2)`` coordinates that wind a little, so that nothing is straight."""
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size), indexing="ij"), -1)
    amount = rng.uniform(0.0, 0.2) * grain_px
    bends = [_smooth_noise(size, 0.6 * grain_px, rng) for _ in range(2)]
    return np.asarray(grid + amount * np.stack(bends, -1))


def _scattered(size: int, spacing: float, rng: np.random.Generator) -> np.ndarray:
    """Return places ``(N, 2)`` about so far apart, in the square and a little around it."""
    side = np.arange(-spacing, size + 2 * spacing, spacing)
    places = np.stack(np.meshgrid(side, side, indexing="ij"), -1).reshape(-1, 2)
    return np.asarray(places + rng.uniform(-0.45, 0.45, places.shape) * spacing)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
