"""Where painting helps most: where the model is unsure, far from what is painted already.

Works on one plane at a time, from its uncertainty map. It knows neither the model that made the
map nor how a user is taken to the place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from napari_regcon.session.painted import Patch, Prefix

_MAP_PX = 256
"""Maps are shrunk to about this size first; a place need not be exact to a pixel."""
_NEAR = 0.08
"""Distance from painted pixels at which a place counts two thirds, as part of the plane's side."""


@dataclass(frozen=True)
class Place:
    """A place worth looking at.

    Parameters
    ----------
    prefix : tuple of int
        The plane.
    y, x : int
        The pixel on it.
    uncertainty : float
        How unsure the model is around it, 0 to 1.
    slices_away : int or None
        Distance to the nearest painted slice; None if there is none along the last axis.
    score : float
        What places are compared by.
    """

    prefix: Prefix
    y: int
    x: int
    uncertainty: float
    slices_away: int | None
    score: float

    def reason(self) -> str:
        """Say why it is worth looking at."""
        where = "slice " + ", ".join(str(i) for i in self.prefix) if self.prefix else "this place"
        text = f"Here ({where}) the model is {round(100 * self.uncertainty)} % unsure"
        if self.slices_away:
            text += f", {self.slices_away} slices from the nearest strokes"
        return text + "."


def best_place(
    prefix: Prefix, uncertainty: np.ndarray, painted: Patch, slices_away: int | None
) -> Place:
    """Return the place of a plane where a stroke would help most.

    Parameters
    ----------
    prefix : tuple of int
        Which plane.
    uncertainty : numpy.ndarray
        ``(Y, X)`` uint8, 255 = as unsure as can be.
    painted : Patch
        What is painted on the plane.
    slices_away : int or None
        Distance to the nearest painted slice.
    """
    step = max(1, max(uncertainty.shape) // _MAP_PX)
    unsure = uncertainty[::step, ::step].astype(np.float32) / 255
    smooth = ndimage.gaussian_filter(unsure, sigma=max(1.0, max(unsure.shape) / 50))
    weight = np.ones_like(smooth)
    if painted.labels.size:
        mask = np.zeros(uncertainty.shape, dtype=np.uint8)
        painted.paint_on(mask)
        free = mask[::step, ::step] == 0
        if not free.all():
            distance = ndimage.distance_transform_edt(free)
            weight = 1 - np.exp(-distance / (_NEAR * max(unsure.shape)))
    found = smooth * weight
    y, x = np.unravel_index(int(np.argmax(found)), found.shape)
    far = 1.0 if slices_away is None else 1 - 0.5 * np.exp(-slices_away / 3)
    score = float(found[y, x] * far)
    return Place(
        prefix,
        int(y) * step,
        int(x) * step,
        float(smooth[y, x]),
        slices_away,
        score,
    )


def slices_away(prefix: Prefix, painted: list[Prefix]) -> int | None:
    """Return the distance along the last outer axis to the nearest painted plane."""
    if not prefix:
        return None
    near = [abs(p[-1] - prefix[-1]) for p in painted if p[:-1] == prefix[:-1]]
    return min(near) if near else None


def candidates(
    shape: tuple[int, ...], shown: Prefix, painted: list[Prefix], most: int
) -> list[Prefix]:
    """Return planes to look at: spread evenly, unpainted ones before painted ones.

    Parameters
    ----------
    shape : tuple of int
        Length of the axes in front of Y and X.
    shown : tuple of int
        The plane on screen; of time and the like, only its position is looked at.
    painted : list of tuple of int
        Painted planes.
    most : int
        How many at most.
    """
    if not shape:
        return [()]
    free = [z for z in range(shape[-1]) if (*shown[:-1], z) not in set(painted)]
    chosen = free or list(range(shape[-1]))
    picks = np.unique(np.linspace(0, len(chosen) - 1, min(most, len(chosen))).round().astype(int))
    return [(*shown[:-1], chosen[int(i)]) for i in picks]
