"""What is recorded about weights: their checksums, and the licences that were accepted.

Beside the weights lies one small file, ``weights-lock.json``. It holds the SHA-256 sum of every
file as it was first fetched or imported, so that a later change is noticed even where nobody
published a sum. Nothing here opens weights or the network.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING
from uuid import uuid4

from napari_regcon.engine.weights_registry import (
    DIR_VARIABLE,
    REGISTRY,
    WeightsEntry,
    check_name,
    weights_dir,
)
from napari_regcon.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK_NAME = "weights-lock.json"


@dataclass(frozen=True)
class StoredFile:
    """A file in the weights folder as it was when it came.

    Parameters
    ----------
    file_name : str
        Its name in the folder.
    sha256 : str
        Its sum.
    size_bytes : int
        Its size.
    source : str
        The URL it was fetched from, ``"import"``, or ``"found"`` where it lay there already.
    """

    file_name: str
    sha256: str
    size_bytes: int
    source: str


@dataclass(frozen=True)
class Lock:
    """Contents of the lock file.

    Parameters
    ----------
    files : dict of str to StoredFile
        By name of the weights.
    accepted : dict of str to str
        Licence that was accepted, by name of the weights.
    """

    files: dict[str, StoredFile] = field(default_factory=dict)
    accepted: dict[str, str] = field(default_factory=dict)


def read_lock() -> Lock:
    """Read the lock file of the weights folder; empty where there is none.

    Raises
    ------
    WeightsError
        If it cannot be read or is damaged.
    """
    path = weights_dir() / LOCK_NAME
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return Lock()
    except OSError as error:
        raise WeightsError(
            f"{path} cannot be read: {error}",
            next_step=f"Make it readable, or choose another folder with {DIR_VARIABLE}.",
        ) from error
    except ValueError as error:
        raise _damaged(path) from error
    try:
        files = {name: StoredFile(**stored) for name, stored in raw["files"].items()}
        for name, stored in files.items():
            check_name(name)
            check_name(stored.file_name)
        return Lock(files, {str(k): str(v) for k, v in raw["accepted"].items()})
    except (KeyError, TypeError, AttributeError, WeightsError) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> WeightsError:
    return WeightsError(
        f"The list of checksums and accepted licences {path} is damaged.",
        next_step="Delete it; the sums of the files beside it are then recorded anew, and files "
        "of your own have to be imported again.",
    )


def _write_lock(lock: Lock) -> None:
    path = weights_dir() / LOCK_NAME
    part = path.with_name(f"{LOCK_NAME}.{uuid4().hex[:8]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(asdict(lock), indent=2) + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        with suppress(OSError):  # what went wrong above is told; this is only to tidy up
            part.unlink()
        raise WeightsError(
            f"{path} cannot be written: {error}",
            next_step=f"Make the folder writable, or choose another with {DIR_VARIABLE}.",
        ) from error


def entries() -> Iterator[WeightsEntry]:
    """Iterate over the registry, then over what was imported under other names."""
    yield from REGISTRY.values()
    for name, stored in read_lock().files.items():
        if name not in REGISTRY:
            yield imported_entry(name, stored.file_name, stored.size_bytes)


def imported_entry(name: str, file_name: str, size_bytes: int) -> WeightsEntry:
    """Return the entry of a file that a user imported under a name of their own."""
    return WeightsEntry(
        name=name,
        task="imported",
        method="",
        licence="as its author says",
        licence_url="",
        research_only=False,
        size_bytes=size_bytes,
        sha256=None,
        url=None,
        packaged_file=None,
        citation="",
        version="",
        file_name=file_name,
    )


def find(name: str) -> WeightsEntry:
    """Return the entry of this name.

    Raises
    ------
    WeightsError
        Lists the names there are.
    """
    known = {entry.name: entry for entry in entries()}
    if name in known:
        return known[name]
    raise WeightsError(
        f"There are no weights called {name!r}.",
        expected=f"Expected one of {', '.join(known)}, or the path of a file that exists.",
        next_step="A file of your own gets a name with: napari-regcon weights import FILE.",
    )


def known_sum(entry: WeightsEntry) -> str | None:
    """Return the sum the file of an entry must have: the published or the recorded one."""
    stored = read_lock().files.get(entry.name)
    return entry.sha256 or (stored.sha256 if stored else None)


def record_file(name: str, stored: StoredFile) -> None:
    """Record the sum of a file for all later times."""
    lock = read_lock()
    _write_lock(replace(lock, files=lock.files | {name: stored}))


def forget_file(name: str) -> None:
    """Forget a file, for example because it is deleted."""
    lock = read_lock()
    _write_lock(replace(lock, files={n: f for n, f in lock.files.items() if n != name}))


def licence_accepted(entry: WeightsEntry) -> bool:
    """Whether the weights may be used: nothing to accept, or accepted already."""
    return not entry.research_only or read_lock().accepted.get(entry.name) == entry.licence


def require_licence(entry: WeightsEntry, *, accept: bool = False) -> None:
    """Check that the licence of an entry is accepted, or accept it once for all.

    Raises
    ------
    WeightsError
        Shows the licence and says how to accept it.
    """
    if licence_accepted(entry):
        return
    if accept:
        lock = read_lock()
        _write_lock(replace(lock, accepted=lock.accepted | {entry.name: entry.licence}))
        return
    raise WeightsError(
        f"The weights {entry.name!r} come under the licence {entry.licence}: they, and what is "
        "trained from them, may be used for research only.",
        expected=f"Read it at {entry.licence_url}; it has to be accepted once.",
        next_step=f"If you accept it: napari-regcon weights fetch {entry.name} --accept-licence.",
    )
