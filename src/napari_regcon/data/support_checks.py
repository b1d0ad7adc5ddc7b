"""What is checked of labels before they become support; see :mod:`napari_regcon.data.support`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_regcon.errors import InputError
from napari_regcon.types import Box

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_regcon.types import LazyArray, Volume


def check_labels(volume: Volume, labels: LazyArray, boxes: Sequence[Box]) -> None:
    """Check that labels, and the parts of them that are marked complete, fit an image."""
    if tuple(labels.shape) != volume.label_shape:
        raise InputError(
            f"The labels have shape {tuple(labels.shape)}, but {volume.name!r} needs "
            f"{volume.label_shape} ({volume.label_axes}).",
            next_step="Use labels that were painted on this image.",
        )
    if not np.issubdtype(labels.dtype, np.integer) and labels.dtype != np.bool_:
        raise InputError(
            f"The labels are of type {labels.dtype}.",
            expected="Expected whole numbers: 0 = not said, 1..n = classes.",
        )
    if any(len(box.start) != len(volume.label_shape) for box in boxes):
        raise InputError(
            f"A part marked complete has not {len(volume.label_shape)} axes, as the labels of "
            f"{volume.name!r} have ({volume.label_axes})."
        )


def check_patch(
    volume: Volume, prefix: tuple[int, ...], origin: tuple[int, int], labels: np.ndarray
) -> None:
    """Check that a patch of labels lies on a plane of an image."""
    start, stop = (*prefix, *origin), (i + 1 for i in prefix)
    box = Box(start, (*stop, origin[0] + labels.shape[0], origin[1] + labels.shape[1]))
    whole = Box.of_shape(volume.label_shape)
    if len(start) != len(whole.start) or box.intersect(whole) != box:
        raise InputError(
            f"Labels at {box.start} to {box.stop} do not lie on {volume.name!r}, whose labels "
            f"have the shape {volume.label_shape}."
        )
