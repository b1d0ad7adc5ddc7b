"""``napari-regcon pretrain`` on a folder of data sets, from the recipe to usable weights."""

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from napari_regcon._cli.app import app
from napari_regcon.engine.embedding import load_network

RECIPE = """
[data]
without = ["left-out"]
planes_per_volume = 3
[draw]
crop_px = 32
zoom = [0.8, 1.2]
[train]
steps = {steps}
episodes_per_step = 2
views_per_step = 1
embedding = 4
regions = 4
width = 4
levels = 2
checkpoint_every = 2
"""
CARD = """
name = "{name}"
role = "{role}"
licence = "CC0-1.0"
axes = "ZYX"
labels_are = "classes"
classes = {{ 1 = "thing" }}
[[images]]
raw = "raw.tif"
labels = "labels.tif"
"""


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    for name, role in (("seen", "train"), ("left-out", "train"), ("kept-apart", "measure")):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        (folder / "dataset.toml").write_text(CARD.format(name=name, role=role))
        labels = (rng.random((4, 8, 8)) > 0.5).repeat(8, 1).repeat(8, 2).astype(np.uint8)
        raw = (labels * 80 + rng.integers(0, 90, labels.shape)).astype(np.uint8)
        tifffile.imwrite(folder / "raw.tif", raw, photometric="minisblack")
        tifffile.imwrite(folder / "labels.tif", labels, photometric="minisblack")
    return tmp_path / "data"


def _run(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def _recipe(tmp_path, steps=4):
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.format(steps=steps))
    return path


def test_it_trains_on_what_may_be_trained_on_and_writes_weights_with_a_card(tmp_path, data):
    out = tmp_path / "net.safetensors"
    done = _run("pretrain", _recipe(tmp_path), "--data", data, "--out", out)
    assert done.exit_code == 0, done.output
    _, info = load_network(out)
    assert info.card["data"] == '["seen"]'
    assert info.card["steps"] == "4"
    assert info.card["name"] == "recipe"


def test_an_interrupted_run_goes_on_to_the_same_weights(tmp_path, data):
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    for out, steps in ((whole, 4), (parts, 2), (parts, 4)):
        # The rate depends on the number of steps, so the first part is cut short from outside.
        recipe = _recipe(tmp_path)
        done = _run("pretrain", recipe, "--data", data, "--out", out, "--stop-after", steps)
        assert done.exit_code == 0, done.output
    one, two = (load_network(path)[0].state_dict() for path in (whole, parts))
    assert all(np.array_equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("pretrain", "nonsense", "--out", "x.safetensors"), "There is no recipe 'nonsense'"),
        (("pretrain", "--out", "x.pt"), "does not end in .safetensors"),
        (("pretrain", "--out", "nowhere/x.safetensors"), "does not exist"),
    ],
)
def test_mistakes_are_told_before_anything_is_read(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = _run(*words)
    assert done.exit_code == 2
    assert said in done.output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps = 3", "steps is not known in the recipe table"),
        ("[data]\nimages = 1", "images is not known in the data table"),
        ("[train]\nsteps = 0", "Steps is 0"),
        ("[train]\nspeed = 3", "does not fit"),
        ("[draw", "cannot be read as a recipe"),
    ],
)
def test_a_wrong_recipe_is_refused_in_words(text, said, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(text)
    done = _run("pretrain", recipe, "--out", tmp_path / "x.safetensors")
    assert done.exit_code == 2
    assert said in done.output


def test_nothing_to_train_on_is_said(tmp_path, data):
    (tmp_path / "recipe.toml").write_text('[data]\nwithout = ["seen", "left-out"]')
    done = _run(
        "pretrain", tmp_path / "recipe.toml", "--data", data, "--out", tmp_path / "x.safetensors"
    )
    assert done.exit_code == 2
    assert "nothing to train on" in done.output
