"""Where results of long work go: files to make, or arrays to fill."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from napari_regcon.data.export_files import WritableArray
from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_regcon.types import Volume

Target: TypeAlias = str | Path | WritableArray
"""A file to make, or an array to fill."""


def refuse_inputs(targets: Iterable[Target | None], volume: Volume) -> None:
    """Refuse to write over the image, or two results to one file.

    Raises
    ------
    InputError
        Names the file.
    """
    taken = [volume.source.resolve()] if volume.source is not None else []
    for target in targets:
        if isinstance(target, str | Path):
            if Path(target).resolve() in taken:
                raise InputError(
                    f"{str(target)!r} is the image, or the file of the other result.",
                    next_step="Choose another name.",
                )
            taken.append(Path(target).resolve())
