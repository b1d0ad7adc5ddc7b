"""A session saved in the dock gives the same bytes on the command line."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import tifffile

import napari_regcon as rc
from napari_regcon.engine import weights
from napari_regcon.session.files import save_session

from .conftest import stroke
from .test_real_engine import START_MS, two_tone

pytestmark = [pytest.mark.gui, pytest.mark.slow]

MAIN = "from napari_regcon._cli.app import main; main()"


def replay(*arguments):
    """Run the command in a process of its own."""
    command = [sys.executable, "-c", MAIN, "segment", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


def segmented(widget, qtbot):
    """Segment the whole volume in the dock."""
    with qtbot.waitSignal(widget.core.volume.finished, timeout=START_MS):
        widget.core.volume.start()
    work = widget.core.workspace.current
    assert work.state.predictions.missing() == [], widget.state_line.text
    return np.array(work.state.geometry.label_array(work.prediction.data))


def saved(widget, qtbot, path):
    with qtbot.waitSignal(widget.core.sessions.saved, timeout=30_000):
        widget.core.sessions.save(path)
    return path


def test_a_replayed_session_gives_the_same_bytes(dock, qtbot, tmp_path):
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, two_tone((5, 300, 290)), imagej=True, metadata={"axes": "ZYX"})
    widget = dock(False, real=True)
    (layer,) = widget.viewer.open(path)
    layer.scale, layer.units = (40, 4, 4), ("nm", "nm", "nm")
    work = widget.core.workspace.current
    qtbot.waitUntil(lambda: work.source is not None, timeout=30_000)
    widget.panels.model._form._controls["seed"].value = 3
    widget.core.classes.add()  # a class without strokes
    stroke(widget, 2, [(3, 20, x) for x in range(10, 140)])
    stroke(widget, 1, [(1, 220, x) for x in range(150, 280)])
    expected = segmented(widget, qtbot)
    assert set(np.unique(expected)) == {1, 2}
    session = saved(widget, qtbot, tmp_path / "mine.regcon")

    done = replay("--session", session, "--out", tmp_path / "again.tif")
    assert done.returncode == 0, done.stderr
    assert "may differ" not in done.stderr
    back = rc.open_volume(tmp_path / "again.tif")
    np.testing.assert_array_equal(np.asarray(back.data), expected)
    np.testing.assert_allclose(back.scale, (40, 4, 4))
    assert "seed = 3" in done.stdout
    assert "Value 3:  class 3, 0 px" in done.stdout


def test_strokes_on_other_images_complete_parts_and_depth_count_too(dock, qtbot, tmp_path):
    image = two_tone((6, 80, 96))
    widget = dock(np.moveaxis(image, 0, -1), real=True, name="odd axes", scale=(4, 4, 30))
    widget.core.workspace.set_axes("YXZ")
    other = 255 - two_tone((9, 70, 64))
    widget.viewer.add_image(other, name="other")
    widget.core.live.set_enabled(False)  # so that the engine is told late
    widget.panels.image._combo.activated.emit(1)
    assert widget.core.workspace.current.layer.name == "other"
    qtbot.waitUntil(lambda: widget.core.workspace.current.source is not None, timeout=30_000)
    stroke(widget, 2, [(3, 20, x) for x in range(40, 60)])
    stroke(widget, 1, [(3, y, 5) for y in range(20, 60)])
    widget.panels.image._combo.activated.emit(0)
    work = widget.core.workspace.current
    assert work.layer.name == "odd axes"
    qtbot.waitUntil(lambda: work.source is not None, timeout=30_000)
    widget.panels.model._form._controls["dimensions"].value = 3
    widget.viewer.dims.set_current_step(2, 4)
    stroke(widget, 2, [(y, x, 4) for y in range(10, 30) for x in range(10, 40)])
    widget.core.marking.mark_slice()
    stroke(widget, 1, [(60, x, 0) for x in range(60, 90)])
    expected = segmented(widget, qtbot)
    session = saved(widget, qtbot, tmp_path / "mine.regcon")
    state = rc.load_session(session)
    assert len(state.images) == 2
    assert len(state.image.marks) == 1

    done = replay("--session", session)
    assert done.returncode == 2
    assert "was not in a file when the session was saved" in done.stderr
    tifffile.imwrite(tmp_path / "a.tif", image, imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "b.tif", other)  # says nothing of its axes
    fitted = rc.fit_session(state, image=tmp_path / "a.tif", others=[tmp_path / "b.tif"])
    out = np.zeros(fitted.volume.label_shape, np.uint8)
    assert list(rc.segment_volume(fitted.volume, fitted.predictor, out))
    assert fitted.notes == ()
    np.testing.assert_array_equal(out, expected)

    alone = tmp_path / "alone.regcon"  # without the other image it is another result
    save_session(type(state)((state.image,), parameters=state.parameters), alone)
    fitted = rc.fit_session(rc.load_session(alone), image=tmp_path / "a.tif")
    assert list(rc.segment_volume(fitted.volume, fitted.predictor, out))
    assert (out != expected).any()


MAKE_NETWORK = """
import sys, torch
from napari_regcon.nn.universeg import UniverSeg
for seed in (0, 1):
    torch.manual_seed(seed)
    network = UniverSeg(8)
    left = (torch.arange(64) < 32).float().expand(1, 1, 64, 64)
    image = 0.2 + 0.5 * left + 0.1 * torch.rand(left.shape)
    with torch.no_grad():  # so that it says yes and no about equally often
        answer = network(image, image[None].repeat(1, 3, 1, 1, 1), left[None].repeat(1, 3, 1, 1, 1))
        network.out_conv["conv"].bias -= answer.median()
    torch.save(network.state_dict(), f"{sys.argv[1]}/net{seed}.pt")
"""


@pytest.fixture
def networks(tmp_path, monkeypatch):
    """Two files of small networks, made outside as torch has no place beside a window."""
    monkeypatch.setenv("NAPARI_REGCON_WEIGHTS_DIR", str(tmp_path / "weights"))
    subprocess.run([sys.executable, "-c", MAKE_NETWORK, str(tmp_path)], check=True)
    return [tmp_path / "net0.pt", tmp_path / "net1.pt"]


def test_a_network_gives_the_same_bytes_with_the_same_weights_only(
    dock, qtbot, tmp_path, monkeypatch, networks
):
    weights.copy_in(networks[0], name="mine")
    image = two_tone((3, 200, 180))
    np.save(tmp_path / "cells.npy", image)
    widget = dock(np.load(tmp_path / "cells.npy", mmap_mode="r"), real=True)
    panel = widget.panels.model
    panel.choose("in-context", {"tile_px": 64, "support_size": 3, "ensemble": 2}, "mine", "cpu")
    assert panel.choice.weights == "mine"
    widget.viewer.dims.set_current_step(0, 0)
    stroke(widget, 2, [(0, y, x) for y in range(40, 150) for x in range(10, 80)])
    widget.core.marking.mark_slice()
    expected = segmented(widget, qtbot)
    assert set(np.unique(expected)) == {1, 2}
    session = saved(widget, qtbot, tmp_path / "mine.regcon")
    state = rc.load_session(session)
    assert (state.weights, len(state.weights_sha256)) == ("mine", 64)
    assert state.parameters["downscale"] == 0  # a default is written down too

    done = replay("--session", session, "--out", tmp_path / "again.zarr")
    assert done.returncode == 0, done.stderr
    assert f"mine, SHA-256 {state.weights_sha256}" in done.stdout
    back = np.asarray(rc.open_volume(tmp_path / "again.zarr").data)
    np.testing.assert_array_equal(back, expected)

    monkeypatch.setenv("NAPARI_REGCON_WEIGHTS_DIR", str(tmp_path / "elsewhere"))
    weights.copy_in(networks[1], name="mine")
    done = replay("--session", session, "--out", tmp_path / "other.zarr")
    assert done.returncode == 2
    assert "and those on this computer are others" in done.stderr
    weights.copy_in(networks[0], name="called-otherwise")
    done = replay("--session", session, "--out", tmp_path / "other.zarr")
    assert done.returncode == 0, done.stderr
