"""How a hand moves a brush inside an object: set down, wander, lift.

Works on the distance from the edge at every pixel of one object, in windows a little larger
than a stroke. It does not know what the object is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Sequence

_STEP_PX = 1.5
_TURNS = np.deg2rad([-50.0, -32.0, -18.0, -8.0, 0.0, 8.0, 18.0, 32.0, 50.0])


def set_down(depth: np.ndarray, target: np.ndarray, width_px: float) -> tuple[np.ndarray, float]:
    """Return where to set the brush down, and half its width."""
    wanted = width_px / 2 + 0.5
    # A person keeps clear of the edge, or to the middle where there is no room for that.
    near = np.hypot(*(np.indices(depth.shape) - target[:, None, None]))
    room = np.where(near <= 2.5 * width_px + 4.0, depth, 0.0)
    clear = room >= min(wanted + 1.0, 0.8 * room.max())
    start = np.unravel_index(np.where(clear, near, np.inf).argmin(), depth.shape)
    half_width = max(0.5, min(width_px / 2, float(depth[start]) - 0.5))
    return np.array(start, dtype=float), half_width


def wander(
    depth: np.ndarray,
    start: np.ndarray,
    half_width_px: float,
    length_px: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the points of a curve from the start on, on both sides if one way ends early."""
    fans = rng.uniform(0, 2 * np.pi) + np.arange(12) * np.pi / 6
    ahead = _clearance(depth, start, fans, (2.0, 5.0, 9.0))
    # The longest way first; a little chance, so that not all strokes follow the object's axis.
    heading = fans[np.argmax(ahead + rng.uniform(0.0, 0.5 * half_width_px + 0.5, 12))]
    n_steps = max(1, round(length_px / _STEP_PX))
    sway = rng.normal(0.0, 0.12)
    forward = _trace(depth, start, heading, n_steps, half_width_px, sway, rng)
    left = n_steps - len(forward)
    if left <= 1:
        return np.array([start, *forward])
    backward = _trace(depth, start, heading + np.pi, left, half_width_px, sway, rng)
    return np.array([*backward[::-1], start, *forward])


def _trace(
    depth: np.ndarray,
    start: np.ndarray,
    heading: float,
    n_steps: int,
    half_width_px: float,
    sway: float,
    rng: np.random.Generator,
) -> list[np.ndarray]:
    """Walk with slowly changing curvature, turning away from edges; stop where there is no way."""
    points: list[np.ndarray] = []
    at = start
    # Off the edge where there is room; along the middle where there is not.
    room = float(depth[tuple(start.astype(int))])
    needed = half_width_px + 1.0 if room >= half_width_px + 1.5 else max(1.0, 0.5 * room)
    apart = 2.0 * half_width_px + 2.0
    recent = int(2.0 * apart / _STEP_PX)
    for _ in range(n_steps):
        sway = 0.85 * sway + rng.normal(0.0, 0.06)
        headings = heading + sway + _TURNS
        here = _clearance(depth, at, headings, (_STEP_PX,))
        soon = _clearance(depth, at, headings, (3.0, 5.0))
        # Clearance counts up to a comfortable distance; beyond it, the hand just goes on.
        comfort = np.minimum(soon, needed + 2.5) - 3.0 * np.abs(_TURNS)
        comfort[here < needed] = -np.inf
        best = int(np.argmax(comfort))
        if not np.isfinite(comfort[best]):
            break
        heading = headings[best]
        at = at + _STEP_PX * np.array([np.sin(heading), np.cos(heading)])
        old = np.array(points[:-recent])
        if len(old) and np.hypot(*(old - at).T).min() < apart:
            break  # back where it has been: a hand would lift the brush
        points.append(at)
    return points


def _clearance(
    depth: np.ndarray, at: np.ndarray, headings: np.ndarray, distances_px: Sequence[float]
) -> np.ndarray:
    """Return the mean distance from the edge at points ahead, 0 outside, per heading."""
    way = np.asarray(distances_px)
    rows = np.rint(at[0] + np.sin(headings)[:, None] * way).astype(int)
    columns = np.rint(at[1] + np.cos(headings)[:, None] * way).astype(int)
    inside = (rows >= 0) & (rows < depth.shape[0]) & (columns >= 0) & (columns < depth.shape[1])
    rows, columns = rows.clip(0, depth.shape[0] - 1), columns.clip(0, depth.shape[1] - 1)
    mean: np.ndarray = np.where(inside, depth[rows, columns], 0.0).mean(1)
    return mean


def brush(path: np.ndarray, half_width_px: float, shape: tuple[int, ...]) -> np.ndarray:
    """Return the pixels under a round brush moved along a path."""
    smooth = ndimage.uniform_filter1d(path, min(5, len(path)), axis=0, mode="nearest")
    at = np.linspace(0, len(smooth) - 1, 4 * len(smooth))
    dense = np.stack([np.interp(at, np.arange(len(smooth)), smooth[:, i]) for i in (0, 1)], 1)
    index = np.rint(dense).astype(int).clip(0, np.asarray(shape) - 1)
    line = np.ones(shape, dtype=bool)
    line[tuple(index.T)] = False
    distance: np.ndarray = ndimage.distance_transform_edt(line)
    return distance <= max(half_width_px - 0.5, 0.0)
