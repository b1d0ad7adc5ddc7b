"""Features per pixel, computed once per tile and kept.

A :class:`FeatureExtractor` turns a tile with its halo into a stack of feature images. The
:class:`FeatureStore` reads the tile, computes it on the device and remembers the result within
a bound of bytes. Nothing here knows what the features are used for.
"""

from __future__ import annotations

import abc
import hashlib
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import torch

from napari_regcon.nn.filter_bank import FilterBank
from napari_regcon.types import Box

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from napari_regcon.data.support import SupportExample
    from napari_regcon.data.views import ImageView

SMALLEST_PART_PX = 32 * 32
"""Tiles are not computed in parts smaller than this."""


class FeatureExtractor(abc.ABC):
    """A function from a tile with its halo to features per pixel.

    The result for a pixel must depend on the image around it alone, not on where a tile is cut.

    Attributes
    ----------
    name : str
        For people.
    spatial_ndim : int
        2 for planes, 3 for stacks.
    halo_px : tuple of int
        Context needed on both sides of each spatial axis.
    """

    name: str
    spatial_ndim: int
    halo_px: tuple[int, ...]

    @property
    @abc.abstractmethod
    def fingerprint(self) -> str:
        """Differs wherever parameters or weights, and so the features, differ."""

    @abc.abstractmethod
    def n_features(self, n_channels: int) -> int:
        """Return the number of features of an image with so many channels."""

    @abc.abstractmethod
    def compute(self, image: Tensor, origin: Sequence[int]) -> Tensor:
        """Compute the features of a tile.

        Parameters
        ----------
        image : torch.Tensor
            float32 ``(C, *spatial)``, normalised; the tile with ``halo_px`` on every side.
        origin : sequence of int
            Position in the image of the first pixel of the tile (without halo).

        Returns
        -------
        torch.Tensor
            float32 ``(n_features(C), *tile)`` on the device of the image.
        """


class FilterBankExtractor(FeatureExtractor):
    """Classical image filters at several scales; needs no weights.

    Parameters
    ----------
    sigmas_px : sequence of float
        Scales of the filters.
    aspect : sequence of float
        Relative voxel size along each spatial axis; its length says whether planes or stacks
        are looked at. See :class:`napari_regcon.nn.filter_bank.FilterBank`.
    """

    name = "filter bank"

    def __init__(self, sigmas_px: Sequence[float], aspect: Sequence[float] = (1.0, 1.0)) -> None:
        self._bank = FilterBank(sigmas_px, aspect)
        self.spatial_ndim = self._bank.spatial_ndim
        self.halo_px = self._bank.halo_px

    @property
    def fingerprint(self) -> str:
        """Version of the filters, scales and voxel shape."""
        return f"filter-bank-1 {self._bank.sigmas_px} {self._bank.aspect}"

    def n_features(self, n_channels: int) -> int:
        """Return the number of features of an image with so many channels."""
        return n_channels * self._bank.n_features

    def compute(self, image: Tensor, origin: Sequence[int]) -> Tensor:
        """Compute the features of a tile; see :meth:`FeatureExtractor.compute`."""
        return self._bank(image, origin)


class ConcatExtractor(FeatureExtractor):
    """Several extractors side by side.

    Parameters
    ----------
    extractors : sequence of FeatureExtractor
        All for planes, or all for stacks.

    Raises
    ------
    ValueError
        If there are none, or they differ in ``spatial_ndim``.
    """

    def __init__(self, extractors: Sequence[FeatureExtractor]) -> None:
        self.extractors = tuple(extractors)
        if len({e.spatial_ndim for e in self.extractors}) != 1:
            raise ValueError("extractors to join must all be for planes or all for stacks")
        self.spatial_ndim = self.extractors[0].spatial_ndim
        self.name = " and ".join(e.name for e in self.extractors)
        halos = [e.halo_px for e in self.extractors]
        self.halo_px = tuple(max(along) for along in zip(*halos, strict=True))

    @property
    def fingerprint(self) -> str:
        """Those of all extractors, in order."""
        return " + ".join(e.fingerprint for e in self.extractors)

    def n_features(self, n_channels: int) -> int:
        """Return the sum over the extractors."""
        return sum(e.n_features(n_channels) for e in self.extractors)

    def compute(self, image: Tensor, origin: Sequence[int]) -> Tensor:
        """Compute the features of a tile; see :meth:`FeatureExtractor.compute`."""
        return torch.cat([e.compute(self._cut(image, e), origin) for e in self.extractors])

    def _cut(self, image: Tensor, extractor: FeatureExtractor) -> Tensor:
        for i, (have, need) in enumerate(zip(self.halo_px, extractor.halo_px, strict=True), 1):
            image = image.narrow(i, have - need, image.shape[i] - 2 * (have - need))
        return image


class FeatureStore:
    """Features of tiles, computed at the first request and kept while there is room.

    Parameters
    ----------
    capacity_bytes : int
        Bound on what is kept; the tiles not asked for longest go first.
    dtype : torch.dtype
        How features are kept. Half precision takes half the memory, and changed Dice by 0.001
        at most on five data sets.

    Notes
    -----
    An image is known by its array object: one that is changed in place needs :meth:`forget`.
    """

    def __init__(
        self, capacity_bytes: int = 2 * 2**30, *, dtype: torch.dtype = torch.float16
    ) -> None:
        self.capacity_bytes = capacity_bytes
        self.dtype = dtype
        self.usage_bytes = 0
        self.gathered: weakref.WeakKeyDictionary[SupportExample, Any] = weakref.WeakKeyDictionary()
        """Features of painted pixels, as long as the example they belong to is there."""
        self._part_px: int | None = None
        self._tiles: OrderedDict[tuple[Any, ...], tuple[weakref.ref[Any], Tensor]] = OrderedDict()

    def get(
        self, view: ImageView, tile: Box, extractor: FeatureExtractor, device: torch.device
    ) -> Tensor:
        """Return the features of a tile, ``(n_features, *tile.shape)`` on the device.

        Parameters
        ----------
        view : ImageView
            Where the tile is read from.
        tile : Box
            Spatial box inside the view.
        extractor : FeatureExtractor
            What is computed.
        device : torch.device
            Where it is computed and kept.
        """
        key = (view.key, tile, extractor.fingerprint, device)
        found = self._tiles.get(key)
        if found is not None and found[0]() is view.volume.data:
            self._tiles.move_to_end(key)
            return found[1]
        features = self._compute(view, tile, extractor, device)
        self._keep(key, view, features)
        return features

    def has(
        self, view: ImageView, tile: Box, extractor: FeatureExtractor, device: torch.device
    ) -> bool:
        """Return whether the features of a tile are there already."""
        found = self._tiles.get((view.key, tile, extractor.fingerprint, device))
        return found is not None and found[0]() is view.volume.data

    def forget(self, data: object) -> None:
        """Drop what was computed from an image array, or from arrays that no longer exist."""
        for key, (array, features) in list(self._tiles.items()):
            if array() is None or array() is data:
                del self._tiles[key]
                self.usage_bytes -= features.nbytes
        for example in list(self.gathered):
            if example.volume.data is data:
                del self.gathered[example]

    def clear(self) -> None:
        """Drop everything."""
        self._tiles.clear()
        self.gathered.clear()
        self.usage_bytes = 0

    def reduce_memory(self, tile_px: int) -> bool:
        """Keep half as much, and compute tiles in parts half as large, from now on.

        Parameters
        ----------
        tile_px : int
            Pixels of a tile.

        Returns
        -------
        bool
            False if parts are as small as they can be.
        """
        self.clear()
        self.capacity_bytes //= 2
        part_px = (self._part_px or tile_px) // 2
        if part_px < SMALLEST_PART_PX:
            return False
        self._part_px = part_px
        return True

    def _compute(
        self, view: ImageView, tile: Box, extractor: FeatureExtractor, device: torch.device
    ) -> Tensor:
        n_features = extractor.n_features(view.volume.n_channels)
        features = torch.empty((n_features, *tile.shape), dtype=self.dtype, device=device)
        for part in _parts(tile, self._part_px or tile.size):
            image = torch.from_numpy(view.read(part, extractor.halo_px)).to(device)
            target = part.shift(tuple(-i for i in tile.start)).slices
            features[:, *target] = extractor.compute(image, part.start)
        return features

    def _keep(self, key: tuple[Any, ...], view: ImageView, features: Tensor) -> None:
        replaced = self._tiles.pop(key, None)
        if replaced is not None:
            self.usage_bytes -= replaced[1].nbytes
        if features.nbytes > self.capacity_bytes:
            return
        self._tiles[key] = (weakref.ref(view.volume.data), features)
        self.usage_bytes += features.nbytes
        while self.usage_bytes > self.capacity_bytes:
            _, (_, oldest) = self._tiles.popitem(last=False)
            self.usage_bytes -= oldest.nbytes


def _parts(box: Box, largest_px: int) -> Iterator[Box]:
    """Halve a box along its longest side until the parts are small enough."""
    if box.size <= max(1, largest_px):
        yield box
        return
    axis = max(range(len(box.shape)), key=lambda i: box.shape[i])
    middle = box.start[axis] + box.shape[axis] // 2
    stop, start = list(box.stop), list(box.start)
    stop[axis] = start[axis] = middle
    yield from _parts(Box(box.start, tuple(stop)), largest_px)
    yield from _parts(Box(tuple(start), box.stop), largest_px)


def fingerprint_of(*parts: object) -> str:
    """Return a short hash of parameters or weights, for :attr:`FeatureExtractor.fingerprint`."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
