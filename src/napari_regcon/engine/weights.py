"""Weights by name or file: fetch, import, load.

The one module that others need. :func:`fetch` brings known weights from the network,
:func:`import_file` takes in a file from elsewhere, :func:`load_state` gives the tensors. It does
not know which network the tensors belong to; that is checked by whoever fills them in.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_regcon.engine.weights_check import MAX_BYTES, check_file
from napari_regcon.engine.weights_fetch import fetch, iter_fetch
from napari_regcon.engine.weights_file import read_state
from napari_regcon.engine.weights_lock import (
    entries,
    find,
    imported_entry,
    known_sum,
    licence_accepted,
    require_licence,
)
from napari_regcon.engine.weights_registry import (
    REGISTRY,
    WeightsEntry,
    check_name,
    how_to_import,
    path_of,
    weights_dir,
)
from napari_regcon.engine.weights_store import disk_error, part_file, remove, settle, sha256_of
from napari_regcon.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "MAX_BYTES",
    "REGISTRY",
    "WeightsEntry",
    "WeightsInfo",
    "copy_in",
    "entries",
    "fetch",
    "find",
    "import_file",
    "iter_fetch",
    "known_sum",
    "licence_accepted",
    "load_state",
    "path_of",
    "recognise",
    "remove",
    "require_licence",
    "weights_dir",
]


@dataclass(frozen=True)
class WeightsInfo:
    """What is known about weights that were read.

    Parameters
    ----------
    name : str
        Their name, or that of the file where they have none.
    path : pathlib.Path
        The file.
    sha256 : str
        Its sum.
    size_bytes : int
        Its size.
    n_tensors, n_parameters : int
        How many tensors, and how many numbers in all of them.
    licence : str
        Name of the licence; of an unknown file, what the file itself says.
    card : dict of str to Any
        What the file says about itself, unchecked.
    """

    name: str
    path: Path
    sha256: str
    size_bytes: int
    n_tensors: int
    n_parameters: int
    licence: str
    card: dict[str, Any] = field(default_factory=dict)


def load_state(name_or_path: str | Path) -> tuple[dict[str, Tensor], WeightsInfo]:
    """Read weights that are on this computer.

    Parameters
    ----------
    name_or_path : str or pathlib.Path
        A name in the registry, one given at import, or a file. A string that is a name is never
        taken for a file.

    Returns
    -------
    state : dict of str to torch.Tensor
        Tensors on the processor; ``{"state_dict": ...}`` and the like are unwrapped.
    info : WeightsInfo
        What they are.

    Raises
    ------
    WeightsError
        If they are not here, not yet allowed to be used, changed, damaged, foreign or hostile.
        Nothing in a file is ever run.
    """
    entry = None if isinstance(name_or_path, Path) else _named(name_or_path)
    if entry is None:
        path = Path(name_or_path).expanduser()
        check_file(path)
        sha256 = sha256_of(path)
        entry = recognise(path, sha256)
        if entry is not None:
            require_licence(entry)
        state, card = read_state(path)
    else:
        path = path_of(entry)
        if not path.exists():
            raise _missing(entry)
        require_licence(entry)
        state, card = read_state(path)
        sha256 = settle(entry, path)
    return state, _describe(path, sha256, state, card, entry)


def import_file(
    path: str | Path, *, name: str | None = None, accept_licence: bool = False
) -> WeightsInfo:
    """Copy a file into the weights folder, after checking it to the last tensor.

    Parameters
    ----------
    path : str or pathlib.Path
        The file.
    name : str, optional
        A name in the registry, or any new one. Where not given, known weights are recognised by
        their sum or file name, and others are called like the file.
    accept_licence : bool
        Accept a research-only licence, once for all.

    Returns
    -------
    WeightsInfo
        What was imported.

    Raises
    ------
    WeightsError
        If the file cannot be used, is not what the name says, or the name is taken.
    """
    state, card = read_state(Path(path).expanduser())
    entry = copy_in(path, name=name, accept_licence=accept_licence)
    target = path_of(entry)
    return _describe(target, sha256_of(target), state, card, entry)


def copy_in(
    path: str | Path, *, name: str | None = None, accept_licence: bool = False
) -> WeightsEntry:
    """Do what :func:`import_file` does, but without torch, for the window's own process.

    The outside of the file is checked here, its tensors when they are loaded.

    Parameters
    ----------
    path, name, accept_licence
        As in :func:`import_file`.

    Returns
    -------
    WeightsEntry
        What the file is known as from now on.

    Raises
    ------
    WeightsError
        As :func:`import_file`, except for what only shows in the tensors.
    """
    source = Path(path).expanduser()
    suffix = {"torch": ".pt", "safetensors": ".safetensors"}[check_file(source)]
    entry = _entry_for(source, name, suffix)
    require_licence(entry, accept=accept_licence)
    target = path_of(entry)
    with part_file(target) as (part, file):
        try:
            with file, source.open("rb") as original:
                shutil.copyfileobj(original, file)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise disk_error(error, target) from error
        settle(entry, part, source="import")
    return entry


def recognise(path: Path, sha256: str = "") -> WeightsEntry | None:
    """Return the known weights that a file is, if any; needs no torch.

    Parameters
    ----------
    path : pathlib.Path
        Any file.
    sha256 : str, optional
        Its sum, where it is known already.

    Returns
    -------
    WeightsEntry or None
        Weights of the same sum or, where their sum is not known yet, of the same file name.

    Raises
    ------
    WeightsError
        If the file is not one with weights.
    """
    if not sha256:
        check_file(path)
        sha256 = sha256_of(path)
    known = list(entries())
    by_sum = (entry for entry in known if known_sum(entry) == sha256)
    by_file = (e for e in known if e.file_name == path.name and known_sum(e) is None)
    return next(by_sum, None) or next(by_file, None)


def _named(name: str) -> WeightsEntry | None:
    """Return the entry of a name; None where it can only be meant as a file."""
    try:
        is_file = Path(name).expanduser().exists()
    except (OSError, RuntimeError):  # too long for a file name, or the home of an unknown user
        is_file = False
    if is_file and all(entry.name != name for entry in entries()):
        return None
    return find(name)


def _entry_for(source: Path, name: str | None, suffix: str) -> WeightsEntry:
    known = {entry.name: entry for entry in entries()}
    entry = known.get(name) if name else recognise(source, sha256_of(source))
    if entry is not None:
        if entry.packaged_file:
            raise WeightsError(f"The weights {entry.name!r} ship with the plugin already.")
        return entry
    name = name or source.stem
    check_name(name)
    file_name = f"{name}{suffix}"
    if file_name.lower() in {entry.file_name.lower() for entry in known.values()}:
        raise WeightsError(
            f"The name {name!r} would give the file {file_name}, which other weights have.",
            next_step="Choose another with --name.",
        )
    return imported_entry(name, file_name, source.stat().st_size)


def _missing(entry: WeightsEntry) -> WeightsError:
    get = f"Run: napari-regcon weights fetch {entry.name}. " if entry.url else ""
    return WeightsError(
        f"The weights {entry.name!r} are not on this computer.",
        next_step=get + how_to_import(entry),
    )


def _describe(
    path: Path,
    sha256: str,
    state: dict[str, Tensor],
    card: dict[str, Any],
    entry: WeightsEntry | None,
) -> WeightsInfo:
    claimed = str(card.get("licence") or card.get("license") or "not stated")
    return WeightsInfo(
        name=entry.name if entry else path.stem,
        path=path,
        sha256=sha256,
        size_bytes=path.stat().st_size,
        n_tensors=len(state),
        n_parameters=sum(tensor.numel() for tensor in state.values()),
        licence=entry.licence if entry and entry.licence_url else claimed,
        card=card,
    )
