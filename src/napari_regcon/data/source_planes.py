"""Planes that training tasks are drawn from, in groups that show the same things in the same way.

A group is drawn first, then planes of it, so that small data sets count. A plane can be had at
half, a quarter... of its size, so that crops at a large scale cost no more than others. Nothing
here knows what a task is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SMALLEST_PX = 16
"""Planes are not halved below this."""

MOST_TRIES = 1000
"""A part of an image that shows nothing gives no task; so many in a row are no chance."""


@dataclass(frozen=True, eq=False)
class SourcePlane:
    """A grey plane that tasks are drawn from.

    Parameters
    ----------
    image : numpy.ndarray
        ``(Y, X)`` float32, about [0, 1].
    labels : numpy.ndarray or None
        ``(Y, X)`` integers, 0 = background; None where there are none.
    instances : bool
        Whether a label value is one object rather than a class.
    group : str
        Planes of one group show the same classes in the same way. What stands before the first
        slash names the family of the group.
    """

    image: np.ndarray
    labels: np.ndarray | None
    instances: bool
    group: str

    @cached_property
    def values(self) -> np.ndarray:
        """Label values that occur."""
        return np.unique(self.labels) if self.labels is not None else np.empty(0, np.int64)

    @cached_property
    def places(self) -> dict[int, np.ndarray]:
        """Some places ``(N, 2)`` of each label value of a class image; of any, for instances."""
        if self.labels is None:
            return {}
        if self.instances:
            return {0: np.argwhere(np.ones_like(self.labels))[::101]}
        found = {}
        for value in self.values:
            places = np.argwhere(self.labels == value)
            found[int(value)] = places[:: max(1, len(places) // 2000)]
        return found

    @cached_property
    def half(self) -> SourcePlane | None:
        """The plane at half its size (means; every second label), or None if that is too small."""
        rows, columns = (length // 2 for length in self.image.shape)
        if min(rows, columns) < SMALLEST_PX:
            return None
        blocks = self.image[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2)
        labels = None if self.labels is None else self.labels[: 2 * rows : 2, : 2 * columns : 2]
        return SourcePlane(blocks.mean((1, 3)), labels, self.instances, self.group)


@dataclass(frozen=True, eq=False)
class PlaneGroups:
    """Groups of planes, some of which are drawn more often than others.

    Parameters
    ----------
    planes : sequence of SourcePlane
        All planes.
    shares : mapping of str to float
        How often a family of groups is drawn, relative to the others; 1 where not given.
    """

    planes: Sequence[SourcePlane]
    shares: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def all(self) -> list[list[SourcePlane]]:
        """The planes of each group."""
        groups: dict[str, list[SourcePlane]] = {}
        for plane in self.planes:
            groups.setdefault(plane.group, []).append(plane)
        return list(groups.values())

    @cached_property
    def _chances(self) -> np.ndarray:
        families = [planes[0].group.partition("/")[0] for planes in self.all]
        chances = [self.shares.get(name, 1.0) / families.count(name) for name in families]
        return np.cumsum(chances) / sum(chances)

    def draw(self, rng: np.random.Generator) -> list[SourcePlane]:
        """Draw a group and return its planes."""
        index = int(np.searchsorted(self._chances, rng.random(), side="right"))
        return self.all[min(index, len(self.all) - 1)]


def shows_too_little() -> InputError:
    """Return the error for planes that give no task in :data:`MOST_TRIES` tries."""
    return InputError(
        "The images show too little to learn from: hardly any part has more than one grey.",
        next_step="Choose images that show something.",
    )
