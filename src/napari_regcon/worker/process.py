"""One run of the engine: the child process, its pipes, and why it ended.

The child is a fresh interpreter, not a fork and not ``multiprocessing``'s spawn, which would
run an unguarded script of the user a second time. Requests go to its standard input, events
come from its standard output; both end when either process does. Nothing here knows what is
in the messages.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from napari_regcon.errors import EngineError
from napari_regcon.worker import wire
from napari_regcon.worker.protocol import PROTOCOL_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

_log = logging.getLogger(__name__)

_ENVIRONMENT = {
    # Waiting OpenMP threads that spin make a busy computer several times slower.
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "0",
    "KMP_BLOCKTIME": "0",
    # So do those of OpenBLAS; the small systems that a fit solves are quickest on one thread.
    "OPENBLAS_NUM_THREADS": "1",
    # Where native code crashes, say where.
    "PYTHONFAULTHANDLER": "1",
    "PYTHONIOENCODING": "utf-8",
}
_KEPT_LINES = 60
_AGAIN = "Nothing painted is lost, and the next request starts the engine again."
_SIGNALS = {
    "SIGKILL": "was ended by the operating system, most likely because memory ran out",
    "SIGTERM": "was ended from outside",
    "SIGSEGV": "crashed in native code (segmentation fault)",
    "SIGBUS": "crashed because shared memory or a file it was reading went away (SIGBUS)",
    "SIGILL": "crashed because this processor lacks an instruction that PyTorch uses (SIGILL)",
    "SIGABRT": "crashed in native code (abort)",
    "SIGFPE": "crashed in native code (arithmetic error)",
}


class EngineProcess:
    """A running engine process.

    Parameters
    ----------
    env : mapping of str to str
        Environment variables on top of those of this process.

    Raises
    ------
    EngineError
        If the operating system does not start it.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        # -P keeps files that happen to lie in the current folder from being imported.
        command = [sys.executable, "-P", "-m", "napari_regcon.worker.server"]
        try:
            self._popen = subprocess.Popen(  # noqa: S603 - our own module
                [*command, str(PROTOCOL_VERSION)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**_ENVIRONMENT, **os.environ, **env},
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            raise EngineError(
                f"The engine could not be started: {error}.",
                next_step="Close other programs if memory is short, then try again.",
            ) from error
        self.pid = self._popen.pid
        self.is_ready = False
        self._ended_because = ""
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._listener = threading.Thread(
            target=self._listen, name="regcon-engine-stderr", daemon=True
        )
        self._listener.start()

    def send(self, message: object) -> None:
        """Write a message; waits while the pipe is full.

        Raises
        ------
        OSError
            If the engine has ended.
        """
        assert self._popen.stdin is not None  # noqa: S101 - for the type checker
        wire.write(self._popen.stdin, wire.pack(message))

    def receive(self) -> Any:
        """Wait for the next event.

        Raises
        ------
        EOFError
            If the engine has ended.
        """
        assert self._popen.stdout is not None  # noqa: S101 - for the type checker
        event = wire.unpack(wire.read(self._popen.stdout))
        self.is_ready = True
        return event

    def kill(self, because: str = "") -> None:
        """End the process at once; ``because`` is what the user is told."""
        self._ended_because = self._ended_because or because
        self._popen.kill()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the process to end; False if it has not."""
        try:
            self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def end(self, timeout_s: float) -> None:
        """Wait for the process to end by itself, then terminate, then kill it."""
        for insist in (self._popen.terminate, self._popen.kill):
            if self.wait(timeout_s / 2):
                break
            insist()
        self._popen.wait()

    def clean_up(self) -> None:
        """Close the pipes of a process that has ended."""
        self._listener.join(1.0)  # a grandchild may hold the pipe open
        for pipe in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            if pipe is not None:
                with suppress(OSError):  # what was still to be flushed has nobody to read it
                    pipe.close()

    @property
    def last_lines(self) -> str:
        """The last lines the engine wrote to its standard error."""
        return "\n".join(self._lines)

    def obituary(self) -> str:
        """Say in words why the process ended."""
        code = self._popen.returncode
        last = next((line for line in reversed(self._lines) if line.strip()), "")
        if self._ended_because:
            return f"{self._ended_because} {_AGAIN}"
        if not self.is_ready and code > 0:
            return (
                f"The engine could not start: {last or f'exit code {code}'}. Check that PyTorch "
                f"works: run '{sys.executable} -c \"import torch\"' in a terminal. {_AGAIN}"
            )
        if code < 0:
            name = _signal_name(-code)
            return f"The engine {_SIGNALS.get(name, f'was ended by the signal {name}')}. {_AGAIN}"
        if code == 0:
            return f"The engine ended without being asked. {_AGAIN}"
        shown = f"0x{code:08X}" if code > 255 else str(code)  # Windows numbers its crashes so
        return (
            f"The engine ended with an error (exit code {shown}): {last or 'no message'}. {_AGAIN}"
        )

    def _listen(self) -> None:
        assert self._popen.stderr is not None  # noqa: S101 - for the type checker
        with suppress(ValueError, OSError):  # closed under our hands at the end
            for line in self._popen.stderr:
                text = line.decode("utf-8", "replace").rstrip()
                self._lines.append(text)
                _log.debug("engine %d: %s", self.pid, text)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
