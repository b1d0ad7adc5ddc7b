"""Work of the window itself that takes longer than a frame, done in threads.

Copying an image, merging labels and writing files are generators here: they stop at their next
step when asked to, and whatever they report arrives in the GUI thread. Model work is not done
here but in the engine process.
"""

from __future__ import annotations

import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_regcon.errors import RegconError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


_LOOK_S = 0.05
"""How often work that waits for the window looks whether it is cancelled."""


def _nothing(_value: Any) -> None:
    """Ignore a value."""


@dataclass(eq=False)
class Task:
    """Work that is under way; made by :meth:`Background.start`."""

    work: Generator[Any, None, Any]
    done: Callable[[Any], None]
    failed: Callable[[str], None]
    step: Callable[[Any], None]
    unused: Callable[[Any], None]
    cancelled: bool = False
    results: list[Any] = field(default_factory=list)
    delivered: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """Stop at the next step; nothing more is reported."""
        self.cancelled = True

    def dispose(self) -> None:
        """Get rid of a result that nobody was given."""
        while self.results:
            self.unused(self.results.pop())


class Background(QObject):
    """Runs generators in a few threads and reports in the GUI thread.

    Parameters
    ----------
    parent : QObject, optional
        Owner.
    n_threads : int
        How many threads; with one, work is done in the order in which it was started.
    """

    _report = Signal(object, object, object)

    def __init__(self, parent: QObject | None = None, n_threads: int = 2) -> None:
        super().__init__(parent)
        self._pool = ThreadPoolExecutor(n_threads, thread_name_prefix="ThreadPoolExecutor-regcon")
        self._tasks: set[Task] = set()
        self._closed = False
        self._report.connect(self._deliver)  # queued, as it is emitted in other threads

    def start(
        self,
        work: Generator[Any, None, Any],
        *,
        done: Callable[[Any], None] = _nothing,
        failed: Callable[[str], None] = _nothing,
        step: Callable[[Any], None] = _nothing,
        unused: Callable[[Any], None] = _nothing,
    ) -> Task:
        """Run a generator to its end.

        Parameters
        ----------
        work : generator
            Must not touch widgets or layers' events.
        done, failed, step : callable
            Called in the GUI thread with the value of the finished generator, with a message
            for people, and with each value it yields; the generator goes on after that.
        unused : callable
            Called with the value where nobody was given it because the task was cancelled.
        """
        task = Task(work, done, failed, step, unused)
        if not self._closed:
            self._tasks.add(task)
            self._pool.submit(self._run, task)
        return task

    def close(self) -> None:
        """Stop everything and wait until the threads have ended."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        self._pool.shutdown(wait=True, cancel_futures=True)
        for task in self._tasks:
            task.dispose()
        self._tasks.clear()

    def _run(self, task: Task) -> None:
        ended: Callable[[Any], None] = _nothing
        value: Any = None
        try:
            while not task.cancelled:
                step = next(task.work)
                if task.step is not _nothing:
                    task.delivered.clear()
                    self._send(task, task.step, step)
                    while not (task.delivered.wait(_LOOK_S) or task.cancelled):
                        pass
        except StopIteration as stop:
            ended, value = task.done, stop.value
            task.results.append(value)
        except (RegconError, OSError, MemoryError) as error:
            ended, value = task.failed, str(error) or "The computer is out of memory."
        except Exception as error:  # noqa: BLE001 - a thread must not end silently
            traceback.print_exc()
            ended, value = task.failed, f"Something unexpected went wrong: {error!r}."
        finally:
            task.work.close()
        self._send(task, ended, value)
        self._send(task, self._forget, task)

    def _send(self, task: Task, call: Callable[[Any], None], value: Any) -> None:
        if not self._closed:
            self._report.emit(task, call, value)

    def _deliver(self, task: Task, call: Callable[[Any], None], value: Any) -> None:
        if self._closed:
            return
        try:
            if call == self._forget:
                call(value)
            elif not task.cancelled:
                if call is task.done:
                    task.results.clear()
                call(value)
        finally:
            task.delivered.set()

    def _forget(self, task: Task) -> None:
        task.dispose()
        self._tasks.discard(task)
