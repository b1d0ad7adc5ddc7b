"""The in-context weights that ship: whole, small, described, and of use without a download."""

import json

import pytest
from blob_task import blobs, dice, support_of

from napari_regcon.config import InContextConfig
from napari_regcon.data.recipe import read_recipe
from napari_regcon.engine import weights
from napari_regcon.engine.registry import load_segmenter
from napari_regcon.engine.weights import load_state


@pytest.fixture(scope="module")
def loaded():
    return load_state("universeg-em-light")


def test_they_are_what_the_registry_says(loaded):
    entry = weights.find("universeg-em-light")
    _, info = loaded
    assert info.sha256 == entry.sha256
    assert info.size_bytes == entry.size_bytes < 4 * 1024**2
    assert info.licence == entry.licence == "BSD-3-Clause"
    assert not entry.research_only
    assert InContextConfig().default_weights == entry.name


def test_their_card_says_how_they_were_made(loaded):
    card = loaded[1].card
    recipe = read_recipe("universeg-em-light")
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


def test_one_labelled_image_is_enough_to_find_the_like_in_another():
    image, truth = blobs((128, 128), seed=1)
    segmenter = load_segmenter("in-context", support_size=4, choose_from=0, device="cpu")
    support = support_of(image, truth + 1, "YX")
    other, wanted = blobs((128, 128), seed=2)
    assert dice(segmenter.fit(support)(other)[1] > 0.5, wanted > 0) > 0.7
