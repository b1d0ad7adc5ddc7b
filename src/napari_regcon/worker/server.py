"""The engine process: ``python -m napari_regcon.worker.server``, started by the window.

A thread reads requests, so that a cancel or a newer preview is seen while work is done; the
main thread does the work. When the window closes its pipe or dies, the process ends by itself.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

from napari_regcon.worker import wire
from napari_regcon.worker.protocol import PROTOCOL_VERSION, Shutdown

if TYPE_CHECKING:
    from napari_regcon.worker.protocol import EngineEvent

LAST_WORK_S = 2.0
"""Seconds that work has to stop in good order once the window is gone."""
TELL_S = 0.5
"""While features are written to disk, the window is told so often how much there is."""


def main(version: str) -> None:
    """Serve the window until it asks to stop.

    Parameters
    ----------
    version : str
        Version of the protocol that the window speaks.
    """
    if version != str(PROTOCOL_VERSION):
        raise SystemExit(
            "napari-regcon was updated while napari was running; save your work, restart napari"
        )
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the window, which then ends us
    requests, events = _take_pipes()
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(requests, inbox), name="requests", daemon=True).start()
    _serve(inbox, events)
    sys.stderr.flush()
    os._exit(0)  # taking torch down in good order takes longer than a window wants to wait


def _serve(inbox: queue.SimpleQueue[Any], events: IO[bytes]) -> None:
    # Only now: what is imported here takes long, and the window may end meanwhile.
    from napari_regcon.worker.loop import EngineLoop

    def emit(event: EngineEvent) -> None:
        with suppress(OSError):  # the window is gone, and the thread that reads ends us
            wire.write(events, wire.pack(event))

    loop = EngineLoop(emit)
    while True:
        while not loop.is_busy or not inbox.empty():
            try:
                request = inbox.get(timeout=TELL_S if loop.is_settling else None)
            except queue.Empty:
                loop.tell_use()
                continue
            if isinstance(request, Shutdown):
                loop.close()
                return
            loop.take(request)
        loop.step()


def _read(requests: IO[bytes], inbox: queue.SimpleQueue[Any]) -> None:
    while True:
        try:
            body = wire.read(requests)
        except EOFError:
            break
        try:
            inbox.put(wire.unpack(body))
        except Exception as error:  # noqa: BLE001 - refused by the loop, as any unknown request
            inbox.put(error)
    inbox.put(Shutdown())
    time.sleep(LAST_WORK_S)
    os._exit(1)


def _take_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Keep both pipes for ourselves: what a library prints goes to standard error instead."""
    requests = os.fdopen(os.dup(0), "rb", buffering=0)
    events = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, events


if __name__ == "__main__":
    main(sys.argv[1])
