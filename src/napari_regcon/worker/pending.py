"""Which generations still await their last answer, and which answers come too late.

Used by several threads of the client. Nothing here knows how requests travel; a process is
only something that a job was given to.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_regcon.worker.protocol import (
    EngineEvent,
    Job,
    JobDone,
    JobFailed,
    Preview,
    PreviewDone,
    RegionsFound,
    Request,
)

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class _Job:
    since: float = field(default_factory=time.monotonic)
    process: object = None
    watch: threading.Timer | None = None
    preview_of: tuple[str, str] = ("", "")
    """Image and kind, where it is a preview."""

    def unwatch(self) -> None:
        if self.watch is not None:
            self.watch.cancel()


class PendingJobs:
    """The generations that have not been answered to the end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[int, _Job] = {}
        self._newest_preview: dict[tuple[str, str], int] = {}

    def generations(self) -> tuple[int, ...]:
        """Return all of them, oldest first."""
        with self._lock:
            return tuple(self._jobs)

    def add(self, request: Request) -> None:
        """Await the answer to a request, if it is one that is answered."""
        with self._lock:
            if isinstance(request, Job):
                self._jobs[request.generation] = job = _Job()
            if isinstance(request, Preview):
                job.preview_of = key = (request.image_id, request.kind)
                newest = self._newest_preview.get(key, 0)
                self._newest_preview[key] = max(newest, request.generation)

    def give(self, request: Request, process: object) -> None:
        """Note which process a request is about to be sent to."""
        with self._lock:
            if job := self._jobs.get(getattr(request, "generation", 0)):
                job.process = process

    def settle(self, event: EngineEvent) -> EngineEvent | None:
        """Take note of an answer, and return what to tell about it: nothing if it is stale."""
        with self._lock:
            if isinstance(event, PreviewDone):
                asked = self._jobs.get(event.generation)
                newest = self._newest_preview.get(asked.preview_of, 0) if asked else math.inf
                if event.generation < newest:
                    if not event.final:
                        return None
                    event = JobDone(event.generation, cancelled=True, elapsed_s=event.predict_s)
                elif not event.final:
                    return event
            if isinstance(event, PreviewDone | RegionsFound | JobDone | JobFailed):
                job = self._jobs.pop(event.generation or 0, None)
                if job is not None:
                    job.unwatch()
                elif event.generation is not None:
                    return None  # told already that it will not be answered
        return event

    def take(self, process: object) -> tuple[list[JobDone], tuple[int, ...]]:
        """Forget the jobs of a process that has ended.

        Returns
        -------
        list of JobDone
            Answers for those that were to be cancelled anyway.
        tuple of int
            The generations of the others.
        """
        now = time.monotonic()
        with self._lock:
            jobs = {g: job for g, job in self._jobs.items() if job.process is process}
            for generation, job in jobs.items():
                del self._jobs[generation]
                job.unwatch()
        stopped = [JobDone(g, True, now - job.since) for g, job in jobs.items() if job.watch]
        return stopped, tuple(g for g, job in jobs.items() if not job.watch)

    def watch(self, generation: int, start: Callable[[], threading.Timer], *, again: bool) -> bool:
        """Have a timer look after a job that was asked to stop.

        Parameters
        ----------
        generation : int
            Which job.
        start : callable
            Starts and returns the timer.
        again : bool
            Whether to watch a job that has been watched before.

        Returns
        -------
        bool
            False if the job is answered already, or watched already.
        """
        with self._lock:
            job = self._jobs.get(generation)
            if job is None or (job.watch is not None and not again):
                return False
            job.watch = start()
            return True

    def clear(self) -> list[threading.Timer]:
        """Forget everything, and return the timers that have been stopped."""
        with self._lock:
            jobs = list(self._jobs.values())
            self._jobs.clear()
        for job in jobs:
            job.unwatch()
        return [job.watch for job in jobs if job.watch is not None]
