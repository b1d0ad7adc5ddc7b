"""Many files of one slice each, as one stack.

Slices are put in the order of the numbers in their names and decoded when they are asked for.
All headers are looked at first, so a slice of another size is found before work starts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from napari_regcon.data.axes import UNKNOWN
from napari_regcon.data.source import Source, explained
from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    Reader: TypeAlias = Callable[[Path], Source]


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
    chosen = sorted((f for f in files if _is_slice(f, readers)), key=_natural)
    if not chosen:
        raise InputError(
            f"There are no images in {str(place)!r}.",
            expected=f"Expected files that end in {', '.join(readers)}, or a zarr folder.",
        )
    endings = sorted({file.suffix for file in chosen})
    if len({readers[ending.lower()] for ending in endings}) > 1:
        raise InputError(
            f"{str(place)!r} holds images of different kinds ({', '.join(endings)}).",
            next_step=f"Choose one kind with a pattern such as '*{endings[0]}'.",
        )
    read = readers[endings[0].lower()]
    with explained(chosen[0]):
        first = read(chosen[0])
    slices = FileSlices(chosen, read, tuple(first.array.shape), first.array.dtype)
    n_plane = 3 if first.axes.endswith("C") else 2
    plane = (1,) * (slices.ndim - 1 - n_plane) + slices.shape[-n_plane:]
    return Source(
        slices,
        UNKNOWN + first.axes,
        (1, *(first.chunks or plane)),
        first.scale,
        first.translate,
        first.n_channels,
    )


class FileSlices:
    """A stack whose slices are files.

    Parameters
    ----------
    files : list of pathlib.Path
        In order.
    read : function
        Reads one.
    shape, dtype : tuple of int, numpy.dtype
        Those of the first slice.

    Raises
    ------
    InputError
        If another slice has another shape or type.
    """

    def __init__(
        self, files: list[Path], read: Reader, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        self._files = files
        self._read = read
        self.shape = (len(files), *shape)
        self.dtype = dtype
        self.ndim = len(self.shape)
        for file in files[1:]:
            self._slice(file)

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        return np.stack([self._slice(file)[key[1:]] for file in self._files[key[0]]])

    def _slice(self, file: Path) -> Any:
        with explained(file):
            array = self._read(file).array
        if tuple(array.shape) != self.shape[1:] or array.dtype != self.dtype:
            raise InputError(
                f"{str(file)!r} has the shape {tuple(array.shape)} and type {array.dtype}, but "
                f"{str(self._files[0])!r} has {self.shape[1:]} and {self.dtype}.",
                expected="Expected slices of equal shape and type.",
                next_step="Open a single file, or choose the slices with a pattern such as "
                "'slice_*.tif'.",
            )
        return array


def _is_slice(file: Path, readers: Mapping[str, Reader]) -> bool:
    return file.is_file() and file.suffix.lower() in readers and not file.name.startswith(".")


def _natural(file: Path) -> list[tuple[int, int, str]]:
    """Return a sorting key that puts slice 2 in front of slice 10."""
    parts = re.split(r"(\d+)", file.name)
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts if part]
