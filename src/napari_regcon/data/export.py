"""Write results, block by block, to a file or into an array that is there already.

A file grows under a temporary name beside its place and gets its own name when it is complete,
so a stopped or failed job never leaves something that looks like a result, and an existing
file stays until the new one is whole. Nothing here knows how the values were computed.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from rich.filesize import decimal

from napari_regcon.data.export_files import (
    FileOutput,
    ResultSpec,
    WritableArray,
    check_array,
    explained,
)
from napari_regcon.data.export_tiff import TiffOutput
from napari_regcon.data.export_zarr import ZarrOutput
from napari_regcon.errors import InputError
from napari_regcon.types import Box, LazyArray, Volume

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

FORMATS: dict[str, type[FileOutput]] = {
    ".zarr": ZarrOutput,
    ".tif": TiffOutput,
    ".tiff": TiffOutput,
}
"""File formats by the ending of the name."""

_ZARR_MARKS = ("zarr.json", ".zgroup", ".zarray")


class Output:
    """Where a result goes. Use it in a ``with`` statement.

    On a clean exit a file gets its final name; on any error, and when the job is stopped, it is
    removed. Blocks written into an array stay there.

    Parameters
    ----------
    target : pathlib.Path or WritableArray
        File to make, or array to fill.
    spec : ResultSpec
        What is written.
    overwrite : bool
        Whether a file of that name may be replaced.

    Raises
    ------
    InputError
        If the target cannot be used.
    """

    def __init__(
        self, target: str | Path | WritableArray, spec: ResultSpec, *, overwrite: bool = False
    ) -> None:
        self.spec = spec
        self.overwrite = overwrite
        self.dtype = spec.dtype
        self.path: Path | None = None
        self._file: FileOutput | None = None
        if isinstance(target, str | Path):
            self.path = Path(target)
            check_path(self.path, overwrite=overwrite)
        elif isinstance(target, WritableArray):
            self._array = target
            self.dtype = np.dtype(target.dtype)
            check_array(target, spec)
        else:
            raise InputError(
                f"A result cannot be written to a {type(target).__name__}.",
                expected="Expected a file name or an array.",
            )

    @property
    def space_bytes(self) -> int:
        """Disk space to have free before starting, 0 for arrays."""
        if self.path is None:
            return 0
        return int(self.spec.n_bytes * FORMATS[self.path.suffix.lower()].space_share)

    def write(self, box: Box, values: np.ndarray) -> None:
        """Write a block.

        Parameters
        ----------
        box : Box
            Where, in the label axes.
        values : numpy.ndarray
            ``box.shape`` labels, or ``(C, *box.shape)`` probabilities.

        Raises
        ------
        InputError
            If the disk is full or the file cannot be written.
        """
        if self.path is None:
            channels = (slice(None),) if self.spec.is_probability else ()
            self._array[(*channels, *box.slices)] = values
        elif self._file is None:
            raise ValueError("an Output is written to inside its with statement")
        else:
            with explained(self.path):
                self._file.write(box, values)

    def __enter__(self) -> Self:
        if self.path is not None:
            temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
            if temporary.is_dir():
                shutil.rmtree(temporary)
            if self.path.suffix.lower() == ".zarr":
                self._file = ZarrOutput(temporary, self.spec)
            else:
                ome = ".ome." in self.path.name.lower()
                self._file = TiffOutput(temporary, self.spec, ome=ome)
            try:
                with explained(self.path):
                    self._file.create()
            except BaseException:
                self._file.discard()
                raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        file, self._file = self._file, None
        if file is None or self.path is None:
            return
        if error is not None:
            file.discard()
            return
        try:
            with explained(self.path):
                file.close()
                self._move(file.path, self.path)
        except BaseException:
            file.discard()
            raise

    def _move(self, temporary: Path, path: Path) -> None:
        """Give a complete file its name, and only then delete the one it replaces."""
        check_path(path, overwrite=self.overwrite)
        if path.is_dir():
            old = path.with_name(f"{path.name}.{os.getpid()}.old")
            path.rename(old)
            temporary.rename(path)
            shutil.rmtree(old)
        else:
            temporary.replace(path)


def require_space(outputs: Iterable[Output]) -> None:
    """Check that the disks have room for the results.

    Raises
    ------
    InputError
        Says how much is needed and how much is free.
    """
    needed: dict[int, tuple[int, Path]] = {}
    for output in outputs:
        if output.path is not None:
            folder = output.path.absolute().parent
            device = folder.stat().st_dev
            needed[device] = (needed.get(device, (0, folder))[0] + output.space_bytes, folder)
    for n_bytes, folder in needed.values():
        free = shutil.disk_usage(folder).free
        if n_bytes > free:
            raise InputError(
                f"The result needs about {decimal(n_bytes)}, but only {decimal(free)} are free in "
                f"{str(folder)!r}.",
                next_step="Free some space or choose another disk; .zarr is smaller than .tif.",
            )


def save_labels(
    path: str | Path,
    labels: LazyArray,
    volume: Volume,
    *,
    classes: Iterable[tuple[int, str]] = (),
    overwrite: bool = False,
) -> Path:
    """Write labels that are there already, plane by plane, with the scale of their image.

    Parameters
    ----------
    path : str or pathlib.Path
        Ends in ``.zarr``, ``.tif`` or ``.tiff``.
    labels : array
        Whole numbers of shape ``volume.label_shape``. Read plane by plane.
    volume : Volume
        The image they belong to; its axes, scale, units and position go into the file.
    classes : iterable of (int, str)
        Value and name of each class, for the file's metadata.
    overwrite : bool
        Whether an existing file is replaced.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    InputError
        If the path or the labels cannot be used, or the disk is full.
    """
    kind = np.dtype(np.uint8) if labels.dtype == np.bool_ else np.dtype(labels.dtype)
    if tuple(labels.shape) != volume.label_shape or not np.issubdtype(kind, np.integer):
        raise InputError(
            f"Labels of shape {tuple(labels.shape)} and type {labels.dtype} cannot be saved.",
            expected=f"Expected whole numbers of shape {volume.label_shape}.",
        )
    planes = list(volume.prefixes(2))
    ranges = [(plane.min(), plane.max()) for plane in (np.asarray(labels[p]) for p in planes)]
    if min(low for low, _ in ranges) < 0:
        raise InputError("The labels hold negative values.", expected="Expected 0 or more.")
    dtype = np.min_scalar_type(int(max(high for _, high in ranges)))
    spec = ResultSpec.like(volume, dtype, tuple(classes), name=f"{volume.name} labels")
    with Output(path, spec, overwrite=overwrite) as output:
        require_space([output])
        for prefix in planes:
            plane = np.asarray(labels[prefix])
            start = (*prefix, 0, 0)
            stop = (*(i + 1 for i in prefix), *plane.shape)
            output.write(Box(start, stop), plane.reshape(Box(start, stop).shape).astype(dtype))
    return Path(path)


def check_path(path: Path, *, overwrite: bool) -> None:
    """Check that a result can be written there.

    Raises
    ------
    InputError
        If the ending is not known, the folder is missing or read-only, or something is there
        that may not be replaced.
    """
    if path.suffix.lower() not in FORMATS:
        raise InputError(
            f"The format of {str(path)!r} is not known.",
            expected=f"Expected a name that ends in {', '.join(FORMATS)}.",
        )
    folder = path.absolute().parent
    if not folder.is_dir():
        raise InputError(
            f"The folder {str(folder)!r} does not exist.", next_step="Create it first."
        )
    if not os.access(folder, os.W_OK):
        raise InputError(
            f"The folder {str(folder)!r} cannot be written to.",
            next_step="Choose a folder you may write to.",
        )
    if not path.exists():
        return
    if not overwrite:
        raise InputError(
            f"{str(path)!r} exists already.",
            next_step="Choose another name, or allow it to be overwritten.",
        )
    is_zarr = path.suffix.lower() == ".zarr"
    if path.is_dir() != is_zarr or (
        is_zarr and not any((path / mark).exists() for mark in _ZARR_MARKS)
    ):
        # Deleting a folder that merely has such a name could cost somebody their data.
        raise InputError(
            f"{str(path)!r} is not a {path.suffix} file, so it is not overwritten.",
            next_step="Choose another name.",
        )
