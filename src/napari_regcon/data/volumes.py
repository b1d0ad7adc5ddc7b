"""Open an image file as a volume, whatever its format, without reading its pixels.

One table says which reader takes which ending. Nothing here knows how a format looks inside.
"""

from __future__ import annotations

import difflib
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING

from napari_regcon.data.axes import checked_axes
from napari_regcon.data.read_arrays import read_mrc, read_npy
from napari_regcon.data.read_images import read_image
from napari_regcon.data.read_stack import read_stack
from napari_regcon.data.read_tiff import read_tiff
from napari_regcon.data.read_zarr import ZARR_MARKS, read_zarr
from napari_regcon.data.source import Source, explained, volume_of
from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_regcon.types import Volume

_SLICES = {
    **dict.fromkeys((".tif", ".tiff"), read_tiff),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".bmp"), read_image),
}
FORMATS: dict[str, Callable[[Path], Source]] = {
    **_SLICES,
    **dict.fromkeys((".btf", ".tf2", ".tf8"), read_tiff),
    ".npy": read_npy,
    **dict.fromkeys((".mrc", ".mrcs", ".rec", ".st", ".ali", ".map"), read_mrc),
    ".zarr": read_zarr,
}
"""Reader by file ending."""


def open_volume(path: str | Path, *, axes: str | None = None, name: str | None = None) -> Volume:
    """Open an image file, a folder of slices, or a zarr folder.

    Parameters
    ----------
    path : str or pathlib.Path
        TIFF (plain, ImageJ, OME, BigTIFF), OME-Zarr or zarr, PNG, JPEG, BMP, NPY or MRC; a
        folder of TIFF, PNG, JPEG or BMP slices, or a pattern such as ``"slices/*.tif"``.
    axes : str, optional
        What the axes are, in the order of the file (``"ZYX"``), where the file does not say it
        or says it wrongly.
    name : str, optional
        Name of the volume; that of the file where not given.

    Returns
    -------
    Volume
        Axes in the order TZYXC, without those of length 1 (but for Y and X). ``data`` is a
        memory map where pixels lie in one piece, an array for a single picture, and a dask
        array otherwise. Colours are channels; transparency is left out. Scale and units are
        those of the file, ``1.0`` and ``"pixel"`` where it has none.

    Raises
    ------
    InputError
        If the file is missing, damaged, of a format or type that is not known, or its axes are
        not clear.
    """
    path = Path(path).expanduser()
    if axes is not None:
        checked_axes(axes)
    if path.name in ZARR_MARKS:
        path = path.parent
    with explained(path):
        source = _read(path)
        return volume_of(source, axes=axes, name=name or _stem(path), path=path)


def _read(path: Path) -> Source:
    if path.is_dir():
        if path.suffix.lower() == ".zarr" or any((path / mark).exists() for mark in ZARR_MARKS):
            return read_zarr(path)
        return read_stack(path.iterdir(), _SLICES, path)
    if not path.exists():
        if has_magic(str(path)):
            pattern = path.relative_to(path.anchor)
            return read_stack(Path(path.anchor).glob(str(pattern)), _SLICES, path)
        raise _missing(path)
    reader = FORMATS.get(path.suffix.lower())
    if reader is None or reader is read_zarr:
        raise InputError(
            f"The format of {str(path)!r} is not known.",
            expected=f"Expected a file that ends in {', '.join(FORMATS)}, or a folder of slices.",
            next_step="Save it as TIFF or OME-Zarr first.",
        )
    if not path.stat().st_size:
        raise InputError(f"{str(path)!r} is an empty file.")
    return reader(path)


def _missing(path: Path) -> InputError:
    folder = path.parent
    names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
    similar = difflib.get_close_matches(path.name, names, n=1)
    return InputError(
        f"There is no file {str(path)!r}.",
        next_step=f"Did you mean {similar[0]!r}?" if similar else "Check the name and the folder.",
    )


def _stem(path: Path) -> str:
    """Return the name without endings that say the format."""
    known = (*FORMATS, ".ome")
    stem = path.name
    while (ending := Path(stem).suffix).lower() in known and ending != stem:
        stem = stem.removesuffix(ending)
    return stem or "image"
