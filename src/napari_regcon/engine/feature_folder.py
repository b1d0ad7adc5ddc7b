"""A folder of feature tiles on disk, each a zarr array in a file of its own.

A tile is found by a name that says everything it was computed from, so a file is never out of
date: nobody asks for it any more once the image or a parameter is another. Several programs may
use one folder at the same time: a file appears whole under its name or not at all, and one that
has gone or is damaged is simply not found. What was used longest ago goes first. Nothing here
imports torch, knows what a tile shows, or waits in the background.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
import uuid
from contextlib import suppress
from pathlib import Path

import numpy as np
import platformdirs

DIR_VARIABLE = "NAPARI_REGCON_CACHE_DIR"
"""Environment variable with another folder for everything that can be computed again."""
RESERVE_BYTES = 2 * 2**30
"""So much of a disk is left to others, however large the cache may be."""
KEPT_FRACTION = 0.9
"""Once the limit is reached, the oldest files go until this part of it is in use."""

_NAME = "napari-regcon-features"
_SUFFIX = ".zarr.zip"
_UNFINISHED = ".unfinished"
_ABANDONED_S = 3600.0


def default_cache_dir() -> Path:
    """Return the folder of the operating system for what can be computed again."""
    chosen = os.environ.get(DIR_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    return platformdirs.user_cache_path("napari-regcon", appauthor=False)


class FeatureFolder:
    """Tiles in files, up to a number of bytes.

    Parameters
    ----------
    parent : pathlib.Path, optional
        Where the folder is made; :func:`default_cache_dir` where not given.
    limit_bytes : int
        Bound on all files together, those of other programs included.
    reserve_bytes : int
        Bytes of the disk that stay free.

    Attributes
    ----------
    path : pathlib.Path
        The folder; it need not exist yet.
    usage_bytes : int
        Bytes of all files as of the last look, and of what was written here since.
    """

    def __init__(
        self,
        parent: Path | None = None,
        limit_bytes: int = 10 * 2**30,
        *,
        reserve_bytes: int = RESERVE_BYTES,
    ) -> None:
        self.path = (parent or default_cache_dir()) / _NAME
        self.limit_bytes = limit_bytes
        self.usage_bytes = 0
        self._reserve_bytes = reserve_bytes
        self._since_look = 0

    def has(self, name: str) -> bool:
        """Return whether there is a file of this name."""
        return self._file(name).exists()

    def read(self, name: str) -> np.ndarray | None:
        """Return the tile of this name; None where there is none, or only a damaged one.

        Parameters
        ----------
        name : str
            As it was written.
        """
        file = self._file(name)
        try:
            values = _load(file)
            os.utime(file)  # used just now
        except FileNotFoundError:
            return None
        except Exception:  # noqa: BLE001 - a damaged file fails in any way; it is made anew
            _remove(file)
            return None
        return values

    def write(self, name: str, values: np.ndarray) -> None:
        """Keep a tile, at the cost of those that were used longest ago.

        Parameters
        ----------
        name : str
            Letters and digits.
        values : numpy.ndarray
            Of any shape. Left out if it is larger than all there may be.

        Raises
        ------
        OSError
            If the folder cannot be written to, or the disk is full.
        """
        if values.nbytes > self.limit_bytes:
            return
        self.path.mkdir(parents=True, exist_ok=True)
        self._make_room(values.nbytes)
        unfinished = self.path / f"{uuid.uuid4().hex}{_UNFINISHED}"
        try:
            _save(unfinished, values)
            n_bytes = unfinished.stat().st_size
            unfinished.replace(self._file(name))
        finally:
            unfinished.unlink(missing_ok=True)
        self.usage_bytes += n_bytes
        self._since_look += n_bytes

    def look(self, room_bytes: int = 0) -> None:
        """Count what is there, and remove what is too much or was left unfinished.

        Parameters
        ----------
        room_bytes : int
            Bytes that are about to be added.
        """
        everything = self._files()
        for modified, _, file in everything:
            if file.name.endswith(_UNFINISHED) and modified < time.time() - _ABANDONED_S:
                _remove(file)
        found = [entry for entry in everything if entry[2].name.endswith(_SUFFIX)]
        total = sum(size for _, size, _ in found)
        if total + room_bytes > self.limit_bytes:
            goal = min(KEPT_FRACTION * self.limit_bytes, self.limit_bytes - room_bytes)
            for _, size, file in sorted(found):
                if total <= goal:
                    break
                total -= size if _remove(file) else 0
        self.usage_bytes = total
        self._since_look = 0

    def count(self) -> int:
        """Return the bytes of all files, and remove nothing."""
        return sum(size for _, size, _ in self._files())

    def clear(self) -> None:
        """Remove all tiles; files of other kinds are left alone."""
        for _, _, file in self._files():
            if file.name.endswith(_SUFFIX):  # another program may be at work on the rest
                _remove(file)
        self.look()

    def _make_room(self, n_bytes: int) -> None:
        """Remove old files; look again now and then, as other programs write here too."""
        often = (1 - KEPT_FRACTION) * self.limit_bytes
        if self.usage_bytes + n_bytes > self.limit_bytes or self._since_look > often:
            self.look(n_bytes)
        free = shutil.disk_usage(self.path).free
        if free < self._reserve_bytes + n_bytes:
            raise OSError(
                errno.ENOSPC,
                f"{free / 2**30:.1f} GB are free, and {self._reserve_bytes / 2**30:.1f} GB are "
                "left to other programs",
            )

    def _file(self, name: str) -> Path:
        return self.path / f"{name}{_SUFFIX}"

    def _files(self) -> list[tuple[float, int, Path]]:
        """Return when each file of ours was used last, its bytes and its path."""
        found = []
        with suppress(OSError):  # there is no folder yet, or none that may be read
            for file in self.path.iterdir():
                if file.name.endswith((_SUFFIX, _UNFINISHED)):
                    with suppress(OSError):  # another program was quicker
                        stat = file.stat()
                        found.append((stat.st_mtime, stat.st_size, file))
        return found


def _save(file: Path, values: np.ndarray) -> None:
    """Write a zarr array of one chunk into a zip file, which holds a checksum of its bytes."""
    import zarr
    from zarr.storage import ZipStore

    with ZipStore(file, mode="w") as store:
        # Features hardly get smaller by compression: it would cost more time than it saves.
        array = zarr.create_array(
            store,
            shape=values.shape,
            chunks=values.shape,
            dtype=values.dtype,
            compressors=None,
            filters=None,
            config={"write_empty_chunks": True},  # or zeros could not be told from damage
        )
        array[...] = values


def _load(file: Path) -> np.ndarray:
    import zarr
    from zarr.storage import ZipStore

    if not file.exists():
        raise FileNotFoundError(file)
    with ZipStore(file, mode="r") as store:
        array = zarr.open_array(store, mode="r")
        if array.nchunks_initialized != array.nchunks:
            raise ValueError(f"{file} lacks its pixels")  # zarr would give zeros instead
        values: np.ndarray = np.asarray(array[...])
    return values


def _remove(file: Path) -> bool:
    """Remove a file; False where that cannot be, as where Windows is reading it."""
    try:
        file.unlink(missing_ok=True)
    except OSError:
        return False
    return True
