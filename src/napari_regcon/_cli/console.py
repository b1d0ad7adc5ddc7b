"""What all commands say to the terminal: progress, notes, errors, memory used.

Results go to standard output, everything else to standard error. Nothing here knows a command.
"""

import contextlib
import signal
import sys
from collections.abc import Iterable, Iterator
from types import FrameType

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from napari_regcon import types
from napari_regcon.errors import RegconError

stdout = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)


def show_error(error: RegconError) -> None:
    """Print what was wrong in red, then what was expected and what to do."""
    stderr.print(Text(f"Error: {error.what}", style="bold red"))
    for part in (error.expected, error.next_step):
        if part:
            stderr.print(Text(part))


def follow(events: Iterable[types.Event], what: str) -> types.Finished:
    """Run long work to its end under a progress bar.

    Parameters
    ----------
    events : iterable of Event
        The work. Where it is a generator, it is closed when it is stopped, so that it can tidy
        up.
    what : str
        What is being done, for the bar.

    Returns
    -------
    Finished
        The last event.

    Raises
    ------
    KeyboardInterrupt, SystemExit
        After Ctrl-C or SIGTERM, between two steps; at once at the second Ctrl-C.
    """
    finished = types.Finished(0.0)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(elapsed_when_finished=False),
    )
    try:
        with _signals_wait() as signals, Progress(*columns, console=stderr) as bar:
            task = bar.add_task(what, total=None, unit="")
            for event in events:
                if signals:
                    raise signals[0]
                match event:
                    case types.Progress(done=done, total=total, what=unit):
                        bar.update(task, completed=done, total=total, unit=unit)
                    case types.Note(text=text):
                        bar.console.print(Text(text, style="yellow"))
                    case types.Finished():
                        finished = event
    finally:
        close = getattr(events, "close", None)
        if close is not None:
            close()
    return finished


@contextlib.contextmanager
def _signals_wait() -> Iterator[list[BaseException]]:
    """Collect what Ctrl-C and SIGTERM would raise, to raise it between two steps.

    Raised anywhere, it could hit between making a file and noting that it has to be removed,
    or while another thread writes to it.
    """
    waiting: list[BaseException] = []

    def note(number: int, _frame: FrameType | None) -> None:
        if waiting:
            raise waiting[0]
        waiting.append(KeyboardInterrupt() if number == signal.SIGINT else SystemExit(143))

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield waiting
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def peak_memory() -> str:
    """Return the most memory this process has had so far, or "unknown" (on Windows)."""
    if sys.platform == "win32":
        return "unknown"
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return decimal(peak if sys.platform == "darwin" else peak * 1024)
