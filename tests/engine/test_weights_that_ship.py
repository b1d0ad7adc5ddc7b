"""The weights that ship: whole, small, and described."""

import json

import pytest

from napari_regcon.data.recipe import read_recipe
from napari_regcon.engine import weights
from napari_regcon.engine.weights import load_state

LARGEST_MIB = {"regcon-em": 16, "universeg-em-light": 4}


@pytest.fixture(scope="module", params=LARGEST_MIB)
def info(request):
    return load_state(request.param)[1]


def test_they_are_what_the_registry_says(info):
    entry = weights.find(info.name)
    assert info.sha256 == entry.sha256
    assert info.size_bytes == entry.size_bytes < LARGEST_MIB[info.name] * 1024**2
    assert info.licence == entry.licence == "BSD-3-Clause"
    assert not entry.research_only


def test_their_card_says_how_they_were_made(info):
    card = info.card
    recipe = read_recipe(info.name)
    told = json.loads(card["recipe"])
    assert int(card["steps"]) == recipe.train.steps == told["train"]["steps"]
    assert told["train"]["seed"] == int(card["seed"]) == recipe.train.seed
    assert told["shares"] == recipe.shares
    for name in json.loads(card["data"]):
        assert name == "phantom" or f"{name}: " in card["data_licences"]
    assert card["limits"]
    assert card["commit"]


def test_none_of_the_data_is_kept_for_measuring(info):
    trained_on = set(json.loads(info.card["data"]))
    assert not trained_on & {"cdeep3m_mito", "isbi2012_membrane", "wbc"}
