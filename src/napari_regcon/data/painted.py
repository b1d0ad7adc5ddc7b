"""Label images as people have them: any whole numbers, 0 where nothing is said.

A label image may use the values 1 and 7, come as true/false, have an axis of length 1 more or
less than its image, or slices that its file calls channels. Here its values are found and
renumbered to the 1..n of a support set, plane by plane. Nothing here knows names of classes or
what is fitted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np

from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_regcon.types import LazyArray, Volume

MOST_CLASSES = 50
"""More distinct values than this are taken for numbered objects, not classes."""


def labels_for(labels: Volume, image: Volume) -> da.Array:
    """Return labels in the shape of an image's label axes, still lazy.

    Axes of length 1 are added or dropped, and true/false becomes 1/0.

    Parameters
    ----------
    labels : Volume
        A label image.
    image : Volume
        The image it belongs to.

    Raises
    ------
    InputError
        If the shapes do not fit or the labels are not whole numbers.
    """
    if labels.data.dtype != np.bool_ and not np.issubdtype(labels.data.dtype, np.integer):
        raise InputError(
            f"The labels {labels.name!r} are of type {labels.data.dtype}.",
            expected="Expected whole numbers: 0 = not said, 1, 2... = classes.",
        )
    lazy = da.asarray(labels.data)
    if labels.has_channels:
        # A label has no colour: these are slices in a file that does not say so.
        lazy = da.moveaxis(lazy, -1, -3)
    if _without_ones(lazy.shape) != _without_ones(image.label_shape):
        raise InputError(
            f"The labels {labels.name!r} have shape {tuple(labels.data.shape)} ({labels.axes}), "
            f"but {image.name!r} has {image.label_shape} ({image.label_axes}).",
            expected="Expected one label per pixel of the image.",
            next_step="Use labels that were painted on this image.",
        )
    lazy = lazy.reshape(image.label_shape)
    return lazy.astype(np.uint8) if lazy.dtype == np.bool_ else lazy


def painted_values(labels: da.Array, name: str) -> dict[int, int]:
    """Count the pixels of each value but 0.

    Parameters
    ----------
    labels : dask.array.Array
        Whole numbers; read block by block, so that every part of a file is decoded once.
    name : str
        What to call them in messages.

    Returns
    -------
    dict of int to int
        Number of pixels by value, in increasing order.

    Raises
    ------
    InputError
        If there are none, negative ones, or too many different ones for classes.
    """
    counts: dict[int, int] = {}
    for block in labels.blocks.ravel():
        values, numbers = np.unique(np.asarray(block), return_counts=True)
        for value, number in zip(values.tolist(), numbers.tolist(), strict=True):
            counts[value] = counts.get(value, 0) + number
        if len(counts) > MOST_CLASSES + 1:
            raise InputError(
                f"The labels {name!r} hold more than {MOST_CLASSES} different values, so they "
                "seem to number single objects.",
                expected="Expected the same value for everything of one class.",
                next_step="Give all objects of a kind the same value; an object can be separated "
                "from its neighbours after segmentation.",
            )
    counts.pop(0, None)
    if counts and min(counts) < 0:
        raise InputError(
            f"The labels {name!r} hold the negative value {min(counts)}.",
            expected="Expected 0 = not said, 1, 2... = classes.",
        )
    if not counts:
        raise InputError(
            f"Nothing is painted in {name!r}: all labels are 0.",
            next_step="Paint one stroke of each class on any slice, save the labels, try again.",
        )
    return dict(sorted(counts.items()))


def painted_planes(labels: LazyArray) -> np.ndarray:
    """Tell which planes have to be looked at, in one pass over labels that are stored in chunks.

    A chunk often holds parts of many planes; read plane by plane, it would be decoded as often.

    Parameters
    ----------
    labels : array
        Whole numbers.

    Returns
    -------
    numpy.ndarray
        bool, of the shape of ``labels`` without Y and X; False where all labels of a plane are
        0. True everywhere for arrays whose planes lie in one piece.
    """
    if isinstance(labels, da.Array):
        return np.asarray((labels != 0).any(axis=(-2, -1)))
    return np.ones(labels.shape[:-2], dtype=bool)


def renumbered(labels: da.Array, values: Iterable[int], start: int) -> da.Array:
    """Return labels in which the values become ``start``, ``start + 1``..., still lazy.

    Parameters
    ----------
    labels : dask.array.Array
        Whole numbers; 0 stays 0.
    values : iterable of int
        All values that occur, but 0, in increasing order.
    start : int
        New value of the first one.
    """
    old = np.array([0, *values])
    new = np.array([0, *range(start, start + len(old) - 1)], dtype=np.uint16)

    def renumber(block: np.ndarray) -> np.ndarray:
        return new[np.searchsorted(old, block)]

    return labels.map_blocks(renumber, dtype=np.uint16)


def _without_ones(shape: Iterable[Any]) -> list[int]:
    return [n for n in shape if n != 1]
