"""Session files: what was painted and decided, in one small file.

A session file is a zip with a text ``session.json`` that describes it, and the painted labels
as numpy arrays beside it. It holds no pixels of the image and nothing that has to be unpickled,
and every size is checked before it is read. Files are written next to their place and moved
there, so a crash or a full disk leaves the old one whole. What the description says is known in
:mod:`napari_regcon.session.described`.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_regcon.data.export_files import explained
from napari_regcon.errors import InputError
from napari_regcon.session.described import describe, understand

if TYPE_CHECKING:
    from napari_regcon.session.saved import SessionState

SUFFIX = ".regcon"
_DESCRIPTION = "session.json"
_MAX_JSON_BYTES = 64 * 1024**2
_MAX_LABEL_BYTES = 16 * 1024**3
_HEADER_BYTES = 128

_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    KeyError,
    ValueError,
    TypeError,
    OverflowError,
    EOFError,
    RecursionError,
    NotImplementedError,  # a compression that is not known here
    RuntimeError,  # encrypted
)


def save_session(state: SessionState, path: Path) -> None:
    """Write a session file; either the whole file is there afterwards or the old one.

    Raises
    ------
    InputError
        If the disk is full or the folder cannot be written to.
    """
    meta, arrays = describe(state)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as stream:
                with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                    archive.writestr(_DESCRIPTION, json.dumps(meta, indent=1))
                    for name, labels in arrays.items():
                        archive.writestr(f"{name}.npy", _npy(labels))
                stream.flush()
                os.fsync(stream.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def load_session(path: str | os.PathLike[str]) -> SessionState:
    """Read a session file.

    Parameters
    ----------
    path : str or pathlib.Path
        A file that the dock saved, by hand or by itself.

    Returns
    -------
    SessionState
        What it holds. :func:`napari_regcon.fit_session` makes a predictor of it.

    Raises
    ------
    InputError
        If it is not a session file, is damaged, or was written by a newer version.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive)
    except FileNotFoundError as error:
        raise InputError(f"There is no session file {str(path)!r}.") from error
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error.strerror or error}.") from error
    except MemoryError as error:
        raise InputError(
            f"There is too little memory for what {path.name} says is painted.",
            next_step="Close other programs, or open it on a computer with more memory.",
        ) from error
    except _DAMAGED as error:
        raise InputError(
            f"{path.name} is not a session file, or it is damaged ({error}).",
            expected=f"Expected a {SUFFIX} file written by this tool.",
        ) from error


def _read(archive: zipfile.ZipFile) -> SessionState:
    if archive.getinfo(_DESCRIPTION).file_size > _MAX_JSON_BYTES:
        raise ValueError("its description is too long")
    left = _MAX_LABEL_BYTES

    def labels(name: str, shape: tuple[int, int]) -> np.ndarray:
        nonlocal left
        info = archive.getinfo(f"{name}.npy")
        left -= info.file_size
        if left < 0:
            raise ValueError("more is painted than any computer holds")
        return _labels(archive, info, shape)

    return understand(json.loads(archive.read(_DESCRIPTION)), labels)


def _labels(archive: zipfile.ZipFile, info: zipfile.ZipInfo, shape: tuple[int, int]) -> np.ndarray:
    """Read an array whose size is known beforehand, whatever the file says of it."""
    n_bytes = shape[0] * shape[1]
    if not n_bytes < info.file_size <= n_bytes + _HEADER_BYTES:
        raise ValueError(f"{info.filename} has another size than it should have")
    with archive.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise ValueError(f"{info.filename} holds no labels")
        header = np.lib.format.read_array_header_1_0(stream)
        if header != (shape, False, np.dtype(np.uint8)):
            raise ValueError(f"{info.filename} holds other labels than it should")
        content = stream.read(n_bytes)
        # The sum over the content is only checked at its end.
        if len(content) != n_bytes or stream.read(1):
            raise ValueError(f"{info.filename} is not whole")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(array), (1, 0), allow_pickle=False)
    return stream.getvalue()
