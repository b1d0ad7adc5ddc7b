"""``napari-regcon finetune``: a network from painted labels, which ``segment`` then uses."""

import json

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from napari_regcon._cli.app import app
from napari_regcon.engine.finetuned import load_finetuned


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    image = rng.integers(60, 100, (3, 96, 96)).astype(np.uint8)
    image[:, 30:70, 30:70] += 90
    labels = np.zeros_like(image)
    for i in range(6):
        labels[1, 4 * i, 5:15] = 1
        labels[1, 33 + 5 * i, 40:50] = 2
    tifffile.imwrite(tmp_path / "image.tif", image, imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "labels.tif", labels, imagej=True, metadata={"axes": "ZYX"})
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


def finetune(folder, *more):
    return run(
        "finetune",
        folder / "image.tif",
        "--labels",
        folder / "labels.tif",
        "--out",
        folder / "net.safetensors",
        "--device",
        "cpu",
        *more,
    )


def test_a_network_is_trained_written_and_used(files):
    result = finetune(files, "--steps", 30, "--classes", "gap,cell")
    assert result.exit_code == 0, result.output
    assert "after 30 steps" in result.output
    assert "strokes not learnt from" in result.output
    _, card = load_finetuned(files / "net.safetensors")
    assert card.classes == ("gap", "cell")
    assert json.loads(card.about["painted_px"]) == {"gap": 60, "cell": 60}
    assert card.about["parent"] == "regcon-em"
    assert json.loads(card.about["images"])[0]["name"] == "image"
    out = files / "out.tif"
    result = run(
        "segment",
        files / "image.tif",
        "--labels",
        files / "labels.tif",
        "--classes",
        "gap,cell",
        "--method",
        files / "net.safetensors",
        "--out",
        out,
        "--device",
        "cpu",
    )
    assert result.exit_code == 0, result.output
    found = tifffile.imread(out)
    assert (found[:, 35:65, 35:65] == 2).mean() > 0.9
    assert (found[:, :20] == 1).mean() > 0.9


def test_the_same_seed_gives_the_same_network(files):
    states = []
    for _ in range(2):
        assert finetune(files, "--steps", 4, "--overwrite").exit_code == 0
        states.append(load_finetuned(files / "net.safetensors")[0].state_dict())
    for name, tensor in states[0].items():
        np.testing.assert_array_equal(tensor, states[1][name])


def test_minutes_end_the_training(files):
    result = finetune(files, "--minutes", 0.1)
    assert result.exit_code == 0, result.output


def test_what_was_interrupted_goes_on(files, monkeypatch):
    kept = files / "net.training"
    with monkeypatch.context() as patch:
        patch.setattr("napari_regcon.engine.finetuned.save_finetuned", _interrupt)
        assert finetune(files, "--steps", 3).exit_code == 130
    assert kept.exists()
    assert not (files / "net.safetensors").exists()
    result = finetune(files, "--steps", 5)
    assert "after 5 steps" in result.output
    assert not kept.exists()
    again = finetune(files, "--steps", 4, "--overwrite")
    assert "after 4 steps" in again.output


def _interrupt(*_):
    raise KeyboardInterrupt


def test_few_strokes_are_told(files):
    labels = tifffile.imread(files / "labels.tif")
    labels[1, 8:30] = 0
    labels[1, 43:] = 0
    tifffile.imwrite(files / "labels.tif", labels, imagej=True, metadata={"axes": "ZYX"})
    result = finetune(files, "--steps", 2)
    assert result.exit_code == 0, result.output
    assert "none is left to judge" in result.output


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--out", "net.pt"), "does not end in .safetensors"),
        (("--out", "nowhere/net.safetensors"), "does not exist"),
        (("--start", "no-such-weights"), "no-such-weights"),
    ],
)
def test_what_cannot_work_is_refused_before_work_starts(files, more, message):
    result = finetune(files, "--steps", 2, *more)
    assert result.exit_code == 2
    assert message in result.output.replace("\n", " ")
    assert not (files / "net.safetensors").exists()


def test_an_existing_file_is_kept(files):
    (files / "net.safetensors").write_text("mine")
    result = finetune(files, "--steps", 2)
    assert result.exit_code == 2
    assert "exists already" in result.output
    assert (files / "net.safetensors").read_text() == "mine"


def test_neighbouring_slices_are_looked_at_where_there_are_some(files):
    result = finetune(files, "--steps", 1, "--neighbours", 1)
    assert result.exit_code == 0, result.output
    assert load_finetuned(files / "net.safetensors")[1].neighbours == 1
    result = finetune(files, "--steps", 1, "--neighbours", 1, "--axes", "TYX", "--overwrite")
    assert result.exit_code == 2
    assert "no depth axis" in result.output
    assert load_finetuned(files / "net.safetensors")[1].neighbours == 1  # as it was
