"""How a file gets into the weights folder: whole, with the right sum, in one step.

Nothing here knows where a file comes from, what its tensors mean, or torch.
"""

from __future__ import annotations

import errno
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO
from uuid import uuid4

from napari_regcon.engine.weights_check import check_file
from napari_regcon.engine.weights_lock import (
    LOCK_NAME,
    StoredFile,
    find,
    forget_file,
    known_sum,
    record_file,
)
from napari_regcon.engine.weights_registry import DIR_VARIABLE, WeightsEntry, path_of
from napari_regcon.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_STALE_S = 24 * 3600.0
"""Age at which a part file belongs to no program that still runs."""


def settle(entry: WeightsEntry, path: Path, *, source: str = "found") -> str:
    """Check a file and its sum; where no sum is known yet, record the one it has.

    Parameters
    ----------
    entry : WeightsEntry
        What the file should be.
    path : pathlib.Path
        The file itself, or one that is about to take its place: then it is moved there.
    source : str
        Where it comes from, for the record and for messages.

    Returns
    -------
    str
        SHA-256 sum.

    Raises
    ------
    WeightsError
        If the file is not whole, its sum is not the published or recorded one, or the folder
        cannot be written.
    """
    check_file(path)
    actual = sha256_of(path)
    expected = known_sum(entry)
    if expected is not None and actual != expected.lower():
        raise _wrong_sum(entry, source, expected, actual)
    stored = StoredFile(entry.file_name, actual, path.stat().st_size, source)
    target = path_of(entry)
    if path != target:
        try:
            path.replace(target)
        except OSError as error:
            raise disk_error(error, target) from error
    if expected is None:
        record_file(entry.name, stored)
    return actual


def remove(name: str) -> None:
    """Delete weights from the weights folder, and forget them.

    Raises
    ------
    WeightsError
        If there are none of this name, they ship with the plugin, or cannot be deleted.
    """
    entry = find(name)
    if entry.packaged_file:
        raise WeightsError(f"The weights {name!r} ship with the plugin and stay.")
    path = path_of(entry)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise WeightsError(f"{path} cannot be deleted: {error}") from error
    forget_file(name)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 sum of a file, in lower-case hexadecimal digits."""
    import pooch

    return str(pooch.file_hash(str(path), alg="sha256"))


def _wrong_sum(entry: WeightsEntry, source: str, expected: str, actual: str) -> WeightsError:
    which = {"found": "on this computer", "import": "to import"}.get(source, f"from {source}")
    remedy = "It is damaged or was changed, and is not used. "
    if not entry.url:
        remedy += "If it is another file, import it under a name of its own with --name."
    elif entry.sha256 is None:
        lock = path_of(entry).with_name(LOCK_NAME)
        remedy += f"If its authors published it anew, remove {entry.name!r} from {lock} first."
    return WeightsError(
        f"The file {which} is not {entry.name!r} as it is known: its SHA-256 sum is {actual}.",
        expected=f"Expected {expected}, {'as published' if entry.sha256 else 'as first seen'}.",
        next_step=remedy,
    )


@contextmanager
def part_file(target: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Open a new file beside the target, which is gone afterwards unless it was moved.

    Parameters
    ----------
    target : pathlib.Path
        Where the file is to end up; its folder is made where missing.

    Yields
    ------
    path : pathlib.Path
        The new file; no other program uses the same one.
    file : binary file
        Open for writing; whoever uses it closes it.

    Raises
    ------
    WeightsError
        If the folder or the file cannot be written.
    """
    part = target.with_name(f"{target.name}.{uuid4().hex[:8]}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        file = part.open("xb")
    except OSError as error:
        raise disk_error(error, target) from error
    _remove_stale(target)
    try:
        yield part, file
    finally:
        # Windows keeps an open file until the thread that writes it has ended and removes it.
        with suppress(PermissionError):
            part.unlink(missing_ok=True)


def _remove_stale(target: Path) -> None:
    """Remove part files of programs that were killed."""
    for old in target.parent.glob(f"{target.name}.*.part"):
        with suppress(OSError):  # another program may have been quicker
            if time.time() - old.stat().st_mtime > _STALE_S:
                old.unlink()


def disk_error(error: OSError, target: Path) -> WeightsError:
    """Return the message for a file that could not be written."""
    if error.errno in {errno.ENOSPC, getattr(errno, "EDQUOT", None)}:
        what = f"The disk is full: {target} could not be written."
        remedy = "Free some space, or choose a folder on another disk"
    else:
        what = f"{target} cannot be written: {error}"
        remedy = "Make the folder writable, or choose another"
    return WeightsError(what, next_step=f"{remedy} with the variable {DIR_VARIABLE}.")
