"""What a label volume held before long work wrote into it, so that this can be undone as one edit.

Only planes that held something are kept, compressed. Nothing here knows who writes, or where the
edit is remembered.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

from napari_regcon.session.history import BoxChange, Edit, plane_changes

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from napari_regcon.session.painted import Prefix
    from napari_regcon.types import LazyArray


class Before:
    """The planes of a label volume as they were; filled by :meth:`keep`."""

    def __init__(self) -> None:
        self._planes: dict[Prefix, bytes] = {}

    @property
    def nbytes(self) -> int:
        """Memory it takes."""
        return sum(len(packed) for packed in self._planes.values())

    def keep(self, labels: LazyArray, planes: Iterable[Prefix]) -> Generator[None, None, None]:
        """Keep some planes as they are now, one at each step; all others count as empty."""
        for prefix in planes:
            plane = np.ascontiguousarray(labels[prefix])
            if plane.any():
                self._planes[prefix] = zlib.compress(plane.data, 1)
            yield

    def edit(
        self, title: str, labels: LazyArray, planes: Iterable[Prefix], target: str
    ) -> Generator[None, None, Edit]:
        """Compare some planes with what they hold by now, one at each step.

        Parameters
        ----------
        title : str
            What was done, for a tooltip.
        labels : array
            Label volume.
        planes : iterable of tuple of int
            Those that may have changed.
        target : str
            As in :class:`napari_regcon.session.history.Edit`.

        Returns
        -------
        Edit
            What changed, as the value of the finished generator.
        """
        changes: list[BoxChange] = []
        for prefix in planes:
            after = np.asarray(labels[prefix])
            packed = self._planes.get(prefix)
            before = np.zeros_like(after)
            if packed is not None:
                before = np.frombuffer(zlib.decompress(packed), after.dtype).reshape(after.shape)
            changes += plane_changes(prefix, before, after)
            yield
        return Edit(title, tuple(changes), target)
