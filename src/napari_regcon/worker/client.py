"""The window's side of the engine process: ask, and be told.

Requests are queued and written by a thread of their own, events are read by another, so that
the caller never waits for the engine; for the thread that writes, some milliseconds at most. The
process is started when it is first needed. If it ends, whoever listens is told in words, and the
next request starts a new one that is first told everything again. Nothing here knows Qt, or what
the engine computes.
"""

from __future__ import annotations

import itertools
import logging
import queue
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_regcon.errors import EngineError
from napari_regcon.worker.pending import PendingJobs
from napari_regcon.worker.process import EngineProcess
from napari_regcon.worker.protocol import (
    Cancel,
    CloseImage,
    EngineDied,
    EngineEvent,
    JobFailed,
    Request,
    Shutdown,
)
from napari_regcon.worker.state import EngineState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_log = logging.getLogger(__name__)

GRACE_S = 1.5
"""Seconds the engine has to stop a job before it is ended."""
HAND_OVER_S = 0.003
"""Seconds a caller leaves the interpreter to the thread that writes, at most."""
START_TIMEOUT_S = 120.0
"""Seconds the engine has to say its first word."""


class EngineClient:
    """A handle on one engine process, started when first needed.

    Parameters
    ----------
    on_event : callable
        Called with every event, from a thread of the client; it should hand the event over to
        its own thread at once. It is not called any more after :meth:`close`.
    env : mapping of str to str, optional
        Environment variables for the engine on top of those of this process.
    start_timeout_s : float
        Seconds the engine has to start.
    """

    def __init__(
        self,
        on_event: Callable[[EngineEvent], None],
        *,
        env: Mapping[str, str] | None = None,
        start_timeout_s: float = START_TIMEOUT_S,
    ) -> None:
        self._on_event = on_event
        self._env = dict(env or {})
        self._start_timeout_s = start_timeout_s
        self._generations = itertools.count(1)
        self._outbox: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._written = threading.Event()
        self._state = EngineState()  # touched by the sender thread only
        self._jobs = PendingJobs()
        self._lock = threading.Lock()  # guards what follows
        self._process: EngineProcess | None = None
        self._sender: threading.Thread | None = None
        self._readers: list[threading.Thread] = []
        self._is_closed = False

    @property
    def pid(self) -> int | None:
        """Process id of the engine; None while it is not running."""
        process = self._process
        return process.pid if process else None

    @property
    def pending(self) -> tuple[int, ...]:
        """Generations that have not been answered to the end."""
        return self._jobs.generations()

    def next_generation(self) -> int:
        """Return a number that no request has carried yet."""
        return next(self._generations)

    def send(self, request: Request) -> None:
        """Queue a request and return in milliseconds; arrays in it must not be changed any more.

        A window that is drawn next keeps the interpreter to itself until that is done, so the
        thread that writes is let in before, for a moment.

        Raises
        ------
        EngineError
            If the client is closed.
        """
        if isinstance(request, Cancel):
            self.cancel(request.generation)
            return
        with self._lock:
            if self._is_closed:
                raise EngineError("The engine was closed together with its window.")
            self._jobs.add(request)
            if self._sender is None:
                self._sender = _thread(self._send_all, "regcon-engine-sender")
        self._written.clear()
        self._outbox.put(request)
        self._written.wait(HAND_OVER_S)

    def cancel(self, generation: int, *, grace_s: float = GRACE_S) -> None:
        """Stop the work of a generation, if need be by ending the engine process.

        Parameters
        ----------
        generation : int
            That of the request. Nothing happens if it is answered or cancelled already.
        grace_s : float
            Seconds the engine has to stop by itself.
        """
        start = partial(_timer, grace_s, self._insist, generation, grace_s)
        if self._jobs.watch(generation, start, again=False):
            self._outbox.put(Cancel(generation))

    def close(self, timeout_s: float = 2.0) -> None:
        """End the engine and all threads; can be called twice.

        Parameters
        ----------
        timeout_s : float
            Seconds after which the engine is killed if it has not ended by itself.
        """
        with self._lock:
            self._is_closed = True
            sender = self._sender
        timers = self._jobs.clear()
        self._outbox.put(None)
        if sender is not None:
            sender.join(timeout_s / 2)  # it says goodbye, unless the pipe is stuck
        if process := self._process:
            process.end(timeout_s / 2)
        for thread in (sender, *self._readers, *timers):
            if thread not in (None, threading.current_thread()):
                thread.join()

    def _send_all(self) -> None:
        while (request := self._outbox.get()) is not None:
            if self._is_closed:
                continue
            try:
                self._pass_on(request)
            except EngineError as error:
                self._jobs.give(request, error)
                self._mourn(error, str(error))
            except OSError as error:  # its end is told by the thread that reads
                _log.debug("The engine ended before it could read %r: %s", request, error)
            except Exception as error:  # noqa: BLE001 - told, and the next one is sent
                self._tell_unsent(request, error)
            self._written.set()
        if process := self._process:
            try:
                process.send(Shutdown())
            except OSError as error:
                _log.debug("The engine ended before it was asked to: %s", error)

    def _pass_on(self, request: Request) -> None:
        is_state = self._state.apply(request)
        messages: list[Request] = [request]
        with self._lock:
            process = self._process
            self._jobs.give(request, process)
        if process is None:
            if isinstance(request, Cancel | CloseImage | Shutdown):
                return  # no reason to start an engine
            process = self._start(request)
            messages = [*self._state.replay(), *([] if is_state else [request])]
        for message in messages:
            process.send(message)

    def _tell_unsent(self, request: Request, error: Exception) -> None:
        words = f"A request could not be sent to the engine ({error!r})."
        if event := self._jobs.settle(JobFailed(getattr(request, "generation", None), words)):
            self._tell(event)

    def _start(self, request: Request) -> EngineProcess:
        process = EngineProcess(self._env)
        with self._lock:
            self._process = process
            self._jobs.give(request, process)
            self._readers = [t for t in self._readers if t.is_alive()]
            self._readers.append(_thread(self._read_all, "regcon-engine-reader", process))
        return process

    def _read_all(self, process: EngineProcess) -> None:
        watch = _timer(self._start_timeout_s, self._check_started, process)
        try:
            while True:
                event = self._jobs.settle(process.receive())
                watch.cancel()
                if event is not None:
                    self._tell(event)
        except EOFError:
            pass  # the regular end of the stream
        except Exception as error:  # noqa: BLE001 - told to the user, and the engine is ended
            process.kill(f"The engine sent something that cannot be read ({error!r}).")
        watch.cancel()
        process.end(2.0)
        process.clean_up()
        self._mourn(process, process.obituary(), process.last_lines)

    def _mourn(self, process: object, message: str, details: str = "") -> None:
        """Tell that a process has ended, or could not start, and what that leaves unanswered."""
        with self._lock:
            if self._process is process:
                self._process = None
            stopped, lost = self._jobs.take(process)
        for answer in stopped:
            self._tell(answer)
        self._tell(EngineDied(message, lost, details))

    def _tell(self, event: EngineEvent) -> None:
        if self._is_closed:
            return
        try:
            self._on_event(event)
        except Exception:  # noqa: BLE001 - a mistake of the listener must not end this thread
            _log.exception("What listens to the engine failed on %r", event)

    def _insist(self, generation: int, grace_s: float) -> None:
        """End the engine if it did not stop a job; wait longer while it starts."""
        process = self._process
        if generation not in self._jobs.generations():
            return
        if process is not None and process.is_ready:
            process.kill(f"The engine did not stop within {grace_s:g} s and was ended.")
        elif not self._is_closed:
            start = partial(_timer, grace_s, self._insist, generation, grace_s)
            self._jobs.watch(generation, start, again=True)

    def _check_started(self, process: EngineProcess) -> None:
        if not process.is_ready:
            process.kill(f"The engine did not start within {self._start_timeout_s:g} s.")


def _timer(delay_s: float, action: Callable[..., None], *args: Any) -> threading.Timer:
    timer = threading.Timer(delay_s, action, args)
    timer.daemon = True
    timer.start()
    return timer


def _thread(target: Callable[..., None], name: str, *args: Any) -> threading.Thread:
    thread = threading.Thread(target=target, name=name, args=args, daemon=True)
    thread.start()
    return thread
