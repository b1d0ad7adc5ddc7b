"""``napari-regcon spread``, and ``segment --spread``."""

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

import napari_regcon as rc
from napari_regcon._cli.app import app


@pytest.fixture
def files(tmp_path, monkeypatch):
    """An image of dark and bright halves, strokes of the values 3 and 8 on its second slice."""
    monkeypatch.chdir(tmp_path)
    truth = np.full((2, 64, 64), 3, np.uint8)
    truth[:, :, 30:] = 8
    noise = np.random.default_rng(0).normal(0, 8, truth.shape)
    image = (60 + 20.0 * (truth - 3) + noise).clip(0, 255).astype(np.uint8)
    labels = np.zeros_like(truth)
    labels[1, 10, 4:20], labels[1, 40, 40:60] = 3, 8
    tifffile.imwrite("cells.tif", image, imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite("strokes.tif", labels, imagej=True, metadata={"axes": "ZYX"})
    return image, labels, truth


def run(*arguments):
    return CliRunner().invoke(app, arguments)


def test_the_file_holds_what_python_gives(files):
    image, labels, truth = files
    done = run("spread", "cells.tif", "--labels", "strokes.tif", "--out", "filled.tif")
    assert done.exit_code == 0, done.output
    assert "Written:  filled.tif" in done.stdout
    written = np.asarray(rc.open_volume("filled.tif").data)
    np.testing.assert_array_equal(written, rc.spread(image, labels))
    assert (written[1] == truth[1]).mean() > 0.97
    again = run("spread", "cells.tif", "--labels", "strokes.tif", "--out", "filled.tif")
    assert again.exit_code == 2
    assert "exists already" in again.stderr


def test_methods_that_need_complete_slices_point_to_it(files):
    command = ["segment", "cells.tif", "--labels", "strokes.tif", "--method", "in-context"]
    refused = run(*command, "--out", "r.tif")  # the guide to regions goes on with it
    assert refused.exit_code == 2
    assert "--spread" in refused.stderr
