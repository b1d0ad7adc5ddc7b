"""Feature tiles of one extractor on one device, on the grid that fit and prediction share.

Because both ask for the same tiles, the first fit fills the store for the predictions after
it, and the other way round. Knows nothing of classes or classifiers.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_regcon.data.tiling import TileGrid
from napari_regcon.engine.segmenter import run
from napari_regcon.types import Box

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_regcon.data.support import SupportExample
    from napari_regcon.data.views import ImageView
    from napari_regcon.engine.feature_store import FeatureStore, Use
    from napari_regcon.engine.features import FeatureExtractor

TILE_SHAPES = {2: (512, 512), 3: (16, 128, 128)}
"""Tiles of planes and stacks; larger ones share more of their halo, smaller ones show sooner."""

MAX_PIXELS_PER_CLASS = 4000
"""Painted pixels used of each class, so that a fit stays quick however much is painted."""


class FeatureSource:
    """Feature tiles of one extractor on one device, on the grid that fit and prediction share.

    Parameters
    ----------
    extractor : FeatureExtractor
        What is computed.
    store : FeatureStore
        Where it is kept.
    device : torch.device
        Where it is computed.
    margin_px : int
        Tiles come with so many pixels more on each side in Y and X, where there are any.

    Attributes
    ----------
    use : str
        What tiles are asked for; see :meth:`FeatureStore.get_in_steps`.
    """

    def __init__(
        self,
        extractor: FeatureExtractor,
        store: FeatureStore,
        device: torch.device,
        margin_px: int = 0,
    ) -> None:
        self.extractor = extractor
        self.store = store
        self.device = device
        self.tile_shape = TILE_SHAPES[extractor.spatial_ndim]
        self.use: Use = "on screen"
        self._margin = (0,) * (extractor.spatial_ndim - 2) + (margin_px,) * 2

    @property
    def spatial_ndim(self) -> int:
        """2 for tiles of planes, 3 for those of stacks."""
        return self.extractor.spatial_ndim

    @property
    def neighbours(self) -> int:
        """Slices above and below that are looked at, too."""
        return self.extractor.neighbours

    def used(self, use: Use) -> FeatureSource:
        """Return the same for tiles that are asked for something else."""
        other = copy.copy(self)
        other.use = use
        return other

    def around(self, view: ImageView, tile: Box) -> Box:
        """Return a tile with its margin, as far as the view reaches."""
        return tile.grow(self._margin).intersect(view.box)

    def sample(self, view: ImageView, tile: Box, where: tuple[slice, ...]) -> torch.Tensor | None:
        """Return some pixels of what :meth:`tile` returns, or None where that is not there yet."""
        whole = self.around(view, tile)
        return self.store.sample(view, whole, self.extractor, self.device, where)

    def tile(self, view: ImageView, tile: Box) -> torch.Tensor:
        """Return the features of a tile with its margin, ``(n_features, *around.shape)``."""
        return run(self.tile_in_steps(view, tile))

    def tile_in_steps(self, view: ImageView, tile: Box) -> Generator[None, None, torch.Tensor]:
        """Do the same as :meth:`tile`, yielding wherever it can be stopped."""
        whole = self.around(view, tile)
        return self.store.get_in_steps(view, whole, self.extractor, self.device, use=self.use)

    def at(
        self, view: ImageView, where: np.ndarray
    ) -> Generator[tuple[np.ndarray, np.ndarray] | None, None, None]:
        """Gather features at painted pixels, tile by tile; those of a pixel are looked up once.

        Parameters
        ----------
        view : ImageView
            Plane or stack.
        where : numpy.ndarray
            ``(n, spatial_ndim)`` pixel coordinates in the view.

        Yields
        ------
        numpy.ndarray, numpy.ndarray
            Which rows of ``where`` lie in a tile, and their float32 ``(n, n_features)``; None
            between two steps towards them.
        """
        if not len(where):
            return
        around = Box(tuple(where.min(0).tolist()), tuple((where.max(0) + 1).tolist()))
        overlap = (0,) * len(self.tile_shape)
        for tile in TileGrid(view.shape, self.tile_shape, overlap).touching(around):
            inside = ((where >= tile.start) & (where < tile.stop)).all(1)
            rows = np.nonzero(inside)[0]
            if not len(rows):
                continue
            whole = self.around(view, tile)
            flat = np.ravel_multi_index(tuple((where[rows] - whole.start).T), whole.shape)
            array = view.volume.data
            key = (view.key, whole, self.extractor.fingerprint, self.device)
            values = self.store.painted.find(key, array, flat)
            if values is None:
                index = torch.from_numpy(flat).to(self.device)
                features = yield from self.tile_in_steps(view, tile)
                values = features.flatten(1).index_select(1, index).T.cpu().numpy()
                self.store.painted.keep(key, array, flat, values)
            yield rows, values.astype(np.float32)

    def painted(
        self, example: SupportExample, seed: int
    ) -> Generator[None, None, tuple[np.ndarray, np.ndarray]]:
        """Gather the features of painted pixels of an example, yielding after every tile.

        They are kept as long as the example, so that a new stroke on one slice does not ask for
        the features of all the others again, which may no longer be in the store.

        Returns
        -------
        numpy.ndarray, numpy.ndarray
            float32 ``(n, n_features)``, and their ``(n,)`` class indices.
        """
        key = (self.extractor.fingerprint, seed)
        known = self.store.painted.examples.get(example)
        if known is None or known[0] != key:
            n_spatial = self.extractor.spatial_ndim
            where, labels = _painted_pixels(example, n_spatial, seed)
            n_features = self.extractor.n_features(example.volume.n_channels)
            values = np.empty((len(labels), n_features), np.float32)
            for found in self.at(example.view(n_spatial), where):
                if found is not None:
                    rows, part = found
                    values[rows] = part
                yield
            known = (key, values, labels)
            self.store.painted.examples[example] = known
        return known[1], known[2]

    def reduce_memory(self) -> bool:
        """Work in smaller parts; False if that cannot be."""
        return self.store.reduce_memory(math.prod(self.tile_shape))


def evenly(labels: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Choose rows so that no class has many more than ``MAX_PIXELS_PER_CLASS``.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(n,)`` class indices.
    numbers : numpy.ndarray
        ``(n,)`` spread evenly over [0, 1); rows below the share of their class that is wanted
        are chosen.
    """
    counts = np.bincount(labels)
    chance = np.minimum(1.0, MAX_PIXELS_PER_CLASS / np.maximum(counts, 1))
    return np.nonzero(numbers < chance[labels])[0]


def _painted_pixels(
    example: SupportExample, n_spatial: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Choose painted pixels of an example: ``(n, n_spatial)`` places in its view, and classes."""
    # Several times quicker than over two axes.
    inside = np.flatnonzero(example.labels)
    labels = example.labels.ravel()[inside].astype(np.int64) - 1
    rows, columns = np.unravel_index(inside, example.labels.shape)
    rows, columns = rows + example.box.start[-2], columns + example.box.start[-1]
    kept = evenly(labels, _numbers(rows, columns, seed))
    where = np.empty((len(kept), n_spatial), dtype=np.int64)
    where[:] = example.box.start[len(example.box.start) - n_spatial :]
    where[:, -2:] = np.stack([rows[kept], columns[kept]], 1)
    return where, labels[kept]


def _numbers(rows: np.ndarray, columns: np.ndarray, seed: int) -> np.ndarray:
    """Return a number from [0, 1) for each pixel, always the same for the same one.

    So a pixel that was chosen stays so while others are painted, until its class has too many.
    The mixer of SplitMix64 (Steele, Lea and Flood 2014, doi 10.1145/2714064.2660195).
    """
    x = rows.astype(np.uint64) << np.uint64(32) | columns.astype(np.uint64)
    x ^= np.random.default_rng(seed).integers(0, 2**64, dtype=np.uint64)
    x += np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    found: np.ndarray = (x >> np.uint64(11)) * 2.0**-53
    return found
