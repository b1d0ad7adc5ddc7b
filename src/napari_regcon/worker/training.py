"""Training as a job of the engine: layer by layer, so that previews come in between.

It can wait, end early, draw what it has learnt so far, and go on where an engine that was killed
had come to. Nothing here knows how a network learns.
"""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

from napari_regcon.errors import DeviceError, InputError
from napari_regcon.types import Note
from napari_regcon.worker import jobs
from napari_regcon.worker.adapting import adapt
from napari_regcon.worker.protocol import (
    AdaptFeatures,
    FineTune,
    FinishTraining,
    JobDone,
    JobNote,
    PauseTraining,
    Preview,
    PreviewDone,
    ShowTraining,
    TrainingEvent,
    TrainingShown,
    TrainingWritten,
)

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_regcon.engine.aside import Aside
    from napari_regcon.engine.feature_store import FeatureStore
    from napari_regcon.engine.finetune import FineTuning
    from napari_regcon.engine.segmenter import Predictor
    from napari_regcon.engine.weights import WeightsInfo
    from napari_regcon.worker.images import OpenImages
    from napari_regcon.worker.jobs import Emit, Steps
    from napari_regcon.worker.protocol import EngineEvent

_ALL_DONE = object()


class TrainingJobs:
    """Makes jobs that train, and takes in what is wanted of them while they run."""

    def __init__(self) -> None:
        self._finishing: set[int] = set()
        self._paused: set[int] = set()
        self._to_show: dict[int, ShowTraining] = {}

    def steer(self, request: FinishTraining | PauseTraining | ShowTraining) -> None:
        """Have a training end early, wait, go on, or show what it has learnt."""
        match request:
            case FinishTraining(training):
                self._finishing.add(training)
                self._paused.discard(training)
            case PauseTraining(training, paused):
                (self._paused.add if paused else self._paused.discard)(training)
            case ShowTraining(training):
                self._to_show[training] = request

    def is_paused(self, generation: int) -> bool:
        """Whether the training of a generation waits."""
        return generation in self._paused

    def fine_tune(
        self, request: FineTune, images: OpenImages, store: FeatureStore, emit: Emit
    ) -> Steps:
        """Train on what is painted, yielding where other work may be done.

        Parameters
        ----------
        request : FineTune
            What is wanted.
        images : OpenImages
            What is painted; looked at again before every step.
        store : FeatureStore
            Features that previews have computed already.
        emit : callable
            Receives the events.

        Raises
        ------
        InputError
            If too little is painted, or the state to go on from does not fit.
        WeightsError
            If the weights to start from cannot be loaded.
        DeviceError
            If the device is not there.
        """
        begin = time.perf_counter()
        images.support().require_classes()
        yield True
        from napari_regcon.engine.finetuned import card_of, save_finetuned

        try:
            tuning, parent = _begin(request, images, store)
            yield from self._train(request, tuning, images, store, emit)
            save_finetuned(tuning.result(), request.out, card_of(tuning, parent))
        finally:  # also where it is cancelled
            self._forget(request.generation)
            if request.keep is not None:
                request.keep.unlink(missing_ok=True)
        emit(TrainingWritten(request.generation, request.out, tuning.step, tuning.best))
        elapsed = time.perf_counter() - begin
        emit(JobDone(request.generation, cancelled=False, elapsed_s=elapsed))

    def _train(
        self,
        request: FineTune,
        tuning: FineTuning,
        images: OpenImages,
        store: FeatureStore,
        emit: Emit,
    ) -> Steps:
        from napari_regcon.engine.aside import Aside
        from napari_regcon.engine.finetune import finetune

        version = images.version
        with (
            closing(Aside()) as aside,
            closing(finetune(tuning, request.keep, aside)) as events,
        ):
            for event in events:
                if event is not None:
                    emit(TrainingEvent(request.generation, event))
                yield True
                if event is None:  # in the middle of a step, or the pixel classifier is learning
                    continue
                if images.version != version:
                    version = images.version
                    if not self._take_in(tuning, images, request, emit):
                        return
                if request.generation in self._finishing:
                    return
                if shown := self._to_show.pop(request.generation, None):
                    yield from _show(shown, tuning, images, store, aside, emit)

    def _forget(self, generation: int) -> None:
        self._finishing.discard(generation)
        self._paused.discard(generation)
        self._to_show.pop(generation, None)

    def adapt(self, request: AdaptFeatures, images: OpenImages, emit: Emit) -> Steps:
        """Train features on the open images; see :func:`napari_regcon.worker.adapting.adapt`."""
        try:
            yield from adapt(request, images, lambda: request.generation in self._finishing, emit)
        finally:
            self._forget(request.generation)

    @staticmethod
    def _take_in(tuning: FineTuning, images: OpenImages, request: FineTune, emit: Emit) -> bool:
        """Learn from what is painted now; False where that can no longer be learnt from."""
        try:
            tuning.update(images.support())
        except InputError as error:
            text = f"Training ended early, with the best network so far. {error}"
            emit(JobNote(request.generation, Note(text)))
            return False
        return True


def _begin(
    request: FineTune, images: OpenImages, store: FeatureStore
) -> tuple[FineTuning, WeightsInfo | None]:
    """Return a new training, or one that goes on, and the weights it began with."""
    from napari_regcon.engine.finetune import FineTuning
    from napari_regcon.engine.finetune_start import load_start

    start, parent = load_start(request.start) if request.start else (None, None)
    support = images.support()
    tuning = FineTuning(support, request.config, start=start, device=request.device, store=store)
    return tuning, parent


def _show(
    request: ShowTraining,
    tuning: FineTuning,
    images: OpenImages,
    store: FeatureStore,
    aside: Aside,
    emit: Emit,
) -> Steps:
    """Draw a box of a plane as the network is now; other work may come in between."""
    from napari_regcon.engine.finetuned_predictor import predictor_of

    def fit() -> Generator[None, None, Predictor]:
        yield
        return predictor_of(
            tuning.snapshot(), tuning.config.downscale, tuning.support, tuning.device, store
        )

    def tell(event: EngineEvent) -> None:
        if isinstance(event, PreviewDone) and event.final:
            shown = TrainingShown(request.training, request.image_id, request.prefix, request.box)
            emit(shown)

    image_id, prefix = request.image_id, request.prefix
    wanted = Preview(request.training, image_id, prefix, request.box, request.out)
    try:
        steps = jobs.preview(wanted, images[image_id], fit(), tell)
        while (yield from aside(lambda: next(steps, _ALL_DONE))) is not _ALL_DONE:
            yield True
    # The image was closed meanwhile, or memory is short: no reason to stop learning.
    except (InputError, DeviceError) as error:
        emit(JobNote(request.training, Note(f"What is learnt cannot be shown. {error}")))
