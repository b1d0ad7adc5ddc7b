"""The pixel head: features of every pixel, and a classifier fitted on the painted ones.

Needs no weights. The features of a tile are computed once and kept, so after the first fit a
new stroke costs a fit on a few thousand pixels and matrix products over what is looked at.
Every pixel is exact: tiles do not overlap, each is read with the halo its filters need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_regcon.config import PixelHeadConfig
from napari_regcon.data.tiling import TileGrid
from napari_regcon.engine.classifier import FittedClassifier, fit_classifier
from napari_regcon.engine.device import choose_device
from napari_regcon.engine.features import FeatureExtractor, FeatureStore, FilterBankExtractor
from napari_regcon.engine.segmenter import Predictor, Segmenter, run
from napari_regcon.errors import InputError
from napari_regcon.nn.filter_bank import geometric_sigmas
from napari_regcon.types import Box

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from napari_regcon.data.support import SupportExample, SupportSet
    from napari_regcon.data.views import ImageView
    from napari_regcon.types import Volume

TILE_SHAPES = {2: (256, 256), 3: (32, 128, 128)}
"""Tiles of planes and stacks; larger ones share more of their halo, smaller ones show sooner."""

MAX_PIXELS_PER_CLASS = 4000
"""Painted pixels used of each class, so that a fit stays quick however much is painted."""


class PixelPredictor(Predictor):
    """A fitted pixel head.

    Parameters
    ----------
    classes : tuple of str
        Class names.
    classifier : FittedClassifier
        Scores from features.
    source : FeatureSource
        Where features come from.
    """

    def __init__(
        self,
        classes: tuple[str, ...],
        classifier: FittedClassifier,
        source: FeatureSource,
        first: SupportExample,
    ) -> None:
        self.classes = classes
        self.spatial_ndim = source.extractor.spatial_ndim
        self.n_channels = first.volume.n_channels
        self.normalization = first.normalization
        self.tile_shape = source.tile_shape
        self.overlap = (0,) * self.spatial_ndim
        self._classifier = classifier
        self._source = source

    def predict_tile(self, view: ImageView, tile: Box) -> np.ndarray:
        """Return float32 probabilities ``(n_classes, *tile.shape)``."""
        scores = self._scores(view, tile)
        return torch.softmax(scores, 0).reshape(-1, *tile.shape).cpu().numpy()

    def predict_labels(self, view: ImageView, tile: Box) -> np.ndarray:
        """Return uint8 class indices ``tile.shape``; quicker than probabilities.

        Parameters
        ----------
        view : ImageView
            Plane or stack.
        tile : Box
            A tile of the predictor's grid over the view.
        """
        best = self._scores(view, tile).argmax(0)
        return best.to(torch.uint8).reshape(tile.shape).cpu().numpy()

    def reduce_memory(self) -> bool:
        """Compute features in smaller parts and keep fewer, from now on."""
        return self._source.reduce_memory()

    def _scores(self, view: ImageView, tile: Box) -> torch.Tensor:
        return self._classifier.scores(self._source.tile(view, tile).flatten(1))


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
    """

    def __init__(
        self, extractor: FeatureExtractor, store: FeatureStore, device: torch.device
    ) -> None:
        self.extractor = extractor
        self.store = store
        self.device = device
        self.tile_shape = TILE_SHAPES[extractor.spatial_ndim]

    def tile(self, view: ImageView, tile: Box) -> torch.Tensor:
        """Return the features ``(n_features, *tile.shape)`` of a tile."""
        return self.store.get(view, tile, self.extractor, self.device)

    def at(self, view: ImageView, where: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Gather features at some pixels, tile by tile.

        Parameters
        ----------
        view : ImageView
            Plane or stack.
        where : numpy.ndarray
            ``(n, spatial_ndim)`` pixel coordinates in the view.

        Yields
        ------
        numpy.ndarray, numpy.ndarray
            Which rows of ``where`` lie in a tile, and their float32 ``(n, n_features)``.
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
            flat = np.ravel_multi_index(tuple((where[rows] - tile.start).T), tile.shape)
            index = torch.from_numpy(flat).to(self.device)
            values = self.tile(view, tile).flatten(1).index_select(1, index)
            yield rows, values.T.float().cpu().numpy()

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
        known = self.store.gathered.get(example)
        if known is None or known[0] != key:
            n_spatial = self.extractor.spatial_ndim
            where, labels = _painted_pixels(example, n_spatial, np.random.default_rng(seed))
            n_features = self.extractor.n_features(example.volume.n_channels)
            values = np.empty((len(labels), n_features), np.float32)
            for rows, part in self.at(example.view(n_spatial), where):
                values[rows] = part
                yield
            known = (key, values, labels)
            self.store.gathered[example] = known
        return known[1], known[2]

    def reduce_memory(self) -> bool:
        """Work in smaller parts; False if that cannot be."""
        return self.store.reduce_memory(int(np.prod(self.tile_shape)))


class PixelHead(Segmenter):
    """Features per pixel, then a classifier fitted on the painted pixels.

    Parameters
    ----------
    config : PixelHeadConfig, optional
        Parameters.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    store : FeatureStore, optional
        Shared with other segmenters; an own one where not given.

    Raises
    ------
    DeviceError
        If the device is not there.
    """

    def __init__(
        self,
        config: PixelHeadConfig | None = None,
        *,
        device: str = "auto",
        store: FeatureStore | None = None,
    ) -> None:
        self.config = config or PixelHeadConfig()
        self.device = choose_device(device).torch_device
        self.store = FeatureStore() if store is None else store

    def fit(self, support: SupportSet) -> Predictor:
        """Return a predictor for the classes of a support set."""
        return run(self.fit_in_steps(support))

    def fit_in_steps(self, support: SupportSet) -> Generator[None, None, Predictor]:
        """Do the same as :meth:`fit`, yielding after every tile of features.

        Raises
        ------
        InputError
            If fewer than two classes are painted, or images of different kinds are mixed.
        """
        support.require_classes()
        self._check(support)
        source = FeatureSource(self._extractor(support), self.store, self.device)
        rng = np.random.default_rng(self.config.seed)
        features: list[np.ndarray] = []
        labels: list[np.ndarray] = []
        for example in support.examples:
            found, values = yield from source.painted(example, self.config.seed)
            features.append(found)
            labels.append(values)
        kept = _evenly(np.concatenate(labels), rng)
        classifier = fit_classifier(
            np.concatenate(features)[kept],
            np.concatenate(labels)[kept],
            len(support.classes),
            self.device,
            seed=self.config.seed,
        )
        yield
        return PixelPredictor(support.classes, classifier, source, support.examples[0])

    def _extractor(self, support: SupportSet) -> FeatureExtractor:
        config = self.config
        sigmas = geometric_sigmas(config.sigma_min_px, config.sigma_max_px)
        volume = support.examples[0].volume
        return FilterBankExtractor(sigmas, _aspect(volume, volume.spatial_ndim(config.dimensions)))

    def _check(self, support: SupportSet) -> None:
        for example in support.examples:
            volume = example.volume
            if volume.n_channels != support.examples[0].volume.n_channels:
                raise InputError(
                    "Strokes on images with different numbers of channels cannot be mixed: "
                    f"{volume.name!r} has {volume.n_channels}, "
                    f"{support.examples[0].volume.name!r} has "
                    f"{support.examples[0].volume.n_channels}.",
                    next_step="Paint on images of one kind.",
                )
            if volume.spatial_ndim(self.config.dimensions) < self.config.dimensions:
                raise InputError(
                    f"{volume.name!r} has no depth axis (axes {volume.axes}), but the method is "
                    "to look at neighbouring slices.",
                    next_step="Choose 'Look in: 2'.",
                )


def _aspect(volume: Volume, spatial_ndim: int) -> tuple[float, ...]:
    """Return voxel sizes relative to the columns; 1 where sizes or their units are unknown."""
    n_label = len(volume.label_axes)
    scale = volume.scale[n_label - spatial_ndim : n_label]
    units = volume.units[n_label - spatial_ndim : n_label]
    if len(set(units)) > 1 or not all(s > 0 for s in scale):
        return (1.0,) * spatial_ndim
    return tuple(s / scale[-1] for s in scale)


def _evenly(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Choose rows so that no class has many more than ``MAX_PIXELS_PER_CLASS``."""
    counts = np.bincount(labels)
    chance = np.minimum(1.0, MAX_PIXELS_PER_CLASS / np.maximum(counts, 1))
    return np.nonzero(rng.random(len(labels)) < chance[labels])[0]


def _painted_pixels(
    example: SupportExample, n_spatial: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Choose painted pixels of an example: ``(n, n_spatial)`` places in its view, and classes."""
    inside = np.argwhere(example.labels)
    labels = example.labels[inside[:, 0], inside[:, 1]].astype(np.int64) - 1
    kept = _evenly(labels, rng)
    where = np.zeros((len(kept), n_spatial), dtype=np.int64)
    where[:, -2:] = inside[kept]
    where += np.asarray(example.box.start[len(example.box.start) - n_spatial :])
    return where, labels[kept]
