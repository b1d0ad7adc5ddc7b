"""``napari-regcon pretrain`` on a folder of data sets, from the recipe to usable weights."""

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from dataset_folder import write_dataset
from napari_regcon._cli.app import app
from napari_regcon.engine.embedding import load_network
from napari_regcon.engine.registry import load_segmenter, method_of_weights
from napari_regcon.engine.weights import load_state

RECIPE = """
licence = "CC-BY-4.0"
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
width = {width}
levels = 2
checkpoint_every = 2
"""

IN_CONTEXT = """
network = "in-context"
licence = "CC-BY-4.0"
[data]
without = ["left-out"]
planes_per_volume = 3
[draw]
zoom = [0.8, 1.2]
[train]
steps = 4
width = 4
tasks_per_step = 2
queries = 1
support = [1, 3]
crop_px = 32
late_crop_px = 64
late_share = 0.25
checkpoint_every = 2
"""


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    for name, role in (("seen", "train"), ("left-out", "train"), ("kept-apart", "measure")):
        labels = (rng.random((4, 8, 8)) > 0.5).repeat(8, 1).repeat(8, 2).astype(np.uint8)
        raw = (labels * 80 + rng.integers(0, 90, labels.shape)).astype(np.uint8)
        write_dataset(tmp_path / "data" / name, raw, labels, role=role)
    return tmp_path / "data"


def _run(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def _recipe(tmp_path, steps=4, width=4):
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.format(steps=steps, width=width))
    return path


def _train(tmp_path, data, *words, **recipe):
    """Train to ``net.safetensors``; what cannot work fails here, with the output."""
    out = tmp_path / "net.safetensors"
    done = _run("pretrain", _recipe(tmp_path, **recipe), "--data", data, "--out", out, *words)
    assert done.exit_code == 0, done.output
    return out


def test_it_trains_on_what_may_be_trained_on_and_writes_weights_with_a_card(tmp_path, data):
    _, info = load_network(_train(tmp_path, data))
    assert info.card["data"] == '["seen"]'
    assert info.card["steps"] == "4"
    assert info.card["name"] == "recipe"


def test_the_card_says_under_which_licence_the_weights_and_what_they_saw_are(tmp_path, data):
    shown = _run("weights", "info", _train(tmp_path, data)).output
    assert "licence:" in shown
    assert "CC-BY-4.0" in shown
    assert "seen: CC0-1.0, example.org/seen" in shown
    recipe = tmp_path / "phantom.toml"
    recipe.write_text("[data]\nphantoms = 1\nphantom_shape = [1, 32, 32]\n[draw]\ncrop_px = 32")
    out = tmp_path / "phantom.safetensors"
    assert _run("pretrain", recipe, "--out", out, "--steps", 1).exit_code == 0
    shown = _run("weights", "info", out).output
    assert "not stated" in shown
    assert "phantom: drawn by napari-regcon" in shown


def test_an_interrupted_run_goes_on_to_the_same_weights(tmp_path, data):
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    for out, steps in ((whole, 4), (parts, 2), (parts, 4)):
        # The rate depends on the number of steps, so the first part is cut short from outside.
        recipe = _recipe(tmp_path)
        done = _run("pretrain", recipe, "--data", data, "--out", out, "--stop-after", steps)
        assert done.exit_code == 0, done.output
    one, two = (load_network(path)[0].state_dict() for path in (whole, parts))
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_a_network_in_context_is_trained_goes_on_the_same_and_can_be_used(tmp_path, data):
    recipe = tmp_path / "context.toml"
    recipe.write_text(IN_CONTEXT)
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    for out, steps in ((whole, 4), (parts, 2), (parts, 4)):
        done = _run("pretrain", recipe, "--data", data, "--out", out, "--stop-after", steps)
        assert done.exit_code == 0, done.output
    assert method_of_weights(whole) == ("in-context", {})
    (one, info), (two, _) = load_state(whole), load_state(parts)
    torch.testing.assert_close(one, two, rtol=0, atol=0)
    assert info.card["data"] == '["seen"]'
    assert info.card["steps"] == "4"
    assert load_segmenter(str(whole), device="cpu").network.width == 4


def test_a_finished_run_only_writes_its_weights_again(tmp_path, data):
    out = _train(tmp_path, data)
    before, info = load_network(out)
    out.unlink()
    after, again = load_network(_train(tmp_path, data))
    assert again.card == info.card
    torch.testing.assert_close(after.state_dict(), before.state_dict(), rtol=0, atol=0)


def test_overwrite_begins_anew_whatever_was_there(tmp_path, data):
    _train(tmp_path, data, width=8)
    (tmp_path / "net.checkpoint.pt").write_bytes(b"no checkpoint")
    _, info = load_network(_train(tmp_path, data, "--overwrite", steps=2))
    assert (info.card["steps"], info.card["width"]) == ("2", "4")


def test_a_checkpoint_of_other_parameters_is_refused_before_anything_is_read(tmp_path, data):
    out = _train(tmp_path, data)
    done = _run("pretrain", _recipe(tmp_path, width=8), "--data", tmp_path / "none", "--out", out)
    assert done.exit_code == 2
    for words in ("width 4, not 8", "but for checkpoint_every, minutes, steps", "--overwrite"):
        assert words in " ".join(done.output.split())
    (tmp_path / "net.checkpoint.pt").write_bytes(b"no checkpoint")
    done = _run("pretrain", _recipe(tmp_path), "--data", tmp_path / "none", "--out", out)
    assert done.exit_code == 2
    assert "is damaged" in done.output


def test_a_checkpoint_of_another_version_goes_on_where_what_both_know_agrees(tmp_path, data):
    _train(tmp_path, data)
    checkpoint = tmp_path / "net.checkpoint.pt"
    state = torch.load(checkpoint, weights_only=True)
    del state["config"]["ridge"]
    torch.save(state | {"config": state["config"] | {"since_forgotten": 1}}, checkpoint)
    _, info = load_network(_train(tmp_path, data, steps=6))
    assert info.card["steps"] == "6"


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
        ("[train]\nsteps = 'many'", "Steps is 'many'. Expected a whole number"),
        ("[train]\nlearning_rate = nan", "Learning rate is nan"),
        ("[train]\nepisodes_per_step = 0\nviews_per_step = 0", "are both 0"),
        ("licence = 3", "Licence is 3. Expected text"),
        ("[data]\nplanes_per_volume = 0", "Planes per volume is 0"),
        ("[data]\nphantoms = -1", "Phantoms is -1. Expected at least 0"),
        ("[data]\nphantom_shape = [6, 0, 6]", "Phantom shape is (6, 0, 6)"),
        ("[data]\nphantom_shape = [64, 64]", "Expected 3 values, each a whole number"),
        ("[data]\nwithout = 'seen'", "Expected a list of data sets"),
        ("[draw]\nzoom = [2.0, 1.0]", "Expected the smaller of the two first"),
        ("[draw]\nzoom = [0, 1]", "Zoom is (0, 1)"),
        ("[draw]\npseudo_share = 1.5", "Pseudo share is 1.5"),
        ("[draw]\ncrop_px = 100", "Expected a multiple of 16"),
        ("network = 'magic'", "no network 'magic' to train. Expected one of features, in-context"),
        ("network = 'in-context'\n[train]\nsupport = [4, 2]", "Support is (4, 2)"),
        ("network = 'in-context'\n[draw]\ncrop_px = 32", "does not fit"),
        ("[shares]\nseen = 0", "The share of seen is 0"),
        ("[draw", "cannot be read as a recipe"),
    ],
)
def test_a_wrong_recipe_is_refused_in_words(text, said, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(text)
    done = _run("pretrain", recipe, "--out", tmp_path / "x.safetensors")
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())


def test_nothing_to_train_on_is_said(tmp_path, data):
    (tmp_path / "recipe.toml").write_text('[data]\nwithout = ["seen", "left-out"]')
    done = _run(
        "pretrain", tmp_path / "recipe.toml", "--data", data, "--out", tmp_path / "x.safetensors"
    )
    assert done.exit_code == 2
    assert "nothing to train on" in done.output


def test_images_without_labels_adapt_weights_that_there_are(tmp_path):
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 200, (2, 6, 6)).repeat(16, 1).repeat(16, 2).astype(np.uint8)
    np.save(tmp_path / "mine.npy", blocks)
    words = ["--start", "regcon-em", "--image", tmp_path / "mine.npy", "--steps", 1]
    out = tmp_path / "adapted.safetensors"
    done = _run("pretrain", *words, "--out", out)
    assert done.exit_code == 0, done.output
    net, info = load_network(out)
    parent, before = load_network("regcon-em")
    assert net.width == parent.width
    assert info.card["parent"] == "regcon-em"
    assert info.card["parent_sha256"] == before.sha256
    assert '"name": "mine"' in info.card["images"]
    assert info.card["name"] == "adapt"
