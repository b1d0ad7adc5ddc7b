"""``segment --session``: what is found, refused and noted. The bytes: tests/gui/test_replay.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tifffile
import zarr
from typer.testing import CliRunner

import napari_regcon as rc
from napari_regcon._cli.app import app
from napari_regcon.data.fingerprint import fingerprint
from napari_regcon.session.classes import LabelClass
from napari_regcon.session.files import save_session
from napari_regcon.session.marks import Mark
from napari_regcon.session.painted import Patch
from napari_regcon.session.saved import SessionImage, SessionState
from napari_regcon.types import Box


def run(*args):
    return CliRunner().invoke(app, ["segment", *(str(arg) for arg in args)])


def brain(seed=0, shape=(4, 60, 70)):
    """Return an image of dark and bright parts, and the truth 1, 2."""
    truth = np.ones(shape, np.uint8)
    truth[:, 10:40, 10:50] = 2
    noise = np.random.default_rng(seed).normal(0, 6, shape)
    return np.clip(80.0 * truth + noise, 0, 255).astype(np.uint8), truth


def session_image(path, data, truth, planes=(1,), **more):
    """Return an image with a box painted as on the truth on some planes."""
    patches = {(z,): Patch((5, 5), truth[z, 5:15, 5:20].copy()) for z in planes}
    return SessionImage(
        path.stem,
        "ZYX",
        data.shape,
        str(data.dtype),
        fingerprint(data),
        str(path),
        (40.0, 4.0, 4.0),
        ("nanometer",) * 3,
        (0.0, 0.0, 0.0),
        patches,
        **more,
    )


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """An image file, and a session on it."""
    monkeypatch.chdir(tmp_path)
    data, truth = brain()
    path = tmp_path / "data" / "cells.tif"
    path.parent.mkdir()
    tifffile.imwrite(path, data, imagej=True, metadata={"axes": "ZYX"})
    state = SessionState((session_image(path, data, truth),), parameters={"seed": 4})
    save_session(state, tmp_path / "mine.regcon")
    return state, tmp_path, truth


def test_a_session_segments_its_image_into_a_file_called_after_it(saved, brightness):
    _, folder, truth = saved
    result = run("--session", folder / "mine.regcon")
    assert result.exit_code == 0, result.output
    back = rc.open_volume("mine_segmented.zarr")
    assert (np.asarray(back.data) == truth).mean() > 0.99
    np.testing.assert_allclose(back.scale, (40.0, 4.0, 4.0))
    assert brightness == [{"method": "pixel-head", "weights": None, "device": "auto", "seed": 4}]
    for said in ("cells.tif", "seed = 4", "Value 1:  background, 100 px", "Value 2:  object, 50"):
        assert said in result.stdout
    assert "differ" not in result.stderr
    channels = zarr.open_group("mine_segmented.zarr", mode="r").attrs["ome"]
    assert channels


def test_device_and_place_of_the_result_can_be_chosen(saved, brightness):
    _, folder, _ = saved
    result = run(
        *("--session", folder / "mine.regcon", "--out", "r.tif", "--device", "cpu"),
        *("--probabilities", "p.zarr"),
    )
    assert result.exit_code == 0, result.output
    assert brightness[0]["device"] == "cpu"
    assert rc.open_volume("p.zarr").axes == "ZYXC"
    again = run("--session", folder / "mine.regcon", "--out", "r.tif")
    assert again.exit_code == 2
    assert "exists already" in again.stderr
    assert run("--session", folder / "mine.regcon", "--out", "r.tif", "--overwrite").exit_code == 0


def test_an_image_that_moved_is_found_beside_the_session_or_where_it_is_said(saved, brightness):
    state, folder, _ = saved
    moved = folder / "moved.tif"
    (folder / "data" / "cells.tif").rename(moved)
    result = run("--session", folder / "mine.regcon")
    assert result.exit_code == 2
    assert "The image 'cells' of the session is not there" in result.stderr
    assert str(folder / "data" / "cells.tif") in result.stderr
    assert "as IMAGE" in result.stderr
    assert run(moved, "--session", folder / "mine.regcon").exit_code == 0
    moved.rename(folder / "cells.tif")
    result = run("--session", folder / "mine.regcon", "--overwrite")
    assert result.exit_code == 0, result.output
    save_session(
        replace(state, images=(replace(state.image, path="C:\\Users\\me\\cells.tif"),)),
        folder / "windows.regcon",
    )
    assert run("--session", folder / "windows.regcon").exit_code == 0


def test_an_image_that_changed_or_is_another_is_refused(saved, brightness):
    _, folder, _ = saved
    changed, _ = brain(seed=9)
    tifffile.imwrite(folder / "data" / "cells.tif", changed, imagej=True, metadata={"axes": "ZYX"})
    result = run("--session", folder / "mine.regcon")
    assert result.exit_code == 2
    assert "is not the image 'cells' of the session, or it was changed since" in result.stderr
    tifffile.imwrite(folder / "other.tif", changed[:2].astype(np.uint16))
    result = run(folder / "other.tif", "--session", folder / "mine.regcon")
    assert result.exit_code == 2
    assert "has shape (2, 60, 70) and type uint16" in result.stderr
    assert "had (4, 60, 70) and uint8" in result.stderr
    assert not (folder / "mine_segmented.zarr").exists()
    assert brightness == []


def test_other_images_with_strokes_are_found_by_their_content(saved, brightness):
    state, folder, truth = saved
    others = []
    for number in (1, 2):
        data, _ = brain(seed=number, shape=(2, 60, 70))
        others.append(session_image(folder / "gone" / f"{number}.tif", data, truth))
        tifffile.imwrite(folder / f"now{number}.tif", data, imagej=True, metadata={"axes": "ZYX"})
    both = replace(state, images=(others[0], state.image, others[1]), chosen=1)
    save_session(both, folder / "three.regcon")
    result = run("--session", folder / "three.regcon")
    assert result.exit_code == 2
    assert "The image '1' of the session is not there" in result.stderr
    assert "--support-image" in result.stderr
    where = ("--support-image", folder / "now2.tif", "--support-image", folder / "now1.tif")
    result = run("--session", folder / "three.regcon", *where)
    assert result.exit_code == 0, result.output
    assert "background, 300 px" in result.stdout


def test_other_versions_and_devices_are_noted(saved, brightness):
    state, folder, _ = saved
    older = {**state.versions, "torch": "1.0", "python": "2.7"}
    del older["numpy"]
    save_session(replace(state, versions=older, computed_on="Abacus"), folder / "mine.regcon")
    result = run("--session", folder / "mine.regcon")
    assert result.exit_code == 0, result.output
    assert f"saved with torch 1.0, and this is {state.versions['torch']}" in result.stderr
    assert "saved with numpy an unknown version" in result.stderr
    assert "computed on Abacus, and this is CPU" in result.stderr
    assert "napari-regcon" not in result.stderr
    assert "python" not in result.stderr


def test_other_weights_are_refused(saved, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_REGCON_WEIGHTS_DIR", str(tmp_path / "weights"))
    state, folder, _ = saved
    (tmp_path / "net.pt").write_bytes(b"something else")
    state = replace(state, method="in-context", parameters={}, weights_sha256="00ff")
    for name, said in (("net", "are not on this computer"), (str(tmp_path / "net.pt"), "others")):
        save_session(replace(state, weights=name), folder / "mine.regcon")
        result = run("--session", folder / "mine.regcon")
        assert result.exit_code == 2
        assert said in result.stderr
        assert "Expected the sum 00ff" in result.stderr


@pytest.mark.parametrize(
    "options",
    [
        ("--labels", "labels.tif"),
        ("--method", "pixel-head"),
        ("--weights", "mine"),
        ("--complete",),
        ("--classes", "a,b"),
        ("--axes", "ZYX"),
        ("--seed", "3"),
        ("--sigma-max-px", "8"),
    ],
)
def test_what_the_session_says_cannot_be_said_again(saved, options):
    _, folder, _ = saved
    result = run("--session", folder / "mine.regcon", *options)
    assert result.exit_code == 2
    assert f"{options[0]} cannot be used with --session" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("a.tif", "--out", "r.zarr"), "--labels), or a session of the dock (--session)"),
        (("--labels", "a.tif", "--out", "r.zarr"), "The image is missing"),
        (("a.tif", "--labels", "a.tif"), "--out is missing"),
        (("--session", "none.regcon"), "There is no file 'none.regcon'"),
        (("none.tif", "--session", "mine.regcon"), "There is no file 'none.tif'"),
        (("--session", "mine.regcon", "--out", "r.png"), "Expected a name that ends in"),
        (
            ("--session", "mine.regcon", "--out", "data/cells.tif", "--overwrite"),
            "is one of the inputs",
        ),
    ],
)
def test_what_is_missing_or_cannot_be_is_said(saved, arguments, said):
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr.replace("\n", " ")


def test_a_file_that_is_no_session_is_refused(saved):
    _, folder, _ = saved
    (folder / "no.regcon").write_bytes(b"no session")
    result = run("--session", folder / "no.regcon")
    assert result.exit_code == 2
    assert "no.regcon is not a session file" in result.stderr


def test_complete_parts_and_removed_classes_count(saved):
    state, folder, truth = saved
    data = rc.open_volume(folder / "data" / "cells.tif").data
    boxes = (Box((5, 5), (15, 20)), Box((20, 20), (22, 22)))
    image = session_image(folder / "data" / "cells.tif", np.asarray(data), truth * 0 + 4)
    image = replace(
        image,
        patches={(1,): Patch((12, 12), np.full((3, 6), 4, np.uint8))},
        marks=(Mark((1,), boxes[0], whole=False), Mark((0,), boxes[1], whole=False)),
    )
    classes = (LabelClass(1, "background", "#112233"), LabelClass(4, "cell", "#445566"))
    save_session(replace(state, images=(image,), classes=classes), folder / "mine.regcon")
    result = run("--session", folder / "mine.regcon")
    assert result.exit_code == 0, result.output
    assert f"Value 1:  background, {150 - 18 + 4} px" in result.stdout
    assert "Value 4:  cell, 18 px" in result.stdout
