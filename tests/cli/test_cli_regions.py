"""``napari-regcon regions`` from a file to a file."""

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

import napari_regcon as rc
from napari_regcon._cli.app import app


@pytest.fixture
def image(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:48, :40]
    cells = 60 + 120 * (np.hypot(rows % 24 - 12, columns % 20 - 10) < 7)
    values = (cells + rng.normal(0, 5, (2, 48, 40))).astype(np.uint8)
    tifffile.imwrite("cells.tif", values, imagej=True, metadata={"axes": "ZYX"})
    return values


def run(*arguments):
    return CliRunner().invoke(app, ["regions", *arguments])


def test_the_file_holds_what_python_gives(image):
    result = run("cells.tif", "--out", "r.zarr", "--granularity", "0.8", "--smallest-px", "20")
    assert result.exit_code == 0, result.output
    assert "Written:  r.zarr" in result.stdout
    written = np.asarray(rc.open_volume("r.zarr").data)
    np.testing.assert_array_equal(written, rc.partition(image, 0.8, smallest_px=20))


def test_mistakes_end_with_a_message(image):
    assert run("cells.tif", "--out", "r.png").exit_code == 2
    assert run("cells.tif", "--out", "r.zarr", "--granularity", "2").exit_code == 2
    missing = run("missing.tif", "--out", "r.zarr")
    assert missing.exit_code == 2
    assert "There is no file" in missing.stderr
    assert run("cells.tif", "--out", "r.tif").exit_code == 0
    assert "exists already" in run("cells.tif", "--out", "r.tif").stderr
    assert run("cells.tif", "--out", "r.tif", "--overwrite").exit_code == 0
