"""Blocks of a volume: cut it, put them in order, compute one.

Blocks begin where tiles of the predictor begin, as far as memory allows, so that few tiles
are computed twice. What comes out does not depend on the cuts: every tile is computed from the
same pixels whichever block asks for it. :func:`segment_block` needs nothing but its arguments,
so it serves a loop and a graph of tasks on several machines alike. Nothing here writes files.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

from napari_regcon.data.views import ImageView
from napari_regcon.errors import InputError
from napari_regcon.types import Box, Volume

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from napari_regcon.data.normalize import Normalization
    from napari_regcon.data.tiling import TileGrid
    from napari_regcon.engine.segmenter import Predictor

BLOCK_BYTES = 256 * 1024**2
"""Memory that the arrays of one block may take, where no block shape is given."""

_CHUNK_PX = {2: 1024, 3: 128}
"""Longest side of a zarr chunk for planar and for spatial predictors."""


def plan_blocks(
    volume: Volume, predictor: Predictor, block_shape: tuple[int, ...] | None = None
) -> list[Box]:
    """Return boxes that cover a volume, plane by plane or stack by stack.

    Parameters
    ----------
    volume : Volume
        The image.
    predictor : Predictor
        Says whether planes or stacks, and where tiles begin.
    block_shape : tuple of int, optional
        Length along each spatial axis; chosen to fit ``BLOCK_BYTES`` where not given.

    Returns
    -------
    list of Box
        In label axes, in the order of the axes.

    Raises
    ------
    InputError
        If the block shape cannot be used.
    """
    ndim = predictor.spatial_ndim
    shape = volume.label_shape[-ndim:]
    if block_shape is None:
        cuts = _aligned_cuts(predictor.grid(shape), len(predictor.classes))
    elif len(block_shape) != ndim or min(block_shape) < 1:
        raise InputError(
            f"The block shape {block_shape} cannot be used.",
            expected=f"Expected {ndim} numbers above 0.",
        )
    else:
        cuts = [[*range(0, n, b), n] for n, b in zip(shape, block_shape, strict=True)]
    spans = [list(itertools.pairwise(axis)) for axis in cuts]
    return [
        Box(
            (*prefix, *(a for a, _ in part)),
            (*(i + 1 for i in prefix), *(b for _, b in part)),
        )
        for prefix in volume.prefixes(ndim)
        for part in itertools.product(*spans)
    ]


def _aligned_cuts(grid: TileGrid, n_classes: int) -> list[list[int]]:
    """Cut each axis where tiles begin, into blocks of at most ``BLOCK_BYTES``."""
    # float32 result, sum and weight; stored labels and probabilities.
    per_pixel = 4 * (2 * n_classes + 1) + 2 + n_classes
    target = list(grid.shape)
    while math.prod(target) * per_pixel > BLOCK_BYTES:
        longest = target.index(max(target))
        if target[longest] <= grid.tile_shape[longest]:
            break
        target[longest] = math.ceil(target[longest] / 2)
    cuts = []
    for axis, length in enumerate(target):
        starts = _tile_starts(grid, axis)
        chosen = [0]
        for start, following in itertools.pairwise([*starts, grid.shape[axis]]):
            if following - chosen[-1] > length and start > chosen[-1]:
                chosen.append(start)
        cuts.append([*chosen, grid.shape[axis]])
    return cuts


def _tile_starts(grid: TileGrid, axis: int) -> list[int]:
    line = Box(
        (0,) * len(grid.shape), tuple(n if i == axis else 1 for i, n in enumerate(grid.shape))
    )
    return sorted({tile.start[axis] for tile in grid.touching(line)})


def chunk_shape(volume: Volume, predictor: Predictor) -> tuple[int, ...]:
    """Return the shape of zarr chunks that suits blocks of this predictor, in label axes."""
    ndim = predictor.spatial_ndim
    shape = volume.label_shape
    return (1,) * (len(shape) - ndim) + tuple(min(_CHUNK_PX[ndim], n) for n in shape[-ndim:])


def nearest_first(boxes: list[Box], first: tuple[int, ...], volume: Volume) -> list[Box]:
    """Sort blocks by their distance from a plane, the leading axis counting most.

    Raises
    ------
    InputError
        If the volume has no such plane.
    """
    n_leading = len(volume.label_shape) - 2
    if len(first) != n_leading or not all(
        0 <= i < n for i, n in zip(first, volume.label_shape, strict=False)
    ):
        raise InputError(
            f"There is no plane {list(first)} in {volume.name!r}.",
            expected=f"Expected an index for each of the axes {volume.label_axes[:n_leading]!r}, "
            f"below {list(volume.label_shape[:n_leading])}.",
        )

    def distance(box: Box) -> list[int]:
        spans = zip(first, box.start, box.stop, strict=False)
        return [max(start - i, 0, i - (stop - 1)) for i, start, stop in spans]

    return sorted(boxes, key=distance)


def without(box: Box, holes: Sequence[Box]) -> Iterator[Box]:
    """Iterate over the parts of a box that are in none of the holes."""
    for number, hole in enumerate(holes):
        common = box.intersect(hole)
        if not common.size:
            continue
        start, stop = list(box.start), list(box.stop)
        for axis, (a, b) in enumerate(zip(common.start, common.stop, strict=True)):
            for low, high in ((start[axis], a), (b, stop[axis])):
                if low < high:
                    piece = Box(
                        (*start[:axis], low, *start[axis + 1 :]),
                        (*stop[:axis], high, *stop[axis + 1 :]),
                    )
                    yield from without(piece, holes[number + 1 :])
            start[axis], stop[axis] = a, b
        return
    yield box


def segment_block(
    volume: Volume,
    normalization: Normalization,
    predictor: Predictor,
    box: Box,
    class_values: np.ndarray,
    probability_dtype: np.dtype[np.generic] | None = None,
) -> Generator[bool, None, tuple[np.ndarray, np.ndarray | None]]:
    """Segment one block, yielding wherever it can be stopped. It depends on its arguments only.

    Parameters
    ----------
    volume : Volume
        The image.
    normalization : Normalization
        Of this volume.
    predictor : Predictor
        What to apply.
    box : Box
        Where, in label axes; one index thick in front of the predictor's spatial axes.
    class_values : numpy.ndarray
        Label value of each class.
    probability_dtype : numpy.dtype, optional
        uint8 (255 times the probability) or floating point; None: not wanted.

    Yields
    ------
    bool
        Whether a tile is done; False between two steps towards one.

    Returns
    -------
    labels : numpy.ndarray
        ``box.shape``, type of ``class_values``.
    probabilities : numpy.ndarray or None
        ``(C, *box.shape)``.
    """
    ndim = predictor.spatial_ndim
    n_outer = len(box.start) - ndim
    view = ImageView(volume, normalization, box.start[:n_outer], ndim)
    part = Box(box.start[n_outer:], box.stop[n_outer:])
    if not isinstance(volume.data, np.ndarray):
        # Compressed sources would be decoded again for every tile.
        view = view.hold(part.grow(predictor.tile_shape))
    result = yield from predictor.predict_box(view, part)
    labels = np.empty(part.shape, dtype=class_values.dtype)
    stored = None
    if probability_dtype is not None:
        stored = np.empty(result.shape, dtype=probability_dtype)
    for i in range(len(labels)):  # in slices, as the intermediates are eight times as large
        labels[i] = class_values[result[:, i].argmax(axis=0)]
        if stored is not None:
            quantised = stored.dtype == np.uint8
            stored[:, i] = np.rint(result[:, i] * 255) if quantised else result[:, i]
    outer = (1,) * n_outer
    labels = labels.reshape(outer + labels.shape)
    if stored is not None:
        stored = stored.reshape((stored.shape[0], *outer, *stored.shape[1:]))
    return labels, stored
