"""Features of tiles, computed once and kept: in memory up to a bound, then on disk.

The :class:`FeatureStore` reads a tile, computes it on the device and remembers the result.
Nothing here knows what the features are used for, or how files on disk look.
"""

from __future__ import annotations

import hashlib
import math
import time
import weakref
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from napari_regcon.engine.feature_disk import Pace
from napari_regcon.engine.feature_memory import FeatureMemory, KeptTile
from napari_regcon.engine.painted_features import PaintedFeatures
from napari_regcon.engine.segmenter import run
from napari_regcon.types import Box

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from torch import Tensor

    from napari_regcon.data.views import ImageView
    from napari_regcon.engine.feature_disk import FeatureDisk
    from napari_regcon.engine.features import FeatureExtractor

Use = Literal["on screen", "out of sight", "in passing"]
"""What a tile is asked for, which decides how long it stays."""

_SHARE_BESIDE = 8
"""What is beside may take up an eighth of what may be kept."""

SMALLEST_PART_PX = 32 * 32
"""Tiles are not computed in parts smaller than this."""


class FeatureStore:
    """Features of tiles, computed at the first request and kept while there is room.

    Parameters
    ----------
    capacity_bytes : int
        Bound on what is kept; the tiles not asked for longest go first.
    dtype : torch.dtype
        How features are kept. Half precision takes half the memory, and changed Dice by 0.001
        at most on five data sets.

    Attributes
    ----------
    disk : FeatureDisk or None
        Where tiles are kept beyond the memory and this process. It serves the processor only:
        a GPU computes features quicker than a disk reads them.
    painted : PaintedFeatures
        Features of painted pixels.

    Notes
    -----
    An image is known by its array object: one that is changed in place needs :meth:`forget`.
    """

    def __init__(
        self, capacity_bytes: int = 2 * 2**30, *, dtype: torch.dtype = torch.float16
    ) -> None:
        self.dtype = dtype
        self.disk: FeatureDisk | None = None
        self.painted = PaintedFeatures()
        self._part_px: int | None = None
        self._pace = Pace()
        self._memory = FeatureMemory(capacity_bytes, self._let_go)
        self._beside: FeatureStore | None = None

    @property
    def usage_bytes(self) -> int:
        """Size of the tiles in memory, and of what is kept of painted pixels and :meth:`beside`."""
        beside = self._beside.usage_bytes if self._beside is not None else 0
        return self._memory.usage_bytes + self.painted.usage_bytes + beside

    @property
    def capacity_bytes(self) -> int:
        """Bound on the tiles; a lower one counts from the next tile on."""
        return self._memory.capacity_bytes

    @capacity_bytes.setter
    def capacity_bytes(self, capacity_bytes: int) -> None:
        self._memory.capacity_bytes = capacity_bytes
        if self._beside is not None:
            self._beside.capacity_bytes = capacity_bytes // _SHARE_BESIDE

    @property
    def beside(self) -> FeatureStore:
        """A store for small things that are looked at together with what is kept here.

        In one store, tiles of one kind that are out of sight would drive out those of another
        that are on screen. It forgets and is cleared with this one, and has no disk.
        """
        if self._beside is None:
            self._beside = FeatureStore(self.capacity_bytes // _SHARE_BESIDE, dtype=self.dtype)
        return self._beside

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
        return run(self.get_in_steps(view, tile, extractor, device))

    def get_in_steps(
        self,
        view: ImageView,
        tile: Box,
        extractor: FeatureExtractor,
        device: torch.device,
        *,
        use: Use = "on screen",
    ) -> Generator[None, None, Tensor]:
        """Do the same as :meth:`get`, yielding wherever it can be stopped or left waiting.

        With ``use="out of sight"``, the tile is of a plane of which others are on screen. It stays
        only if none of these has to go for it, as it will be asked for again after every stroke.

        With ``use="in passing"``, every tile of a volume is asked for once. If they do not fit in
        memory or on disk as a whole, then hardly any stay there: the last ones would drive out the
        first, and what was there before.
        """
        in_passing = use == "in passing"
        key = (view.key, tile, extractor.fingerprint, device)
        found = self._memory.find(key, view.volume.data, touch=use != "out of sight")
        if found is not None:
            found.in_passing &= in_passing
            return found.features
        n_features = extractor.n_features(view.volume.n_channels)
        n_bytes = math.prod(view.volume.label_shape) * n_features * self.dtype.itemsize
        if self.disk is not None and device.type == "cpu":
            may_write = not in_passing or n_bytes <= self.disk.folder.limit_bytes
            name, features = yield from self._through_disk(
                self.disk, view, tile, extractor, may_write=may_write
            )
        else:
            name, features = "", (yield from self._compute(view, tile, extractor, device))
        in_passing = in_passing and n_bytes > self.capacity_bytes
        array = weakref.ref(view.volume.data)
        kept = KeptTile(array, features, name, in_passing)
        self._memory.keep(key, kept, yields=use == "out of sight")
        return features

    def has(
        self, view: ImageView, tile: Box, extractor: FeatureExtractor, device: torch.device
    ) -> bool:
        """Return whether the features of a tile are there already."""
        return self._memory.has((view.key, tile, extractor.fingerprint, device), view.volume.data)

    def sample(
        self,
        view: ImageView,
        tile: Box,
        extractor: FeatureExtractor,
        device: torch.device,
        where: tuple[slice, ...],
    ) -> Tensor | None:
        """Return the features of some pixels of a tile, or None if the tile is not there.

        See :meth:`FeatureMemory.sample`.

        Parameters
        ----------
        view, tile, extractor, device
            As for :meth:`get`.
        where : tuple of slice
            Which pixels, along each spatial axis of the tile.
        """
        key = (view.key, tile, extractor.fingerprint, device)
        found = self._memory.find(key, view.volume.data)
        return None if found is None else self._memory.sample(found, where)

    def forget(self, data: object) -> None:
        """Drop what was computed from an image array, or from arrays that no longer exist."""
        self._memory.forget(data)
        self.painted.forget(data)
        if self._beside is not None:
            self._beside.forget(data)

    def clear(self) -> None:
        """Drop everything from memory; see :meth:`FeatureDisk.clear` for the disk."""
        self._memory.clear()
        self.painted.clear()
        if self._beside is not None:
            self._beside.clear()

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
        if self.disk is not None:
            self.disk.forget_waiting()
        self.capacity_bytes //= 2
        part_px = (self._part_px or tile_px) // 2
        if part_px < SMALLEST_PART_PX:
            return False
        self._part_px = part_px
        return True

    def _compute(
        self, view: ImageView, tile: Box, extractor: FeatureExtractor, device: torch.device
    ) -> Generator[None, None, Tensor]:
        n_features = extractor.n_features(view.volume.n_channels)
        features = torch.empty((n_features, *tile.shape), dtype=self.dtype, device=device)
        for part in _parts(tile, self._part_px or tile.size):
            pixels = view.read(part, extractor.halo_px, extractor.neighbours)
            image = torch.from_numpy(pixels).to(device)
            target = part.shift(tuple(-i for i in tile.start)).slices
            yield from extractor.compute_in_steps(image, part.start, features[:, *target])
        return features

    def _through_disk(
        self,
        disk: FeatureDisk,
        view: ImageView,
        tile: Box,
        extractor: FeatureExtractor,
        *,
        may_write: bool,
    ) -> Generator[None, None, tuple[str, Tensor]]:
        """Read a tile from disk, or compute it and have it written; return its name there too."""
        if not isinstance(view.volume.data, np.ndarray):
            view = view.hold(tile.grow(extractor.halo_px))  # decoded once, not for each of both
        begin = time.perf_counter()
        name = self._name(view, tile, extractor)
        found = disk.get(name) if self._pace.reading_pays() else None
        shape = (extractor.n_features(view.volume.n_channels), *tile.shape)
        if found is not None and found.shape == shape:
            self._pace.was_read(time.perf_counter() - begin, found.size)
            return name, torch.from_numpy(found)
        begin = time.perf_counter()
        features = yield from self._compute(view, tile, extractor, torch.device("cpu"))
        self._pace.was_computed(time.perf_counter() - begin, features.numel())
        if may_write:
            disk.put(name, features.numpy())
        return name, features

    def _name(self, view: ImageView, tile: Box, extractor: FeatureExtractor) -> str:
        """Return what a tile is called on disk: a hash of all that it is computed from."""
        said = (extractor.fingerprint, self.dtype, self._part_px)
        pixels = view.fingerprint(tile, extractor.halo_px, extractor.neighbours)
        return hashlib.blake2b(repr((said, pixels)).encode(), digest_size=20).hexdigest()

    def _let_go(self, tile: KeptTile) -> None:
        if self.disk is not None and tile.name:
            self.disk.let_go(tile.name)


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
