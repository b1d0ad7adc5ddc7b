"""Get weights from the network into the weights folder, or say plainly why not.

A download runs on a thread of its own and goes into a file that ends in ``.part``. Only a whole
file with the right sum takes its place, in one step, so a cut connection, a full disk or a power
cut never leaves something that looks complete. What was cut is tried again from the start.
Nothing here opens weights further than :mod:`~napari_regcon.engine.weights_check` does.
"""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import Future, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from napari_regcon.engine.weights_check import MAX_BYTES
from napari_regcon.engine.weights_lock import find, require_licence
from napari_regcon.engine.weights_registry import (
    OFFLINE_VARIABLE,
    WeightsEntry,
    how_to_import,
    is_offline,
    path_of,
)
from napari_regcon.engine.weights_store import disk_error, part_file, settle
from napari_regcon.errors import WeightsError
from napari_regcon.types import Event, Finished, Note, Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from requests import Response

ATTEMPTS = 3
RETRY_WAIT_S = 1.0
TIMEOUT_S = 20.0
"""How long a server may say nothing before the connection counts as cut."""
_POLL_S = 0.1
_CHUNK_BYTES = 256 * 1024


def fetch(
    name: str,
    *,
    progress: bool | Callable[[Event], None] = True,
    accept_licence: bool = False,
) -> Path:
    """Make sure that weights are on this computer.

    Parameters
    ----------
    name : str
        A name in the registry.
    progress : bool or callable
        True shows a bar on the error stream; a callable gets every event.
    accept_licence : bool
        Accept a research-only licence, once for all.

    Returns
    -------
    pathlib.Path
        The checked file.

    Raises
    ------
    WeightsError
        If the name is unknown, the licence not accepted, the network or the disk fails, or the
        sum differs.
    """
    events = iter_fetch(name, accept_licence=accept_licence)
    with closing(events), _listener(name, progress) as listen:
        while True:
            try:
                listen(next(events))
            except StopIteration as stop:
                path: Path = stop.value
                return path


def iter_fetch(name: str, *, accept_licence: bool = False) -> Generator[Event, None, Path]:
    """Do what :func:`fetch` does, step by step; closing the generator stops the download.

    Parameters
    ----------
    name : str
        A name in the registry.
    accept_licence : bool
        Accept a research-only licence, once for all.

    Yields
    ------
    Event
        ``Progress`` in bytes about ten times a second, even while the server says nothing;
        ``Note`` where something is tried again; ``Finished`` last.

    Returns
    -------
    pathlib.Path
        The checked file.

    Raises
    ------
    WeightsError
        As :func:`fetch`.
    """
    start = time.monotonic()
    entry = find(name)
    require_licence(entry, accept=accept_licence)
    path = path_of(entry)
    if path.exists():
        try:
            settle(entry, path)
        except WeightsError as error:
            if not entry.url:
                raise
            yield Note(f"{error} It is fetched anew.")
            yield from _fetch_over(entry, path, start)
    else:
        yield from _fetch_over(entry, path, start)
    yield Finished(time.monotonic() - start, (path,))
    return path


class _Stopped(Exception):  # noqa: N818 - not an error: the user has pressed Cancel
    """Ends the thread of a download that nobody waits for any more."""


@dataclass
class _Transfer:
    """Stands between pooch and the file: counts, bounds and stops a download."""

    file: BinaryIO
    total: int = 0
    done: int = 0
    stopped: bool = False
    response: Response | None = None

    def answered(self, response: Response, **_: object) -> None:
        """Take note of an answer of the server, before its contents are read."""
        self.response = response
        self.total = int(response.headers.get("content-length", 0))

    def write(self, chunk: bytes) -> None:
        if self.stopped:
            raise _Stopped
        if self.done + len(chunk) > MAX_BYTES:
            raise WeightsError(
                "The server sends more than any weights need.",
                expected=f"Expected at most {MAX_BYTES / 1024**3:.0f} GiB.",
            )
        self.file.write(chunk)
        self.done += len(chunk)

    def flush(self) -> None:
        self.file.flush()

    def close(self) -> None:
        """Close the file and the connection, which pooch leaves open where it fails."""
        self.file.close()
        if self.response is not None:
            self.response.close()


def _download(url: str, part: Path, transfer: _Transfer, result: Future[None]) -> None:
    """Download into an open file and close it; runs on a thread of its own."""
    import pooch

    get = pooch.HTTPDownloader(
        chunk_size=_CHUNK_BYTES, timeout=TIMEOUT_S, hooks={"response": transfer.answered}
    )
    try:
        with closing(transfer):
            get(url, transfer, None)
            os.fsync(transfer.file.fileno())
    except Exception as error:  # noqa: BLE001 - raised again where the result is asked for
        part.unlink(missing_ok=True)
        result.set_exception(error)
    else:
        result.set_result(None)


def _attempt(
    entry: WeightsEntry, part: Path, transfer: _Transfer, start: float
) -> Generator[Event, None, None]:
    result: Future[None] = Future()
    # A daemon, because a server that says nothing must not keep the program from ending.
    threading.Thread(
        target=_download,
        args=(entry.url, part, transfer, result),
        name="weights-download",
        daemon=True,
    ).start()
    try:
        while True:
            is_done = bool(wait([result], timeout=_POLL_S).done)
            total = max(transfer.total or entry.size_bytes, transfer.done)
            yield Progress(transfer.done, total, "bytes", time.monotonic() - start)
            if is_done:
                return result.result()
    finally:
        transfer.stopped = True


def _fetch_over(entry: WeightsEntry, target: Path, start: float) -> Generator[Event, None, None]:
    """Fetch a file and put it in its place, over a damaged one if there is one."""
    _check_reachable(entry)
    import requests

    for attempt in range(1, ATTEMPTS + 1):
        with part_file(target) as (part, file):
            transfer = _Transfer(file)
            try:
                yield from _attempt(entry, part, transfer, start)
            except (requests.RequestException, ValueError) as error:
                if attempt == ATTEMPTS or not _may_recover(error, transfer):
                    raise _network_error(error, entry) from error
            except OSError as error:
                raise disk_error(error, target) from error
            else:
                settle(entry, part, source=str(entry.url))
                return
        yield Note(
            f"The connection broke after {transfer.done / 1e6:.1f} MB; "
            f"trying again from the start ({attempt + 1} of {ATTEMPTS})."
        )
        time.sleep(RETRY_WAIT_S)


def _check_reachable(entry: WeightsEntry) -> None:
    if not entry.url:
        raise WeightsError(
            f"The file of the weights {entry.name!r} is missing.", next_step=how_to_import(entry)
        )
    if is_offline():
        raise WeightsError(
            f"The weights {entry.name!r} are not on this computer, and the network is switched off "
            f"by {OFFLINE_VARIABLE}.",
            next_step=how_to_import(entry),
        )


def _may_recover(error: Exception, transfer: _Transfer) -> bool:
    """Whether trying again may help: the server answered, and then something broke."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return transfer.done > 0 if status is None else status >= 500


def _network_error(error: Exception, entry: WeightsEntry) -> WeightsError:
    status = getattr(getattr(error, "response", None), "status_code", None)
    reason = (
        f"the server answered {status} for {entry.url}."
        if status is not None
        else f"{entry.url} was not reached, or the connection broke ({type(error).__name__}). "
        "Is there a network, or a firewall or proxy in between?"
    )
    return WeightsError(
        f"The weights {entry.name!r} could not be fetched: {reason}",
        next_step=how_to_import(entry),
    )


@contextmanager
def _listener(
    name: str, progress: bool | Callable[[Event], None]
) -> Iterator[Callable[[Event], None]]:
    if progress is not True:
        yield progress or (lambda _: None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = ("{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)

        def show(event: Event) -> None:
            match event:
                case Progress(done=done, total=total):
                    bar.update(task, completed=done, total=total)
                case Note(text=text):
                    bar.console.print(text, markup=False)

        yield show
