"""How compact objects are: area over convex area, beside that of objects a person has finished.

The stopping criterion of Franco-Barranco et al. 2022 (arXiv 2202.10773) without
labels: a network is good where the objects it finds are as compact as true ones. Objects are those
of single planes (2-D), larger than 10 pixels; what a border cuts is left out. It means something
for blob-like things only, such as mitochondria, and nothing for membranes. Nothing here knows
networks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from skimage.measure import label, regionprops
from skimage.segmentation import clear_border

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_regcon.data.support import SupportSet

FEWEST_OBJECTS = 20
"""Objects of a class from which on their mean solidity counts."""
_SMALLEST_PX = 10


def solidities(mask: np.ndarray) -> list[float]:
    """Return the solidity of each object of a plane, 0 to 1.

    Parameters
    ----------
    mask : numpy.ndarray
        ``(y, x)`` bool. Objects of up to 10 pixels, and those that touch a border, do not count.
    """
    whole = clear_border(label(mask))
    return [float(r.solidity) for r in regionprops(whole) if r.area > _SMALLEST_PX]


def finished_solidity(support: SupportSet) -> dict[int, float]:
    """Return the mean solidity of the finished objects of each class that has enough.

    Parameters
    ----------
    support : SupportSet
        Its complete examples hold the finished objects.

    Returns
    -------
    dict of int to float
        By class index; the background and classes of fewer than 20 objects are not there.
    """
    planes = [example.labels for example in support.examples if example.complete]
    wanted = [i for i in range(len(support.classes)) if i + 1 != support.background]
    return _means([plane.astype(np.int64) - 1 for plane in planes], wanted)


def mean_solidity(planes: Iterable[np.ndarray], classes: Iterable[int]) -> dict[int, float]:
    """Return the mean solidity of the objects of some classes, where there are any.

    Parameters
    ----------
    planes : iterable of numpy.ndarray
        ``(y, x)`` class indices.
    classes : iterable of int
        Which classes.
    """
    return _means(planes, classes, fewest=1)


def _means(
    planes: Iterable[np.ndarray], classes: Iterable[int], fewest: int = FEWEST_OBJECTS
) -> dict[int, float]:
    kept = list(planes)
    found = {i: [s for plane in kept for s in solidities(plane == i)] for i in classes}
    return {i: float(np.mean(values)) for i, values in found.items() if len(values) >= fewest}
