import importlib.util
import re
import subprocess
import sys

import numpy as np
import pytest
import tifffile
import typer
from PIL import Image
from typer.testing import CliRunner

from napari_regcon._cli import demo as module
from napari_regcon._cli.demo import CLASSES, FILES, demo
from napari_regcon.data.metrics import Confusion
from napari_regcon.data.volumes import open_volume
from napari_regcon.errors import InputError


def run(*args):
    app = typer.Typer()
    app.command()(demo)
    small = ("--depth", "6", "--size", "96", "--device", "cpu")
    return CliRunner().invoke(app, [*small, *map(str, args)], catch_exceptions=False)


def dice_in(output):
    """Return the Dice of each class that the table shows."""
    cells = [re.split(r"\s*[│|]\s*", line.strip("│| ")) for line in output.splitlines()]
    return {row[0]: row[2] for row in cells if row[0] in CLASSES}


@pytest.fixture
def folder(tmp_path, brightness):
    result = run("--out", tmp_path / "demo", "--seed", "2")
    assert result.exit_code == 0
    return tmp_path / "demo", result.output


def test_it_writes_image_strokes_result_probabilities_truth_and_a_picture(folder):
    out, _ = folder
    assert sorted(path.name for path in out.iterdir()) == sorted(FILES)
    image = open_volume(out / "image.tif")
    assert image.data.shape == (6, 96, 96)
    assert np.allclose(image.scale, (30, 8, 8))
    for name in ("strokes", "result", "truth"):
        labels = open_volume(out / f"{name}.tif")
        assert labels.data.shape == (6, 96, 96)
        assert np.allclose(labels.scale, image.scale)
    probabilities = open_volume(out / "probabilities.tif")
    assert set(probabilities.data.shape) == {6, 96, len(CLASSES)}
    with Image.open(out / "overview.png") as picture:
        assert picture.width > 1000


def test_strokes_are_right_and_only_on_two_slices(folder):
    out, output = folder
    strokes, truth = (tifffile.imread(out / f"{n}.tif") for n in ("strokes", "truth"))
    painted = np.flatnonzero(strokes.any((1, 2)))
    assert painted.tolist() == [1, 4]
    said = strokes > 0
    assert np.array_equal(strokes[said], truth[said])
    assert said.mean() < 0.1
    assert "on slices z = 1 and 4" in output


def test_the_dice_it_prints_is_that_of_the_files_on_unpainted_slices(folder):
    out, output = folder
    truth, result = (tifffile.imread(out / f"{n}.tif") for n in ("truth", "result"))
    confusion = Confusion(CLASSES)
    for z in (0, 2, 3, 5):
        confusion.add(truth[z], result[z])
    shown = dice_in(output)
    expected = {
        n: "-" if d != d else f"{d:.3f}" for n, d in zip(CLASSES, confusion.dice(), strict=True)
    }
    assert shown == expected
    assert "Time:" in output
    assert "peak memory" in output


def test_a_second_run_replaces_the_first_and_leaves_other_files(folder):
    out, _ = folder
    (out / "mine.txt").write_text("keep")
    before = (out / "truth.tif").read_bytes()
    assert run("--out", out, "--seed", "3").exit_code == 0
    assert (out / "truth.tif").read_bytes() != before
    assert (out / "mine.txt").read_text() == "keep"


def test_the_real_method_finds_membranes_and_mitochondria(tmp_path):
    result = run("--out", tmp_path, "--seed", "11", "--size", "160")
    assert result.exit_code == 0
    dice = {name: float(value) for name, value in dice_in(result.output).items()}
    assert dice["background"] > 0.75
    assert dice["membrane"] > 0.35
    assert dice["mitochondrion"] > 0.35


def test_a_file_in_the_way_is_refused_before_any_work(tmp_path):
    (tmp_path / "taken").write_text("x")
    with pytest.raises(InputError, match="is a file"):
        run("--out", tmp_path / "taken")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "taken").write_text("x")
    with pytest.raises(InputError, match="cannot be made"):
        run("--out", tmp_path / "taken" / "deeper")


def test_open_without_napari_is_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"napari-regcon\[all\]"):
        run("--out", tmp_path / "demo", "--open")
    assert not (tmp_path / "demo" / "image.tif").exists()


@pytest.mark.gui  # asks whether napari is installed
@pytest.mark.parametrize("status", [0, 3])
def test_open_starts_napari_in_its_own_process(tmp_path, brightness, monkeypatch, status):
    started = []

    def start(command, check):
        started.append(command)
        return subprocess.CompletedProcess(command, status)

    monkeypatch.setattr(module.subprocess, "run", start)
    if status:
        with pytest.raises(InputError, match="status 3"):
            run("--out", tmp_path, "--open")
    else:
        run("--out", tmp_path, "--open")
    assert started == [[sys.executable, "-m", "napari_regcon._qt.show", str(tmp_path)]]
