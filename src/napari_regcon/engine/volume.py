"""Segment a whole volume, block by block, in memory that does not grow with the volume.

The loop here computes blocks one after the other, reports after every tile, answers a lack of
memory by smaller steps, and hands each block to the outputs. It does not know how a block is
computed, which predictor it runs, nor how files look inside.
"""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_regcon.data.export import Output, require_space
from napari_regcon.data.export_files import ResultSpec
from napari_regcon.data.normalize import estimate_normalization
from napari_regcon.engine.blocks import (
    chunk_shape,
    nearest_first,
    plan_blocks,
    segment_block,
    without,
)
from napari_regcon.engine.device import free_memory, is_out_of_memory
from napari_regcon.engine.targets import Target, refuse_inputs
from napari_regcon.errors import DeviceError, InputError
from napari_regcon.types import BlockDone, Box, Event, Finished, Note, Progress, Volume

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from napari_regcon.data.normalize import Normalization
    from napari_regcon.engine.segmenter import Predictor


def segment_volume(
    volume: Volume,
    predictor: Predictor,
    out: Target,
    *,
    probabilities: Target | None = None,
    normalization: Normalization | None = None,
    class_values: Sequence[int] | None = None,
    block_shape: tuple[int, ...] | None = None,
    first: tuple[int, ...] | None = None,
    done: Sequence[Box] = (),
    overwrite: bool = False,
) -> Generator[Event, None, None]:
    """Segment a volume and write the labels, with all axes but the channels.

    The arguments are checked when this is called; the work starts with the first event that
    is asked for. Closing the iterator, or an error, stops it at the next tile and removes the
    files it was making. Blocks written into an array stay.

    Parameters
    ----------
    volume : Volume
        The image, 2-D or 3-D, with or without time and channels. Read block by block.
    predictor : Predictor
        From a segmenter's ``fit``.
    out : str, pathlib.Path or array
        File that ends in ``.zarr`` (OME-Zarr 0.5), ``.tif`` or ``.tiff``, or an array of
        integers of shape ``volume.label_shape``. Files hold uint8, or uint16 if a class value
        is above 255.
    probabilities : str, pathlib.Path or array, optional
        Receives the probability of each class too. Files hold uint8, 255 times the probability:
        a quarter of float32, and finer than any use of them needs. Arrays of shape ``(classes,
        *volume.label_shape)`` may be uint8, likewise, or floating point.
    normalization : Normalization, optional
        Estimated from the volume where not given.
    class_values : sequence of int, optional
        Label value of each of ``predictor.classes``; 1, 2, 3... where not given, as painted.
    block_shape : tuple of int, optional
        Length of a block along each spatial axis; chosen for about 256 MiB where not given.
        It has no influence on the result.
    first : tuple of int, optional
        Index along the leading axes to begin at; blocks follow by their distance from it.
    done : sequence of Box, optional
        Parts of an array ``out`` that are finished and left alone, in label axes.
    overwrite : bool
        Whether existing files are replaced, once the new ones are complete.

    Returns
    -------
    generator of Event
        ``Progress`` after each tile, ``BlockDone`` after each block, ``Note`` where the user
        should know something, ``Finished`` at the end.

    Raises
    ------
    InputError
        At the call: if the volume does not suit the predictor or a target cannot be used.
        Later: if the disk runs full.
    DeviceError
        Later: if memory is short even for the smallest steps of the predictor.
    """
    predictor.check(volume)
    if not math.prod(volume.label_shape):
        raise InputError(f"{volume.name!r} is empty: its shape is {tuple(volume.data.shape)}.")
    values = _checked_values(class_values, predictor)
    refuse_inputs((out, probabilities), volume)
    if done and isinstance(out, str | Path):
        raise InputError(
            "Finished parts were given, but the result is a new file.",
            expected="Expected an array that holds the finished parts.",
        )
    outputs = _outputs(out, probabilities, volume, predictor, values, overwrite)
    boxes = [
        part for box in plan_blocks(volume, predictor, block_shape) for part in without(box, done)
    ]
    if first is not None:
        boxes = nearest_first(boxes, first, volume)
    normalization = normalization or estimate_normalization(volume)
    return _run(_Job(volume, normalization, predictor.in_passing(), values, tuple(boxes), outputs))


@dataclass(frozen=True)
class _Job:
    """Everything that was checked and planned before the first step."""

    volume: Volume
    normalization: Normalization
    predictor: Predictor
    class_values: np.ndarray
    boxes: tuple[Box, ...]
    outputs: tuple[Output, ...]

    def n_tiles(self) -> list[int]:
        """Return the number of tiles of each block."""
        ndim = self.predictor.spatial_ndim
        shape = self.volume.label_shape[-ndim:]
        grid = self.predictor.grid(shape)
        counts: dict[Box, int] = {}
        spatial = [Box(box.start[-ndim:], box.stop[-ndim:]) for box in self.boxes]
        for part in spatial:
            if part not in counts:  # planes share their blocks
                counts[part] = sum(1 for _ in grid.touching(part))
        return [counts[part] for part in spatial]


def _run(job: _Job) -> Generator[Event, None, None]:
    begin = time.perf_counter()
    paths = tuple(output.path for output in job.outputs if output.path is not None)
    if any(job.volume.translate) and any(path.suffix.lower() != ".zarr" for path in paths):
        yield Note("TIFF keeps the pixel size but not the position of the image; zarr keeps both.")
    for text in job.predictor.notes:
        yield Note(text)
    counts = job.n_tiles()
    done, total = 0, sum(counts)
    with ExitStack() as stack:
        for output in job.outputs:
            stack.enter_context(output)
        for box, n_tiles in zip(job.boxes, counts, strict=True):
            yield from _one_block(job, box, _Clock(begin, done, done + n_tiles, total))
            done += n_tiles
            yield Progress(done, total, "tiles", time.perf_counter() - begin)
            yield BlockDone(box)
    yield Finished(time.perf_counter() - begin, paths)


@dataclass(frozen=True)
class _Clock:
    """Counts the tiles of a block within the whole job."""

    begin: float
    done: int
    end: int
    total: int

    def after(self, n_tiles: int) -> Progress:
        elapsed = time.perf_counter() - self.begin
        return Progress(min(self.done + n_tiles, self.end), self.total, "tiles", elapsed)


def _one_block(job: _Job, box: Box, clock: _Clock) -> Generator[Event, None, None]:
    """Compute and write a block, in smaller steps where memory is short."""
    wanted = job.outputs[1].dtype if len(job.outputs) > 1 else None
    while True:
        work = segment_block(
            job.volume, job.normalization, job.predictor, box, job.class_values, wanted
        )
        try:
            results = yield from _counted(work, clock)
            break
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # Out of the `except`: the error kept the arrays of the failed step alive.
        free_memory()
        if not job.predictor.reduce_memory():
            raise DeviceError(
                "The memory is too small even for the smallest step.",
                next_step="Close other programs that use the GPU, or choose the device 'cpu'.",
            )
        yield Note(
            "The memory was too small for this step size. Going on in smaller steps: slower, "
            "with the same result."
        )
    for output, values in zip(job.outputs, results, strict=False):
        if values is not None:
            output.write(box, values)


def _counted(
    work: Generator[bool, None, tuple[np.ndarray, np.ndarray | None]], clock: _Clock
) -> Generator[Event, None, tuple[np.ndarray, np.ndarray | None]]:
    """Turn the steps of a block into progress, and return its value."""
    n_tiles = 0
    while True:
        try:
            n_tiles += next(work)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        yield clock.after(n_tiles)


def _checked_values(class_values: Sequence[int] | None, predictor: Predictor) -> np.ndarray:
    n_classes = len(predictor.classes)
    values = list(range(1, n_classes + 1)) if class_values is None else list(class_values)
    if len(values) != n_classes or not all(0 <= value < 2**16 for value in values):
        raise InputError(
            f"The class values {values[:10]} cannot be used.",
            expected=f"Expected {n_classes} whole numbers from 0 to 65535, for the classes "
            f"{list(predictor.classes)}.",
        )
    return np.array(values, dtype=np.min_scalar_type(max(values)))


def _outputs(
    out: Target,
    probabilities: Target | None,
    volume: Volume,
    predictor: Predictor,
    values: np.ndarray,
    overwrite: bool,
) -> tuple[Output, ...]:
    classes = tuple(zip(values.tolist(), predictor.classes, strict=True))
    chunk = chunk_shape(volume, predictor)
    name = f"{volume.name} labels"
    spec = ResultSpec.like(volume, values.dtype, classes, name=name, chunk_shape=chunk)
    outputs = [Output(out, spec, overwrite=overwrite)]
    if probabilities is not None:
        spec = replace(
            spec,
            dtype=np.dtype(np.uint8),
            name=f"{volume.name} probabilities",
            is_probability=True,
        )
        outputs.append(Output(probabilities, spec, overwrite=overwrite))
    require_space(outputs)
    return tuple(outputs)
