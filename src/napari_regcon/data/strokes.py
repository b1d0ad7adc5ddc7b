"""A simulated annotator, for the demo and the benchmarks.

Draws strokes as a hand does: a wandering line inside one object, away from its edge, shorter
where the object is small. It looks at the truth, and never paints outside it. It does not
know how a segmenter works.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_regcon.data.hand import brush, set_down, wander
from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence


def draw_stroke(
    mask: np.ndarray,
    rng: np.random.Generator,
    *,
    length_px: float = 40.0,
    width_px: float = 3.0,
    like_at: tuple[float, float] | None = None,
) -> np.ndarray | None:
    """Draw one stroke inside an object.

    Parameters
    ----------
    mask : numpy.ndarray
        ``(Y, X)`` bool, where the class is.
    rng : numpy.random.Generator
        Source of randomness; the same state gives the same stroke.
    length_px : float
        Length of the line. It is shorter in objects that are small or where the way ends.
    width_px : float
        Diameter of the brush. It is thinner in objects that are thinner.
    like_at : tuple of float, optional
        Row and column the stroke should start near; anywhere in the mask where not given.

    Returns
    -------
    numpy.ndarray or None
        ``(Y, X)`` bool, never outside the mask; None where the mask is empty.
    """
    target = _target(mask, rng, like_at)
    if target is None:
        return None
    # Nothing farther away than the stroke is long can matter, so only a window is looked at.
    reach = int(length_px + 2 * width_px) + 4
    window = tuple(slice(max(0, t - reach), t + reach + 1) for t in target)
    origin = np.array([w.start for w in window])
    part, _ = ndimage.label(mask[window], np.ones((3, 3)))
    component = part == part[tuple(target - origin)]
    depth = ndimage.distance_transform_edt(np.pad(component, 1, mode="edge"))[1:-1, 1:-1]
    start, half_width = set_down(depth, target - origin, width_px)
    length_px = min(length_px, 1.4 * float(np.sqrt(component.sum())))
    path = wander(depth, start, half_width, length_px, rng)
    drawn = brush(path, half_width, component.shape) & component
    # Smoothing may cut a corner of a thin object; what lies beyond is left out.
    first = tuple(start.astype(int))
    drawn[first] = True
    pieces, _ = ndimage.label(drawn, np.ones((3, 3)))
    result = np.zeros(mask.shape, dtype=bool)
    result[window] = pieces == pieces[first]
    return result


def first_strokes(
    truth: np.ndarray,
    classes: Sequence[str],
    n_per_class: int,
    rng: np.random.Generator,
    *,
    length_px: float = 40.0,
    width_px: float = 3.0,
) -> np.ndarray:
    """Paint the first strokes on a slice, some of each class, spread over the slice.

    Parameters
    ----------
    truth : numpy.ndarray
        ``(Y, X)`` integer labels; ``i + 1`` means ``classes[i]``, 0 is left alone.
    classes : sequence of str
        Class names.
    n_per_class : int
        Strokes of each class that is there.
    rng : numpy.random.Generator
        Source of randomness.
    length_px, width_px : float
        As for :func:`draw_stroke`.

    Returns
    -------
    numpy.ndarray
        ``(Y, X)`` uint8 labels, 0 = not painted.

    Raises
    ------
    InputError
        If the truth is not a single slice.
    """
    if truth.ndim != 2:
        raise InputError(
            f"The truth has {truth.ndim} axes.", expected="Expected one slice (rows, columns)."
        )
    painted = np.zeros(truth.shape, dtype=np.uint8)
    for value in range(1, len(classes) + 1):
        mask = truth == value
        for _ in range(n_per_class):
            like_at = _elsewhere(mask, painted == value, rng)
            stroke = draw_stroke(mask, rng, length_px=length_px, width_px=width_px, like_at=like_at)
            if stroke is None:
                break
            painted[stroke] = value
    return painted


def corrective_stroke(
    truth: np.ndarray,
    predicted: np.ndarray,
    rng: np.random.Generator,
    *,
    length_px: float = 40.0,
    width_px: float = 3.0,
) -> np.ndarray | None:
    """Paint one stroke where the prediction is most visibly wrong.

    That is inside the wrong region with the largest sum of distances from its edge: a thick
    patch catches the eye, a rim of the same area along a border does not.

    Parameters
    ----------
    truth, predicted : numpy.ndarray
        ``(Y, X)`` or ``(Z, Y, X)`` integer labels; where the truth is 0, nothing is wrong.
    rng : numpy.random.Generator
        Source of randomness.
    length_px, width_px : float
        As for :func:`draw_stroke`.

    Returns
    -------
    numpy.ndarray or None
        uint8 labels of the same shape with one stroke of the true class; None where all is
        right.

    Raises
    ------
    InputError
        If the shapes differ.
    """
    if truth.shape != predicted.shape or truth.ndim not in (2, 3):
        raise InputError(
            f"The truth has shape {truth.shape}, the prediction {predicted.shape}.",
            expected="Expected the same shape, one slice or a stack.",
        )
    planes = truth.reshape(-1, *truth.shape[-2:])
    guesses = predicted.reshape(planes.shape)
    best, worst = None, 0.0
    for z, (plane, guess) in enumerate(zip(planes, guesses, strict=True)):
        wrong = (plane != guess) & (plane > 0)
        for value in np.unique(plane[wrong]):
            size, region = _thickest(wrong & (plane == value))
            if size > worst:
                best, worst = (z, value, region), size
    if best is None:
        return None
    z, value, region = best
    painted = np.zeros(planes.shape, dtype=np.uint8)
    stroke = draw_stroke(region, rng, length_px=length_px, width_px=width_px)
    painted[z][stroke] = value
    return painted.reshape(truth.shape)


def _thickest(wrong: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the most visible connected region, and how visible it is."""
    parts, n = ndimage.label(wrong)
    depth = ndimage.distance_transform_edt(np.pad(wrong, 1))[1:-1, 1:-1]
    sizes = ndimage.sum_labels(depth, parts, np.arange(1, n + 1))
    return float(sizes.max()), parts == int(sizes.argmax()) + 1


def _anywhere(mask: np.ndarray, rng: np.random.Generator) -> tuple[float, float] | None:
    pixels = np.flatnonzero(mask)
    if len(pixels) == 0:
        return None
    row, column = np.unravel_index(rng.choice(pixels), mask.shape)
    return float(row), float(column)


def _elsewhere(
    mask: np.ndarray, painted: np.ndarray, rng: np.random.Generator
) -> tuple[float, float] | None:
    """Return a place in the mask, rather far from what is painted: people spread their strokes."""
    if not mask.any() or not painted.any():
        return _anywhere(mask, rng)
    places = np.argwhere(mask)[rng.integers(0, np.count_nonzero(mask), 5)]
    distance = cKDTree(np.argwhere(painted)).query(places)[0]
    row, column = places[int(distance.argmax())]
    return float(row), float(column)


def _target(
    mask: np.ndarray, rng: np.random.Generator, like_at: tuple[float, float] | None
) -> np.ndarray | None:
    """Return the pixel of the mask nearest to the wanted place."""
    place = like_at or _anywhere(mask, rng)
    if place is None or not mask.any():
        return None
    pixels = np.argwhere(mask)
    nearest: np.ndarray = pixels[np.argmin(((pixels - place) ** 2).sum(1))]
    return nearest
