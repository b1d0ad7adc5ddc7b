"""The pixel head: features of every pixel, and a classifier fitted on the painted ones.

The features are filters and what a pre-trained network sees, side by side, or one of the two.
Those of a tile are computed once and kept, so after the first fit a new stroke costs a fit on a few
thousand pixels and matrix products over what is looked at. The probabilities are smoothed a little
along the edges of the image, as neighbours that look alike are mostly of one class. Every pixel is
exact: each tile is read with the halo its features need, and classified with the margin that
smoothing needs. The last feature is the brightness that smoothing goes by; no classifier sees it.
"""

from __future__ import annotations

import copy
from functools import cache, partial
from typing import TYPE_CHECKING, Protocol

import numpy as np

from napari_regcon.config import PixelHeadConfig
from napari_regcon.engine.balance import class_power
from napari_regcon.engine.classifier import fit_classifier
from napari_regcon.engine.device import choose_device
from napari_regcon.engine.embedding import EmbeddingExtractor, load_network
from napari_regcon.engine.feature_source import FeatureSource, evenly
from napari_regcon.engine.feature_store import FeatureStore, Use
from napari_regcon.engine.features import (
    ConcatExtractor,
    FeatureExtractor,
    GuideExtractor,
    filters_for,
)
from napari_regcon.engine.segmenter import Predictor, Segmenter, require_depth, run
from napari_regcon.engine.smoothed import smoothed, smoothing_margin
from napari_regcon.nn.guided import STEP

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    import torch

    from napari_regcon.data.support import SupportExample, SupportSet
    from napari_regcon.data.views import ImageView
    from napari_regcon.engine.joined_source import JoinedSource
    from napari_regcon.engine.weights import WeightsInfo
    from napari_regcon.nn.regcon import RegConNet
    from napari_regcon.types import Box, Volume


class Classifier(Protocol):
    """What a predictor asks of a classifier."""

    def probabilities(self, features: torch.Tensor, rows: slice) -> torch.Tensor:
        """Return ``(n_classes, n_rows, X)`` of features ``(n_features, Y, X)``."""
        ...


class PixelPredictor(Predictor):
    """A fitted pixel head.

    Parameters
    ----------
    classes : tuple of str
        Class names.
    classifier : Classifier
        Probabilities from features.
    source : FeatureSource or JoinedSource
        Where features come from. The last is the brightness that smoothing goes by.
    first : SupportExample
        The first of the support set; tells the channels and the normalisation.
    smoothing : int
        Radius of the windows that probabilities are averaged in, in Y and X; see
        :func:`~napari_regcon.nn.guided.guided_filter`. 0: not at all. The source has to have a
        margin of :func:`~napari_regcon.engine.smoothed.smoothing_margin`.

    Attributes
    ----------
    classifier, source
        As given.
    """

    def __init__(
        self,
        classes: tuple[str, ...],
        classifier: Classifier,
        source: FeatureSource | JoinedSource,
        first: SupportExample,
        smoothing: int = 0,
    ) -> None:
        self.classes = classes
        self.spatial_ndim = source.spatial_ndim
        self.n_channels = first.volume.n_channels
        self.normalization = first.normalization
        self.tile_shape = source.tile_shape
        self.overlap = (0,) * self.spatial_ndim
        self.classifier = classifier
        self.source = source
        self._smoothing = smoothing

    def check(self, volume: Volume) -> None:
        """Check that this predictor can work on a volume; see :class:`Predictor`."""
        super().check(volume)
        if self.source.neighbours:
            require_depth(volume, "Choose an image with depth, or another network.")

    def predict_tile(self, view: ImageView, tile: Box) -> np.ndarray:
        """Return float32 probabilities ``(n_classes, *tile.shape)``."""
        return self._part(self.source.tile(view, tile), view, tile, tile)

    def draft(self, view: ImageView, box: Box, step: int) -> np.ndarray | None:
        """Predict every ``step``-th pixel where features are at hand; a GPU needs no draft."""
        if self.source.device.type != "cpu":
            return None
        steps = (*(1 for _ in box.shape[:-2]), step, step)
        parts = []
        for tile in self.grid(view.shape).touching(box):
            part, start = tile.intersect(box), self.source.around(view, tile).start
            here, there = [], []
            for first, end, origin, zero, every in zip(
                part.start, part.stop, box.start, start, steps, strict=True
            ):
                points = range(first + (origin - first) % every, end, every)
                here.append(slice(points.start - zero, end - zero, every))
                begin = (points.start - origin) // every
                there.append(slice(begin, begin + len(points)))
            features = self.source.sample(view, tile, tuple(here))
            if features is None:
                return None
            parts.append((there, features))
        shape = (-(-n // every) for n, every in zip(box.shape, steps, strict=True))
        result = np.empty((len(self.classes), *shape), np.float32)
        for there, features in parts:
            result[:, *there] = self._planes(features, smoothing=0)
        return result

    def predict_parts(
        self, view: ImageView, box: Box, tiles: Iterable[Box]
    ) -> Generator[tuple[Box, np.ndarray] | None, None, None]:
        """Predict a box tile by tile, and no more of a tile than is asked for."""
        for tile in tiles:
            part = tile.intersect(box)
            features = yield from self.source.tile_in_steps(view, tile)
            yield part, self._part(features, view, tile, part)

    def in_passing(self) -> PixelPredictor:
        """Return the same for a whole volume, whose features are kept only if all of them fit."""
        return self._used("in passing")

    def out_of_sight(self) -> PixelPredictor:
        """Return the same for the rest of a plane, whose features stay where there is room."""
        return self._used("out of sight")

    def reduce_memory(self) -> bool:
        """Compute features in smaller parts and keep fewer, from now on."""
        return self.source.reduce_memory()

    def _used(self, use: Use) -> PixelPredictor:
        other = copy.copy(self)
        other.source = self.source.used(use)
        return other

    def _part(self, features: torch.Tensor, view: ImageView, tile: Box, part: Box) -> np.ndarray:
        """Predict a part of a tile, given the features of the tile with its margin."""
        start = self.source.around(view, tile).start
        needed = self.source.around(view, part)
        *depth, rows, _ = needed.shift(tuple(-i for i in start)).slices
        # The lattice of smoothing begins with the tile: sides of tiles and margins are even.
        first = rows.start - rows.start % STEP
        found = self._planes(features[:, *depth], self._smoothing, slice(first, rows.stop))
        *_, rows, columns = part.shift(tuple(-i for i in start)).slices
        return found[..., rows.start - first : rows.stop - first, columns]

    def _planes(
        self, features: torch.Tensor, smoothing: int, rows: slice = slice(None)
    ) -> np.ndarray:
        """Return the probabilities in rows of the features of a plane, or of each of a stack."""
        if self.spatial_ndim == 2:
            return self._classify(features, smoothing, rows)
        return np.stack([self._classify(f, smoothing, rows) for f in features.unbind(1)], 1)

    def _classify(self, features: torch.Tensor, smoothing: int, rows: slice) -> np.ndarray:
        """Return the probabilities ``(n_classes, n_rows, X)`` of ``(n_features, Y, X)``."""
        found = self.classifier.probabilities(features[:-1], rows)
        if smoothing:
            found = smoothed(found, features[-1, rows], smoothing)
        values: np.ndarray = found.cpu().numpy()
        return values


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
    weights : str, optional
        Of the pre-trained network, where its features are used: a name or a file.

    Attributes
    ----------
    network : RegConNet or None
        The pre-trained network, where its features are used.
    weights : WeightsInfo or None
        What its weights are.

    Raises
    ------
    DeviceError
        If the device is not there.
    WeightsError
        If weights are needed and cannot be loaded.
    """

    def __init__(
        self,
        config: PixelHeadConfig | None = None,
        *,
        device: str = "auto",
        store: FeatureStore | None = None,
        weights: str | None = None,
    ) -> None:
        self.config = config or PixelHeadConfig()
        self._chosen = choose_device(device)
        self.device = self._chosen.torch_device
        self.store = FeatureStore() if store is None else store
        self.network: RegConNet | None = None
        self.weights: WeightsInfo | None = None
        if self.config.default_weights is not None:
            self.network, self.weights = load_network(weights or self.config.default_weights)
            # Made once, as to copy the network would take a fifth of every fit.
            self._embedding = cache(partial(EmbeddingExtractor, self.network, self._chosen))

    def fit(self, support: SupportSet) -> PixelPredictor:
        """Return a predictor for the classes of a support set."""
        return run(self.fit_in_steps(support))

    def fit_in_steps(
        self, support: SupportSet, power: float | None = None
    ) -> Generator[None, None, PixelPredictor]:
        """Do the same as :meth:`fit`, yielding after every tile of features.

        How much a class counts may be given, see :mod:`napari_regcon.engine.balance`, where the
        support set is a part of another one.

        Raises
        ------
        InputError
            If fewer than two classes are painted, or images of different kinds are mixed.
        """
        support.require_classes()
        support.require_one_kind()
        self._check(support)
        smoothing = self.config.smoothing
        source = FeatureSource(
            self._extractor(support), self.store, self.device, smoothing_margin(smoothing)
        )
        rng = np.random.default_rng(self.config.seed)
        features: list[np.ndarray] = []
        labels: list[np.ndarray] = []
        for example in support.examples:
            found, values = yield from source.painted(example, self.config.seed)
            features.append(found)
            labels.append(values)
        said = np.concatenate(labels)
        kept = evenly(said, rng.random(len(said)))
        classifier = fit_classifier(
            np.concatenate(features)[kept, :-1],
            said[kept],
            len(support.classes),
            self.device,
            totals=support.painted_counts(),
            power=class_power(support) if power is None else power,
            seed=self.config.seed,
        )
        yield
        return PixelPredictor(support.classes, classifier, source, support.examples[0], smoothing)

    def _extractor(self, support: SupportSet) -> FeatureExtractor:
        config = self.config
        volume = support.examples[0].volume
        n_spatial = volume.spatial_ndim(config.dimensions)
        extractors: list[FeatureExtractor] = []
        if config.features != "network":
            extractors.append(filters_for(config, volume))
        if self.network is not None:
            extractors.append(self._embedding(spatial_ndim=n_spatial))
        return ConcatExtractor([*extractors, GuideExtractor(n_spatial)])

    def _check(self, support: SupportSet) -> None:
        if self.config.dimensions == 3:
            for example in support.examples:
                require_depth(example.volume, "Choose 'Look in: 2'.")
