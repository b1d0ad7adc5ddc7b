"""The two kinds of long work in the engine: predict what is on screen, predict everything.

Each is a generator that yields wherever it can be stopped or left waiting, and True where
nobody is waiting for what comes next. Nothing here decides which of them goes on.
"""

from __future__ import annotations

import itertools
import math
import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from napari_regcon.data.views import ImageView
from napari_regcon.errors import DeviceError, InputError
from napari_regcon.types import BlockDone, Box, Note, Progress
from napari_regcon.worker.canvas import Canvas
from napari_regcon.worker.protocol import (
    EngineEvent,
    FileArray,
    JobDone,
    JobNote,
    JobProgress,
    Preview,
    PreviewDone,
    SegmentVolume,
    SharedArray,
    VolumeBlockDone,
)
from napari_regcon.worker.shared import SharedBuffer

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from napari_regcon.engine.segmenter import Predictor
    from napari_regcon.worker.images import OpenedImage

    Emit: TypeAlias = Callable[[EngineEvent], None]
    Fit: TypeAlias = Generator[None, None, Predictor]
    Steps: TypeAlias = Generator[bool | None, None, None]

SHOW_EVERY_S = 0.25
"""Parts of a preview and progress are told at most this often."""
DRAFT_PX = 2**16
"""Pixels that are predicted, evenly spread, for what is shown first."""
_NEARLY_ALL = 0.75
"""Where this share of a plane is visible, the whole plane is predicted at once."""
_BLOCK_PX = 1024
"""Side of the squares in which the rest of a plane is done."""
_HELD_PX = 2**24
"""Visible boxes up to this size are read from their file at once."""


def preview(request: Preview, image: OpenedImage, fit: Fit, emit: Emit) -> Steps:
    """Predict a box of a plane, the middle first, and show parts of it if that takes long.

    Parameters
    ----------
    request : Preview
        What is wanted.
    image : OpenedImage
        The image it is wanted of.
    fit : generator
        Its value is the predictor.
    emit : callable
        Receives the events.

    Raises
    ------
    InputError
        If the request does not fit the image, or the support set cannot be used.
    DeviceError
        If the memory is too small for the smallest step.
    """
    begin = time.perf_counter()
    with Canvas(request, image.volume) as canvas:
        predictor = yield from fit
        for text in predictor.notes:
            emit(JobNote(request.generation, Note(text)))
        predictor.check(image.volume)
        n_outer = len(image.volume.label_shape) - predictor.spatial_ndim
        view = ImageView(
            image.volume, image.normalization, request.prefix[:n_outer], predictor.spatial_ndim
        )
        depth = request.prefix[n_outer:]
        seen = canvas.box
        if request.whole_plane and canvas.plane.size * _NEARLY_ALL <= seen.size:
            seen = canvas.plane  # once for all is quicker than the rest by itself
        if not isinstance(image.volume.data, np.ndarray) and seen.size <= _HELD_PX:
            view = view.hold(_lift(seen, depth).grow(predictor.tile_shape))
        boxes = [seen, *(_rest(canvas.plane, seen) if request.whole_plane else ())]
        jobs = [(box, _tiles(predictor, view, _lift(box, depth))) for box in boxes]
        teller = _Teller(request, emit, begin, sum(len(tiles) for _, tiles in jobs))
        step = math.ceil(math.sqrt(seen.size / DRAFT_PX))
        if request.kind != "prediction":
            predictor = predictor.out_of_sight()  # what is on screen is asked for more often
        rough = predictor.draft(view, _lift(seen, depth), step) if step > 1 else None
        if rough is not None:
            canvas.write(seen, rough.reshape(len(rough), *rough.shape[-2:]), step)
            teller.done(seen, final=False)
            yield False
        for box, tiles in jobs:
            if box is not seen:
                predictor = predictor.out_of_sight()
            relief = _relief(predictor, request.generation, emit)
            for found in _parts(predictor, view, _lift(box, depth), tiles, relief):
                if found is not None:
                    part, values = found
                    shown = Box(part.start[-2:], part.stop[-2:])
                    canvas.write(shown, values.reshape(len(values), *shown.shape))
                    teller.part(shown)
                yield box is not boxes[0]
            teller.done(box, final=box is boxes[-1])


def segment(request: SegmentVolume, image: OpenedImage, fit: Fit, emit: Emit) -> Steps:
    """Predict every plane of an image.

    Parameters and errors are as for :func:`preview`.
    """
    from napari_regcon.engine.volume import segment_volume

    begin = time.perf_counter()
    with ExitStack() as stack:
        out = _target(request, image, stack)
        predictor = yield from fit
        events = segment_volume(
            image.volume,
            predictor,
            out,
            normalization=image.normalization,
            first=request.first or None,
            done=request.done,
            overwrite=request.overwrite,
        )
        told = -math.inf
        for event in stack.enter_context(closing(events)):
            match event:
                case BlockDone(box):
                    emit(VolumeBlockDone(request.generation, request.image_id, box))
                case Progress() if (
                    time.perf_counter() - told >= SHOW_EVERY_S or event.done == event.total
                ):
                    told = time.perf_counter()
                    emit(JobProgress(request.generation, event))
                case Note():
                    emit(JobNote(request.generation, event))
            yield None
    emit(JobDone(request.generation, cancelled=False, elapsed_s=time.perf_counter() - begin))


def _target(request: SegmentVolume, image: OpenedImage, stack: ExitStack) -> np.ndarray | Path:
    match request.out:
        case FileArray(path):
            return path
        case SharedArray():
            out = stack.enter_context(SharedBuffer.attach(request.out)).array
            if out.shape != image.volume.label_shape or out.dtype.kind not in "ui":
                raise InputError(
                    f"The result array has shape {out.shape} and type {out.dtype}.",
                    expected=f"Expected {image.volume.label_shape} and whole numbers.",
                )
            return out


class _Teller:
    """Tells how far a preview is, but not more often than anybody can see."""

    def __init__(self, request: Preview, emit: Emit, begin: float, n_tiles: int) -> None:
        self._request = request
        self._emit = emit
        self._fitted = self._told = time.perf_counter()
        self._fit_s = self._fitted - begin
        self._n_tiles = n_tiles
        self._n_done = 0
        self._untold: list[Box] = []

    def part(self, box: Box) -> None:
        """Take note of a tile that is done."""
        self._n_done = min(self._n_done + 1, self._n_tiles)
        self._untold.append(box)
        now = time.perf_counter()
        if now - self._told >= SHOW_EVERY_S:
            self._told = now
            for part in self._untold:
                self.done(part, final=False)
            self._untold.clear()
            progress = Progress(self._n_done, self._n_tiles, "tiles", now - self._fitted)
            self._emit(JobProgress(self._request.generation, progress))

    def done(self, box: Box, *, final: bool) -> None:
        """Tell that a box can be shown."""
        predict_s = time.perf_counter() - self._fitted
        asked = self._request
        self._emit(
            PreviewDone(
                asked.generation, asked.image_id, asked.prefix, box, final, self._fit_s, predict_s
            )
        )


def _parts(
    predictor: Predictor,
    view: ImageView,
    box: Box,
    tiles: list[Box],
    relieve: Callable[[], None],
) -> Iterator[tuple[Box, np.ndarray] | None]:
    """Predict a box tile by tile, all over again in smaller steps where memory is short."""
    from napari_regcon.engine.device import is_out_of_memory

    while True:
        try:
            yield from predictor.predict_parts(view, box, tiles)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        else:
            return
        relieve()  # out of the `except`, which keeps the arrays of the failed step alive


def _relief(predictor: Predictor, generation: int, emit: Emit) -> Callable[[], None]:
    def relieve() -> None:
        from napari_regcon.engine.device import free_memory

        free_memory()
        if not predictor.reduce_memory():
            raise DeviceError(
                "The memory is too small even for the smallest step.",
                next_step="Close other programs that use the GPU, or choose the device 'cpu'.",
            )
        note = Note("Memory was short; going on in smaller steps, with the same result.")
        emit(JobNote(generation, note))

    return relieve


def _tiles(predictor: Predictor, view: ImageView, box: Box) -> list[Box]:
    """Return the tiles that touch a box, from its middle outwards."""
    return sorted(predictor.grid(view.shape).touching(box), key=lambda tile: _distance(tile, box))


def _rest(plane: Box, box: Box) -> list[Box]:
    """Cut what is outside a box of a plane into parts, the nearest first."""
    corners = itertools.product(*(range(0, n, _BLOCK_PX) for n in plane.shape))
    squares = [Box((y, x), (y + _BLOCK_PX, x + _BLOCK_PX)).intersect(plane) for y, x in corners]
    outside = [part for square in squares for part in _without(square, box)]
    return sorted(outside, key=lambda part: _distance(part, box))


def _without(whole: Box, hole: Box) -> list[Box]:
    """Return at most four boxes that make up a box but for a hole in it."""
    hole = whole.intersect(hole)
    if not hole.size:
        return [whole]
    (top, left), (bottom, right) = whole.start, whole.stop
    (y0, x0), (y1, x1) = hole.start, hole.stop
    around = [
        Box((top, left), (y0, right)),
        Box((y1, left), (bottom, right)),
        Box((y0, left), (y1, x0)),
        Box((y0, x1), (y1, right)),
    ]
    return [part for part in around if part.size]


def _distance(one: Box, other: Box) -> float:
    """Return the squared distance between the centres of two boxes, times 4."""
    ends = zip(one.start, one.stop, other.start, other.stop, strict=True)
    return sum((a + b - c - d) ** 2 for a, b, c, d in ends)


def _lift(box: Box, depth: tuple[int, ...]) -> Box:
    """Return a Y, X box as a box of a view: of a plane, or one plane thick in a stack."""
    return Box((*depth, *box.start), (*(i + 1 for i in depth), *box.stop))
