"""Fully labelled crops of a support set, at the scale and brightness a network expects.

Some networks learn from examples in which every pixel is said. They come from the parts a user
has marked complete. Crops are drawn with a seed, so that a class can be seen in most of those
drawn for it. Nothing here knows the network.
"""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_regcon.data.network_image import mirrored, network_image, shrunk_labels
from napari_regcon.data.object_size import good_downscale, thickness
from napari_regcon.errors import InputError
from napari_regcon.types import Box

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_regcon.data.support import SupportExample, SupportSet

SMALLEST_SIDE_PX = 64
"""Crops are made smaller where all parts are small, but not below this."""

SIDE_MULTIPLE_PX = 8
"""Sides of crops are multiples of this."""

GOOD_SHARE = 0.75
"""Share of the crops drawn for a class that are placed so that they show it."""

_MEASURED = 8
"""About so many parts are looked at to tell how large something is."""

_TRIES = 4
"""So many places are looked at for each that is wanted."""


@dataclass(frozen=True, order=True)
class Place:
    """Where a crop lies: number of the part, and first row and column in it."""

    part: int
    y: int
    x: int


class DenseParts:
    """The fully labelled parts of a support set, and crops of them.

    Parameters
    ----------
    support : SupportSet
        Used are parts that are marked complete, and planes in which every pixel is painted.
    side_px : int
        Wanted side of a crop after shrinking.
    downscale : int
        How many pixels become one.

    Attributes
    ----------
    downscale : int
        How many pixels become one.
    side_px : int
        Side of a crop after shrinking: as wanted, or less where all parts are smaller.
    values : tuple of int
        Label values that occur.
    n_left_out : int
        Number of examples that are strokes only.

    Raises
    ------
    InputError
        If images of different kinds are mixed, nothing is fully labelled, a class is painted
        only as strokes, or there is only one class in all.
    """

    def __init__(self, support: SupportSet, *, side_px: int, downscale: int) -> None:
        support.require_classes()
        self._examples = [e for e in support.examples if e.is_finished]
        self.n_left_out = len(support.examples) - len(self._examples)
        self.values = tuple(int(v) for v in _values(self._examples))
        _check(support, self._examples, self.values)
        self._wanted_px = side_px
        self._set_downscale(downscale)

    def _set_downscale(self, downscale: int) -> None:
        self.downscale = downscale
        needed = math.ceil(self._longest_px / downscale / SIDE_MULTIPLE_PX) * SIDE_MULTIPLE_PX
        self.side_px = min(self._wanted_px, max(needed, SMALLEST_SIDE_PX))

    @property
    def _longest_px(self) -> int:
        return int(max(max(example.labels.shape) for example in self._examples))

    def at(self, downscale: int) -> DenseParts:
        """Return the same parts, shrunk otherwise."""
        other = copy(self)
        other._set_downscale(downscale)  # noqa: SLF001 - a copy of itself
        return other

    def suited_downscale(self, value: int) -> int:
        """Return how many pixels should become one for a class, as suits what is painted of it."""
        shown = [e.labels == value for e in self._examples if (e.labels == value).any()]
        few = shown[:: math.ceil(len(shown) / _MEASURED)]
        return good_downscale(thickness(few), self._longest_px, SMALLEST_SIDE_PX)

    @property
    def crop_px(self) -> int:
        """Side of a crop before shrinking."""
        return self.side_px * self.downscale

    def draw(self, value: int, n: int, rng: np.random.Generator) -> list[Place]:
        """Draw places for crops, most of which show a class.

        Most are placed around a random pixel of the class, in all parts that have it in turn;
        the others lie on a shaken lattice, where the class is not if there is such a place.

        Parameters
        ----------
        value : int
            Label value of the class, one of ``values``.
        n : int
            How many, or fewer where the parts are too small for different ones.
        rng : numpy.random.Generator
            Random numbers.

        Returns
        -------
        list of Place
            All different, in order.
        """
        chosen = set(self._around(value, math.ceil(GOOD_SHARE * n), rng))
        lattice = list(self._lattice(rng))
        order = rng.permutation(len(lattice))[: _TRIES * n]
        # Sorted by whether the class is there; the order is kept among equals.
        for i in sorted(order, key=lambda i: self._shows(lattice[i], value)):
            if len(chosen) == n:
                break
            chosen.add(lattice[i])
        return sorted(chosen)

    def read(self, place: Place) -> tuple[np.ndarray, np.ndarray]:
        """Read a crop.

        Parts that are smaller than the crop are continued as in a mirror.

        Returns
        -------
        numpy.ndarray, numpy.ndarray
            float32 grey image spread over [0, 1], and uint16 labels, ``(side_px, side_px)`` each.
        """
        example = self._examples[place.part]
        origin = example.box.start[-2:]
        inside = self._box(place)
        image = example.view(2).read(inside.shift(origin))
        labels = mirrored(example.labels[inside.slices], self.crop_px)
        return (
            network_image(image, self.crop_px, self.downscale),
            shrunk_labels(labels, self.downscale),
        )

    def _box(self, place: Place) -> Box:
        rows, columns = self._examples[place.part].labels.shape
        stop = (min(place.y + self.crop_px, rows), min(place.x + self.crop_px, columns))
        return Box((place.y, place.x), stop)

    def _shows(self, place: Place, value: int) -> bool:
        return bool((self._examples[place.part].labels[self._box(place).slices] == value).any())

    def _around(self, value: int, n: int, rng: np.random.Generator) -> Iterator[Place]:
        """Iterate over up to n different places that show a class."""
        parts = [i for i, e in enumerate(self._examples) if (e.labels == value).any()]
        order = rng.permutation(parts)
        found: set[Place] = set()
        for turn in range(_TRIES * n):
            if len(found) == n:
                return
            part = int(order[turn % len(order)])
            labels = self._examples[part].labels
            pixel = rng.choice(np.flatnonzero(labels == value))
            centre = np.unravel_index(pixel, labels.shape)
            shift = self.crop_px * rng.uniform(0.25, 0.75, 2)
            free = [max(0, length - self.crop_px) for length in labels.shape]
            y, x = (int(start) for start in np.clip(np.array(centre) - shift, 0, free))
            place = Place(part, y, x)
            if place not in found:
                found.add(place)
                yield place

    def _lattice(self, rng: np.random.Generator) -> Iterator[Place]:
        """Iterate over places about half a crop apart."""
        for part, example in enumerate(self._examples):
            rows, columns = (self._starts(length, rng) for length in example.labels.shape)
            yield from (Place(part, y, x) for y in rows for x in columns)

    def _starts(self, length: int, rng: np.random.Generator) -> list[int]:
        free = max(0, length - self.crop_px)
        step = self.crop_px // 2
        regular = np.linspace(0, free, math.ceil(free / step) + 1)
        shaken = regular + rng.uniform(-step / 4, step / 4, len(regular))
        return sorted({int(start) for start in np.clip(shaken, 0, free)})


def _values(examples: list[SupportExample]) -> np.ndarray:
    found = [np.unique(example.labels) for example in examples]
    return np.unique(np.concatenate([*found, np.empty(0, np.int64)]))


def _check(support: SupportSet, dense: list[SupportExample], values: tuple[int, ...]) -> None:
    channels = {e.volume.n_channels: e.volume.name for e in support.examples}
    if len(channels) > 1:
        raise InputError(
            "Labels on images with different numbers of channels cannot be mixed: "
            + ", ".join(f"{name!r} has {n}" for n, name in channels.items())
            + ".",
            next_step="Paint on images of one kind.",
        )
    remedy = (
        "Fill a slice from its strokes ('Fill slice' in the section Labels, --spread "
        "on the command line), paint a slice or a box to the end and mark it as complete, or "
        "choose the pixel head, which needs strokes only."
    )
    if not dense:
        raise InputError(
            f"Only strokes are painted, on {len(support.examples)} slice(s); nothing is marked "
            "as complete.",
            expected="Expected slices or boxes in which every pixel is said.",
            next_step=remedy,
        )
    painted = np.nonzero(support.painted_counts())[0]
    missing = [support.classes[i] for i in painted if i + 1 not in values]
    if missing:
        raise InputError(
            f"No complete slice or box shows {', '.join(repr(name) for name in missing)}; it is "
            "painted as strokes only.",
            expected="Expected every painted class in a part where every pixel is said.",
            next_step=remedy,
        )
