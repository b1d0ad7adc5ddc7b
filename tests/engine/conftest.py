"""Predictors that are simple enough to know their result beforehand."""

import numpy as np
import pytest
from scipy import ndimage

from napari_regcon.data.normalize import Normalization
from napari_regcon.engine.segmenter import Predictor


class ThresholdPredictor(Predictor):
    """Exact: probability of class i grows where the smoothed image is near i / (n - 1)."""

    def __init__(self, *, ndim=2, tile=8, overlap=0, n_classes=2, n_channels=1, halo=2):
        self.classes = tuple(f"class {i}" for i in range(n_classes))
        self.spatial_ndim = ndim
        self.n_channels = n_channels
        self.tile_shape = (tile,) * ndim
        self.overlap = (overlap,) * ndim
        self.normalization = Normalization((0.0,) * n_channels, (255.0,) * n_channels)
        self.halo = (halo,) * ndim
        self.tiles = []
        self.halvings_left = 2

    def predict_tile(self, view, tile):
        self.tiles.append(tile)
        image = view.read(tile, self.halo).mean(axis=0, dtype=np.float64)
        smooth = ndimage.uniform_filter(image, 2 * self.halo[0] + 1, mode="nearest")
        smooth = smooth[tuple(slice(h, n - h) for h, n in zip(self.halo, image.shape, strict=True))]
        levels = np.linspace(0, 1, len(self.classes)).reshape(-1, *[1] * tile_ndim(tile))
        score = np.exp(-20 * (smooth[None] - levels) ** 2)
        return (score / score.sum(axis=0)).astype(np.float32)

    def reduce_memory(self):
        self.halvings_left -= 1
        return self.halvings_left >= 0


class TileDependentPredictor(ThresholdPredictor):
    """Blended: what it says of a pixel depends on the tile, as with a network."""

    def predict_tile(self, view, tile):
        result = super().predict_tile(view, tile)
        tilt = 1 + 0.5 * np.cos(sum(tile.start) + np.arange(len(result)))
        result = result * tilt.reshape(-1, *[1] * tile_ndim(tile))
        return (result / result.sum(axis=0)).astype(np.float32)


def tile_ndim(tile):
    return len(tile.start)


@pytest.fixture(scope="session")
def make_exact():
    return ThresholdPredictor


@pytest.fixture(scope="session")
def make_blended():
    def make(**options):
        return TileDependentPredictor(**{"overlap": 3, **options})

    return make
