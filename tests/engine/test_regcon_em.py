"""The weights that ship: whole, small, described, and of use without a download."""

import json

import numpy as np
import pytest
from blob_task import blobs, dice, strokes, support_of

from napari_regcon.config import FinetuneConfig
from napari_regcon.data.recipe import read_recipe
from napari_regcon.engine import weights
from napari_regcon.engine.embedding import load_network
from napari_regcon.engine.finetune import FineTuning
from napari_regcon.engine.registry import load_segmenter


@pytest.fixture(scope="module")
def loaded():
    return load_network("regcon-em")


def test_they_are_what_the_registry_says(loaded):
    entry = weights.find("regcon-em")
    _, info = loaded
    assert info.sha256 == entry.sha256
    assert info.size_bytes == entry.size_bytes < 16 * 1024**2
    assert info.licence == entry.licence == "BSD-3-Clause"
    assert not entry.research_only


def test_their_card_says_how_they_were_made(loaded):
    card = loaded[1].card
    recipe = read_recipe("regcon-em")
    told = json.loads(card["recipe"])
    assert int(card["steps"]) == recipe.train.steps == told["train"]["steps"]
    assert told["train"]["seed"] == int(card["seed"]) == recipe.train.seed
    assert told["shares"] == recipe.shares
    for name in json.loads(card["data"]):
        assert name == "phantom" or f"{name}: " in card["data_licences"]
    assert card["limits"]
    assert card["commit"]


def test_none_of_the_data_is_kept_for_measuring(loaded):
    trained_on = set(json.loads(loaded[1].card["data"]))
    assert not trained_on & {"cdeep3m_mito", "isbi2012_membrane", "wbc"}


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
