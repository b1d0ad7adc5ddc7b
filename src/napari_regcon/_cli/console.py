"""What all commands say to the terminal: progress, notes, errors, memory used.

Results go to standard output, everything else to standard error. Nothing here knows a command.
"""

import sys
from collections.abc import Iterable

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
        The work. Where it is a generator, it is closed when anything goes wrong here, Ctrl-C
        included, so that it can tidy up.
    what : str
        What is being done, for the bar.

    Returns
    -------
    Finished
        The last event.
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
        with Progress(*columns, console=stderr) as bar:
            task = bar.add_task(what, total=None, unit="")
            for event in events:
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


def peak_memory() -> str:
    """Return the most memory this process has had so far, or "unknown" (on Windows)."""
    if sys.platform == "win32":
        return "unknown"
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return decimal(peak if sys.platform == "darwin" else peak * 1024)
