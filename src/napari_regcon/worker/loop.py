"""What the engine does next: requests in, events out, one step of work at a time.

What is on screen comes first: a preview runs while whole-volume work waits between two of its
steps, and a newer preview of an image makes the older one void. Once the visible part is done,
the rest of the plane and the volume take turns. Nothing here knows how requests arrive.
"""

from __future__ import annotations

import os
import time
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from napari_regcon.errors import RegconError
from napari_regcon.worker import jobs
from napari_regcon.worker.images import OpenImages
from napari_regcon.worker.model import Model
from napari_regcon.worker.protocol import (
    AdaptFeatures,
    CacheUse,
    Cancel,
    ClearCache,
    CloseImage,
    Configure,
    EngineEvent,
    EngineReady,
    FindRegions,
    FineTune,
    FinishTraining,
    Job,
    JobDone,
    JobFailed,
    OpenImage,
    Paint,
    PauseTraining,
    Preview,
    Request,
    SegmentVolume,
    SetClasses,
    ShowTraining,
    UseCache,
)
from napari_regcon.worker.regions import RegionJobs
from napari_regcon.worker.shared import sweep
from napari_regcon.worker.training import TrainingJobs

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari_regcon.worker.images import OpenedImage


@dataclass(eq=False)
class _Running:
    request: Job
    steps: Generator[bool | None, None, None]
    can_wait: bool = False
    begin: float = field(default_factory=time.perf_counter)


class EngineLoop:
    """The state of the engine and the work it has to do.

    Parameters
    ----------
    emit : callable
        Receives the events.
    """

    def __init__(self, emit: Callable[[EngineEvent], None]) -> None:
        self._emit = emit
        self._images = OpenImages()
        self._model = Model()
        self._regions = RegionJobs()
        self._training = TrainingJobs()
        self._is_configured = False
        self._jobs: list[_Running] = []
        self._told_use: CacheUse | None = None
        self._turn = 0

    @property
    def is_busy(self) -> bool:
        """Whether there is work to be done."""
        return any(not self._training.is_paused(job.request.generation) for job in self._jobs)

    def take(self, request: Request) -> None:
        """Take a request in; what goes wrong is told as an event."""
        if not (self._is_configured or isinstance(request, Configure | UseCache)):
            self.take(Configure())
        try:
            self._apply(request)
        except Exception as error:  # noqa: BLE001 - told to the user, and the engine goes on
            self._emit(_failure(getattr(request, "generation", None), error))

    @property
    def is_settling(self) -> bool:
        """Whether there will be more to tell of the cache, though no work is left."""
        return self._model.is_writing or self._model.use() != self._told_use

    def tell_use(self) -> None:
        """Tell how much the cache holds, if that has changed."""
        use = self._model.use()
        if use != self._told_use:
            self._told_use = use
            self._emit(use)

    def step(self) -> None:
        """Do one step of the most urgent work."""
        job = self._next()
        self._model.attend(preview=isinstance(job.request, Preview))
        try:
            job.can_wait = bool(next(job.steps))
        except StopIteration:
            self._jobs.remove(job)
        except Exception as error:  # noqa: BLE001 - told to the user, and the engine goes on
            self._jobs.remove(job)
            self._emit(_failure(job.request.generation, error))
        if job not in self._jobs:
            self._after(job)

    def _next(self) -> _Running:
        """Return the work to go on with: regions, then the newest prediction, then the others."""
        previews = [job for job in self._jobs if isinstance(job.request, Preview)]
        previews.sort(key=lambda job: job.request.kind == "prediction")  # type: ignore[union-attr]
        urgent = [job for job in previews if not job.can_wait]
        regions = [job for job in self._jobs if isinstance(job.request, FindRegions)]
        if urgent or regions:
            return (regions + urgent)[-1]
        volumes = [job for job in self._jobs if isinstance(job.request, SegmentVolume)]
        trainings = [
            job
            for job in self._jobs
            if isinstance(job.request, FineTune | AdaptFeatures)
            and not self._training.is_paused(job.request.generation)
        ]
        # A preview is over soon, so a training gives way to the whole of it.
        waiting = previews[-1:] + volumes[:1] + ([] if previews else trainings[:1])
        self._turn += 1
        return waiting[self._turn % len(waiting)]

    def close(self) -> None:
        """Stop all work, so that files are left in order."""
        while self._jobs:
            self._stop(self._jobs[0])
        self._model.close()

    def _apply(self, request: Request) -> None:
        match request:
            case Configure():
                self._configure(request)
            case OpenImage() | CloseImage() | Paint() | SetClasses():
                self._learn_of(request)
            case Preview() | SegmentVolume() | FindRegions():
                self._begin(request)
            case FineTune() | AdaptFeatures() | FinishTraining() | PauseTraining() | ShowTraining():
                self._train(request)
            case Cancel():
                for job in [j for j in self._jobs if j.request.generation == request.generation]:
                    self._stop(job)
            case UseCache() | ClearCache():
                self._manage_cache(request)
            case _:
                _refuse(request)

    def _learn_of(self, request: OpenImage | CloseImage | Paint | SetClasses) -> None:
        match request:
            case OpenImage():
                self._close(request.image_id)
                self._images.open(request)
            case CloseImage():
                self._close(request.image_id)
            case Paint():
                self._images.paint(request.image_id, request.planes)
            case SetClasses():
                self._images.set_classes(request.classes)

    def _configure(self, request: Configure) -> None:
        self._is_configured = True
        device = self._model.configure(request)
        self._emit(EngineReady(device.label, device.reason, os.getpid()))

    def _manage_cache(self, request: UseCache | ClearCache) -> None:
        self._model.manage_cache(request)
        if isinstance(request, ClearCache):  # otherwise what is on disk is being counted
            self.tell_use()

    def _begin(self, request: Preview | SegmentVolume | FindRegions) -> None:
        image = self._images[request.image_id]
        if not isinstance(request, SegmentVolume):
            self._stop_older(request)
        self._jobs.append(_Running(request, self._steps(request, image)))

    def _train(
        self, request: FineTune | AdaptFeatures | FinishTraining | PauseTraining | ShowTraining
    ) -> None:
        match request:
            case FineTune():
                store = self._model.store
                steps = self._training.fine_tune(request, self._images, store, self._emit)
                self._jobs.append(_Running(request, steps))
            case AdaptFeatures():
                steps = self._training.adapt(request, self._images, self._emit)
                self._jobs.append(_Running(request, steps))
            case _ if any(job.request.generation == request.training for job in self._jobs):
                self._training.steer(request)

    def _steps(
        self, request: Preview | SegmentVolume | FindRegions, image: OpenedImage
    ) -> jobs.Steps:
        if isinstance(request, FindRegions):
            return self._regions.find(request, image, self._emit)
        # What is painted now counts, even if more is painted before the work begins.
        support, version = self._images.support(), self._images.version
        if isinstance(request, Preview):
            fit = self._model.fit(support, version, request.model)
            return jobs.preview(request, image, fit, self._emit)
        return jobs.segment(request, image, self._model.fit(support, version), self._emit)

    def _stop_older(self, request: Preview | FindRegions) -> None:
        """Stop the work on an image that a newer request of the same kind makes void."""
        for job in self._jobs_on(request.image_id):
            if _is_alike(job.request, request):
                self._stop(job)

    def _close(self, image_id: str) -> None:
        for job in self._jobs_on(image_id):
            self._stop(job)
        self._model.forget(self._images.close(image_id))
        sweep()

    def _after(self, job: _Running) -> None:
        if isinstance(job.request, SegmentVolume | FineTune | AdaptFeatures):
            self._model.relax()
        if not self._jobs:
            self._model.attend(preview=False)
        self.tell_use()

    def _jobs_on(self, image_id: str) -> list[_Running]:
        return [
            job
            for job in self._jobs
            if not isinstance(job.request, FineTune | AdaptFeatures)
            and job.request.image_id == image_id
        ]

    def _stop(self, job: _Running) -> None:
        self._jobs.remove(job)
        job.steps.close()
        elapsed = time.perf_counter() - job.begin
        self._emit(JobDone(job.request.generation, cancelled=True, elapsed_s=elapsed))
        self._after(job)


def _is_alike(one: Job, other: Job) -> bool:
    if isinstance(one, Preview) and isinstance(other, Preview):
        return one.kind == other.kind
    return type(one) is type(other)


def _failure(generation: int | None, error: Exception) -> JobFailed:
    from napari_regcon.engine.device import is_out_of_memory

    if isinstance(error, RegconError):
        return JobFailed(generation, str(error))
    if is_out_of_memory(error):
        return JobFailed(
            generation,
            "The memory is full. Close other images or programs, clear the feature cache, or "
            "choose the device 'cpu'.",
        )
    details = "".join(traceback.format_exception(error))
    return JobFailed(
        generation,
        f"Something went wrong inside the engine ({type(error).__name__}: {error}). This is a "
        "mistake of the program, please report it; painting and other work can go on.",
        details,
    )


def _refuse(request: object) -> NoReturn:
    raise TypeError(f"a request of type {type(request).__name__} is not known")
