"""The commands and code shown in the guides are run as they stand there."""

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

import napari_regcon as rc
from napari_regcon._cli.app import app
from napari_regcon.data.fingerprint import fingerprint
from napari_regcon.data.volumes import open_volume
from napari_regcon.session.files import save_session
from napari_regcon.session.painted import crop
from napari_regcon.session.saved import SessionImage, SessionState

GUIDES = Path(__file__).parents[2] / "docs" / "how-to"


def blocks(page, language):
    text = (GUIDES / page).read_text(encoding="utf-8")
    found = re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert found
    return found


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Two small stacks of dark cells with bright blobs, and strokes on one slice of the first."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:96, :80]
    truth = np.hypot(rows % 32 - 16, columns % 40 - 20) < 10
    for name in "ab":
        image = 70 + 90 * truth + rng.normal(0, 10, (5, *truth.shape))
        metadata = {"axes": "ZYX", "unit": "nm", "spacing": 40.0}
        tifffile.imwrite(f"{name}.tif", image.astype(np.uint8), imagej=True, metadata=metadata)
    labels = np.zeros((5, *truth.shape), np.uint8)
    labels[2, 30:34, 5:75] = 1
    labels[2, 44:52, 16:24] = 2
    tifffile.imwrite("a_labels.tif", labels, imagej=True, metadata={"axes": "ZYX"})
    return tmp_path, truth


def test_the_python_guide_works(files, capsys):
    folder, truth = files
    names = {}
    for code in blocks("python.md", "python"):
        exec(compile(code, "python.md", "exec"), names)  # noqa: S102 - our own page
    said = capsys.readouterr().out
    assert "(5, 96, 80) ZYX" in said
    assert "exists already" in said
    assert names["probabilities"].shape == (2, 96, 80)
    back = np.asarray(open_volume(folder / "result.zarr").data)
    assert (back == truth + 1).mean() > 0.9
    np.testing.assert_array_equal(np.asarray(open_volume("again.tif").data), back)
    np.testing.assert_array_equal(names["out"], back - 1)


def run_commands(page):
    """Run all commands of a page, and return how many there are."""
    commands = [line for block in blocks(page, "bash") for line in block.splitlines()]
    for command in commands:
        program, *arguments = command.split()
        assert program == "napari-regcon"
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
    return len(commands)


def test_the_guide_to_sessions_works(files, capsys):
    folder, truth = files
    volume, labels = rc.open_volume("a.tif"), tifffile.imread("a_labels.tif")
    image = SessionImage(
        "cells",
        volume.axes,
        volume.data.shape,
        "uint8",
        fingerprint(volume.data),
        str(folder / "a.tif"),
        patches={(2,): crop(labels[2])},
    )
    save_session(SessionState((image,)), folder / "cells.regcon")
    (folder / "moved.tif").write_bytes((folder / "a.tif").read_bytes())
    assert run_commands("sessions.md") == 2
    (code,) = blocks("sessions.md", "python")
    exec(compile(code, "sessions.md", "exec"), {})  # noqa: S102 - our own page
    assert "['background', 'object'] pixel-head" in capsys.readouterr().out
    back = [tifffile.imread(f"{name}.tif") for name in ("cells_again", "moved_again")]
    assert (back[0] == truth + 1).mean() > 0.9
    np.testing.assert_array_equal(back[0], back[1])
    np.testing.assert_array_equal(back[0], tifffile.imread("from_python.tif"))


def test_the_commands_of_the_guide_work(files):
    folder, truth = files
    assert run_commands("command-line.md") == 3
    for name, values in {
        "a_segmented.zarr": {1, 2},
        "mitochondria.tif": {0, 1, 2},
        "b_segmented.zarr": {1, 2},
    }.items():
        assert set(np.unique(np.asarray(open_volume(folder / name).data))) <= values
    back = np.asarray(open_volume("b_segmented.zarr").data)
    assert (back == truth + 1).mean() > 0.9


def test_the_guide_to_regions_works(files, capsys):
    _, truth = files
    assert run_commands("regions.md") == 4
    names = {}
    (code,) = blocks("regions.md", "python")
    exec(compile(code, "regions.md", "exec"), names)  # noqa: S102 - our own page
    assert "regions" in capsys.readouterr().out
    np.testing.assert_array_equal(names["filled"], tifffile.imread("a_filled.tif"))
    assert (names["filled"][2] == truth + 1).mean() > 0.95
    assert open_volume("in_context.zarr").data.shape == names["filled"].shape
    regions = np.asarray(open_volume("a_regions.zarr").data)
    # Filled with their majority, regions give back the cells.
    share = np.bincount(regions.ravel(), np.tile(truth, (5, 1, 1)).ravel()) / np.maximum(
        np.bincount(regions.ravel()), 1
    )
    assert ((share > 0.5)[regions] == truth).mean() > 0.9
