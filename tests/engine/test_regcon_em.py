"""The features that ship, of use without a download."""

import numpy as np
import pytest
from blob_task import blobs, dice, strokes, support_of

from napari_regcon.config import FinetuneConfig
from napari_regcon.engine.embedding import load_network
from napari_regcon.engine.finetune import FineTuning
from napari_regcon.engine.registry import load_segmenter


@pytest.fixture(scope="module")
def loaded():
    return load_network("regcon-em")


@pytest.mark.parametrize("features", ["network", "both"])
def test_the_pixel_head_uses_them_without_being_told_which(features):
    image, truth = blobs((160, 160))
    head = load_segmenter("pixel-head", features=features, device="cpu")
    found = head.fit(support_of(image, strokes(truth), "YX"))(image)
    assert dice(found[1] > 0.5, truth > 0) > 0.85


def test_a_fine_tuning_can_begin_with_them(loaded):
    image, truth = blobs((96, 96))
    support = support_of(image, strokes(truth), "YX")
    tuning = FineTuning(support, FinetuneConfig(steps=2), start=loaded[0], device="cpu")
    assert np.isfinite(tuning.train_step().loss)
