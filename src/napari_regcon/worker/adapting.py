"""Adapting features to the open images as a job of the engine, without what is painted on them."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_regcon.data.fingerprint import about_image
from napari_regcon.worker.protocol import JobDone, TrainingEvent, TrainingWritten

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari_regcon.data.source_planes import SourcePlane
    from napari_regcon.worker.images import OpenImages
    from napari_regcon.worker.jobs import Emit, Steps
    from napari_regcon.worker.protocol import AdaptFeatures

RECIPE = "adapt"
"""What is not a parameter: how tasks are drawn, and the licence that is claimed."""


def adapt(
    request: AdaptFeatures, images: OpenImages, is_finishing: Callable[[], bool], emit: Emit
) -> Steps:
    """Train features on all open images, yielding where other work may be done.

    Their pixels are read at the beginning; images may be closed afterwards.

    Parameters
    ----------
    request : AdaptFeatures
        What is wanted.
    images : OpenImages
        The images.
    is_finishing : callable
        Whether training is to end now, with what it has.
    emit : callable
        Receives the events.

    Raises
    ------
    InputError
        If no image is open, or they show nothing.
    WeightsError
        If the weights to begin with cannot be loaded.
    DeviceError
        If the device is not there.
    """
    begin = time.perf_counter()
    planes, seen = yield from _read(images, request.config.seed)
    from napari_regcon.data.episodes import EpisodeSource
    from napari_regcon.data.recipe import read_recipe
    from napari_regcon.engine.aside import Aside
    from napari_regcon.engine.embedding import load_network
    from napari_regcon.engine.pretrain import pretrain
    from napari_regcon.engine.pretrained import Origin, save_pretrained
    from napari_regcon.engine.pretraining import Pretraining

    start, parent = load_network(request.start) if request.start else (None, None)
    yield True
    training = Pretraining(request.config, start=start, device=request.device)
    recipe = replace(read_recipe(RECIPE), train=training.config)
    with (
        closing(Aside()) as aside,
        closing(pretrain(training, EpisodeSource(planes, recipe.draw), runner=aside)) as events,
    ):
        for event in events:
            if event is not None:
                emit(TrainingEvent(request.generation, event))
            yield True
            if event is not None and is_finishing():
                break
    origin = Origin(request.out.stem, recipe, images=seen, parent=parent)
    save_pretrained(training, request.out, origin)
    emit(TrainingWritten(request.generation, request.out, training.step, None))
    elapsed = time.perf_counter() - begin
    emit(JobDone(request.generation, cancelled=False, elapsed_s=elapsed))


def _read(
    images: OpenImages, seed: int
) -> Generator[bool, None, tuple[list[SourcePlane], list[dict[str, Any]]]]:
    """Read what there is to learn from; anew where an image is closed or opened meanwhile."""
    from napari_regcon.data.windows import image_windows

    while True:
        opened = images.opened()
        planes = []
        for plane in image_windows([(i.volume, i.normalization) for i in opened], seed=seed):
            planes.append(plane)
            yield True
            if images.opened() != opened:
                break
        else:
            return planes, [about_image(image.volume) for image in opened]
