"""Many files of one slice each, as one stack.

Slices are put in the order of the numbers in their names and decoded when they are asked for.
All headers are looked at first, so a slice of another size is found before work starts.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_regcon.data.axes import UNKNOWN
from napari_regcon.data.source import Source
from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    Reader = Callable[[Path], Source]


def read_stack(files: Iterable[Path], readers: Mapping[str, Reader], place: Path) -> Source:
    """Read files of equal shape and type as one stack.

    Parameters
    ----------
    files : iterable of pathlib.Path
        Candidates; those of other kinds are left out.
    readers : mapping of str to function
        Reader by file ending, for the kinds of file that may hold a slice.
    place : pathlib.Path
        The folder or pattern, for messages.

    Raises
    ------
    InputError
        If there are no files, kinds are mixed, or a slice differs from the first.
    """
    chosen = sorted((f for f in files if _is_slice(f, readers)), key=_numbers_last)
    kinds = Counter(readers[f.suffix.lower()] for f in chosen)
    if not chosen:
        raise InputError(
            f"There are no images in {str(place)!r}.",
            expected=f"Expected files that end in {', '.join(readers)}.",
        )
    if len(kinds) > 1:
        endings = ", ".join(sorted({f.suffix for f in chosen}))
        raise InputError(
            f"{str(place)!r} holds images of different kinds ({endings}).",
            next_step=f"Choose one kind with a pattern, such as {place / '*'!s}{chosen[0].suffix}.",
        )
    read = readers[chosen[0].suffix.lower()]
    first = read(chosen[0])
    slices = FileSlices(chosen, read, first)
    return Source(
        slices,
        UNKNOWN + first.axes,
        (1, *slices.shape[1:]),
        first.scale,
        n_channels=first.n_channels,
    )


class FileSlices:
    """A stack whose slices are files.

    Parameters
    ----------
    files : list of pathlib.Path
        In order.
    read : function
        Reads one.
    first : Source
        The first one, which all others have to be like.
    """

    def __init__(self, files: list[Path], read: Reader, first: Source) -> None:
        self._files = files
        self._read = read
        self.shape = (len(files), *first.array.shape)
        self.dtype: np.dtype[Any] = first.array.dtype
        self.ndim = len(self.shape)

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        return np.stack([self._slice(file)[key[1:]] for file in self._files[key[0]]])

    def _slice(self, file: Path) -> np.ndarray:
        array = self._read(file).array
        if tuple(array.shape) != self.shape[1:] or array.dtype != self.dtype:
            raise InputError(
                f"{str(file)!r} has the shape {tuple(array.shape)} and type {array.dtype}, but the "
                f"first slice has {self.shape[1:]} and {self.dtype}.",
                next_step="Remove it, or make all slices alike.",
            )
        return np.asarray(array[(slice(None),) * array.ndim])


def _is_slice(file: Path, readers: Mapping[str, Reader]) -> bool:
    return file.is_file() and file.suffix.lower() in readers and not file.name.startswith(".")


def _numbers_last(file: Path) -> list[tuple[int, int | str]]:
    """Return a sorting key that puts slice 2 in front of slice 10."""
    parts = re.split(r"(\d+)", file.name)
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts if part]
