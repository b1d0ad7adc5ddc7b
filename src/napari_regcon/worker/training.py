"""Training as a job of the engine: step by step, so that previews come in between."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from napari_regcon.errors import InputError
from napari_regcon.types import Note
from napari_regcon.worker.adapting import adapt
from napari_regcon.worker.protocol import JobDone, JobNote, TrainingEvent, TrainingWritten

if TYPE_CHECKING:
    from napari_regcon.engine.finetune import FineTuning
    from napari_regcon.worker.images import OpenImages
    from napari_regcon.worker.jobs import Emit, Steps
    from napari_regcon.worker.protocol import AdaptFeatures, FineTune, FinishTraining


class TrainingJobs:
    """Makes jobs that train, and ends them early where that is wanted."""

    def __init__(self) -> None:
        self._finishing: set[int] = set()

    def finish(self, request: FinishTraining) -> None:
        """Let a training end at its next step, and write what it has."""
        self._finishing.add(request.training)

    def fine_tune(self, request: FineTune, images: OpenImages, emit: Emit) -> Steps:
        """Train on what is painted, yielding after every step.

        Parameters
        ----------
        request : FineTune
            What is wanted.
        images : OpenImages
            What is painted; looked at again before every step.
        emit : callable
            Receives the events.

        Raises
        ------
        InputError
            If too little is painted.
        WeightsError
            If the weights to start from cannot be loaded.
        DeviceError
            If the device is not there.
        """
        begin = time.perf_counter()
        support, version = images.support(), images.version
        support.require_classes()
        yield True
        from napari_regcon.engine.embedding import load_network
        from napari_regcon.engine.finetune import FineTuning, finetune
        from napari_regcon.engine.finetuned import card_of, save_finetuned

        start, parent = load_network(request.start) if request.start else (None, None)
        tuning = FineTuning(support, request.config, start=start, device=request.device)
        for event in finetune(tuning):
            emit(TrainingEvent(request.generation, event))
            yield True
            if images.version != version:
                version = images.version
                if not self._take_in(tuning, images, request, emit):
                    break
            if request.generation in self._finishing:
                break
        self._finishing.discard(request.generation)
        save_finetuned(tuning.result(), request.out, card_of(tuning, parent))
        emit(TrainingWritten(request.generation, request.out, tuning.step, tuning.best))
        elapsed = time.perf_counter() - begin
        emit(JobDone(request.generation, cancelled=False, elapsed_s=elapsed))

    def adapt(self, request: AdaptFeatures, images: OpenImages, emit: Emit) -> Steps:
        """Train features on the open images; see :func:`napari_regcon.worker.adapting.adapt`."""
        yield from adapt(request, images, lambda: request.generation in self._finishing, emit)
        self._finishing.discard(request.generation)

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
