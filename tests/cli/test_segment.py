import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
import zarr
from typer.testing import CliRunner

from napari_regcon import config
from napari_regcon._cli.app import app
from napari_regcon.data.volumes import open_volume
from napari_regcon.engine.embedding import save_network
from napari_regcon.nn.regcon import RegConNet


def run(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def brain(seed=0, shape=(4, 60, 70)):
    """Return an image of dark, grey and bright parts, and the truth 0, 1, 2."""
    truth = np.zeros(shape, np.uint8)
    truth[:, 10:30, 10:50] = 1
    truth[:, 35:55, 20:60] = 2
    noise = np.random.default_rng(seed).normal(0, 6, shape)
    return np.clip(40 + 80.0 * truth + noise, 0, 255).astype(np.uint8), truth


def write(path, values, **metadata):
    """Write a stack of slices as ImageJ does."""
    metadata = {"axes": "ZYX", **metadata}
    tifffile.imwrite(path, values, imagej=True, resolution=(1 / 4, 1 / 4), metadata=metadata)


def strokes(truth, values, plane=1):
    """Paint a short line of each class on one plane."""
    labels = np.zeros(truth.shape, np.uint8)
    for i, (row, value) in enumerate(zip((4, 20, 45), values, strict=True)):
        labels[plane, row, 25:45] = value
        assert (truth[plane, row, 25:45] == i).all()
    return labels


@pytest.fixture
def files(tmp_path):
    image, truth = brain()
    write(tmp_path / "a.tif", image, unit="nm", spacing=40.0)
    write(tmp_path / "a_labels.tif", strokes(truth, (1, 4, 9)))
    return tmp_path, truth


def test_strokes_on_one_slice_segment_the_volume_in_the_users_own_values(files, brightness):
    folder, truth = files
    result = run(
        "segment", folder / "a.tif", "--labels", folder / "a_labels.tif", "--out", folder / "r.zarr"
    )
    assert result.exit_code == 0, result.output
    back = open_volume(folder / "r.zarr")
    expected = np.array([1, 4, 9])[truth]
    assert (np.asarray(back.data) == expected).mean() > 0.99
    assert back.axes == "ZYX"
    np.testing.assert_allclose(back.scale, (40.0, 4.0, 4.0))
    assert names(folder) == ["a.tif", "a_labels.tif", "r.zarr"]
    for said in ("Device:", "pixel-head", "Value 4", "20 px", "peak memory", "r.zarr"):
        assert said in result.stdout


def test_complete_slices_make_the_rest_background_which_is_0(files, brightness):
    folder, truth = files
    labels = np.zeros_like(truth)
    labels[2] = np.array([0, 5, 8])[truth[2]]
    write(folder / "done.tif", labels)
    result = run(
        *("segment", folder / "a.tif", "--labels", folder / "done.tif"),
        *("--out", folder / "r.tif", "--complete", "--classes", "er, golgi"),
        *("--probabilities", folder / "p.zarr"),
    )
    assert result.exit_code == 0, result.output
    back = np.asarray(open_volume(folder / "r.tif").data)
    assert (back == np.array([0, 5, 8])[truth]).mean() > 0.99
    probabilities = open_volume(folder / "p.zarr")
    assert probabilities.axes == "ZYXC"
    stored = np.asarray(probabilities.data)
    np.testing.assert_array_equal(np.array([0, 5, 8])[stored.argmax(-1)], back)
    channels = zarr.open_group(folder / "p.zarr", mode="r").attrs["ome"]["omero"]["channels"]
    assert [c["label"] for c in channels] == ["background", "er", "golgi"]
    assert "Value 0:  background" in result.stdout


def test_labels_of_another_image_are_used_where_they_were_painted(files, brightness):
    folder, truth = files
    other, _ = brain(seed=5, shape=(2, 60, 70))
    write(folder / "b.tif", other)
    result = run(
        *("segment", folder / "b.tif", "--labels", folder / "a_labels.tif"),
        *("--support-image", folder / "a.tif", "--out", folder / "r.tif"),
    )
    assert result.exit_code == 0, result.output
    back = np.asarray(open_volume(folder / "r.tif").data)
    assert (back == np.array([1, 4, 9])[truth[:2]]).mean() > 0.99


def test_labels_of_several_images_are_taken_together(files, brightness):
    folder, truth = files
    for name, shown in (("b", (0, 0, 9)), ("a1", (1, 4, 0))):
        painted = strokes(truth, (1, 4, 9))
        painted[~np.isin(painted, shown)] = 0
        write(folder / f"{name}_labels.tif", painted)
    write(folder / "b.tif", brain(seed=3)[0])
    result = run(
        *("segment", folder / "a.tif", "--out", folder / "r.tif"),
        *("--labels", folder / "a1_labels.tif", "--labels", folder / "b_labels.tif"),
        *("--support-image", folder / "b.tif"),
    )
    assert result.exit_code == 0, result.output
    back = np.asarray(open_volume(folder / "r.tif").data)
    assert (back == np.array([1, 4, 9])[truth]).mean() > 0.99


def test_a_mask_of_true_and_false_and_a_missing_axis_are_understood(tmp_path, brightness):
    image, truth = brain(shape=(1, 60, 70))
    np.save(tmp_path / "a.npy", image)
    np.save(tmp_path / "mask.npy", truth[0] == 2)
    result = run(
        *("segment", tmp_path / "a.npy", "--labels", tmp_path / "mask.npy", "--complete"),
        *("--out", tmp_path / "r.tif"),
    )
    assert result.exit_code == 0, result.output
    back = open_volume(tmp_path / "r.tif")
    assert set(np.unique(np.asarray(back.data))) == {0, 1}


def test_slices_that_the_label_file_calls_channels_are_understood(files, brightness):
    folder, truth = files
    write(folder / "odd.tif", strokes(truth, (1, 4, 9)), axes="CYX")
    result = run(
        "segment", folder / "a.tif", "--labels", folder / "odd.tif", "--out", folder / "r.tif"
    )
    assert result.exit_code == 0, result.output
    back = np.asarray(open_volume(folder / "r.tif").data)
    assert (back == np.array([1, 4, 9])[truth]).mean() > 0.99


def test_every_parameter_of_every_method_is_an_option(files, brightness):
    folder, _ = files
    shown = run("segment", "--help").stdout
    for method in (config.PixelHeadConfig, config.InContextConfig):
        for item in config.parameters(method):
            assert f"--{item.name.replace('_', '-')}" in shown
    result = run(
        *("segment", folder / "a.tif", "--labels", folder / "a_labels.tif"),
        *("--out", folder / "r.tif", "--method", "in-context", "--weights", "mine"),
        *("--downscale", 4, "--seed", 3, "--device", "cpu"),
    )
    assert result.exit_code == 0, result.output
    assert brightness == [
        {"method": "in-context", "weights": "mine", "device": "cpu", "downscale": 4, "seed": 3}
    ]
    assert "in-context, seed = 3, downscale = 4" in result.stdout


def refused(folder, *options, out="r.tif", labels="a_labels.tif"):
    """Run a command that must fail with a message, and return the message."""
    before = names(folder)
    result = run(
        "segment", folder / "a.tif", "--labels", folder / labels, "--out", folder / out, *options
    )
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert names(folder) == before
    return " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--method", "magic"), "no method 'magic'. Expected one of pixel-head"),
        (("--method", "pixel-head", "--downscale", "2"), "--downscale is not a parameter"),
        (("--classes", "a,b"), "2 name(s), but the labels have the values [1, 4, 9]"),
        (("--classes", "a,a,b"), "Expected different, non-empty names"),
        (("--support-image", "a.tif", "--support-image", "a.tif"), "1 --labels for 2"),
        (("--support-image", "nowhere.tif"), "There is no file 'nowhere.tif'"),
    ],
)
def test_what_cannot_work_is_refused_in_plain_words(
    files, brightness, options, message, monkeypatch
):
    monkeypatch.chdir(files[0])
    assert message in refused(files[0], *options)


def test_a_file_of_weights_is_a_method(files):
    folder, truth = files
    net = RegConNet(embedding=8, regions=4, width=4, levels=2)
    card = {"embedding": 8, "regions": 4, "width": 4, "levels": 2}
    save_network(net, folder / "net.safetensors", card)
    result = run(
        "segment", folder / "a.tif", "--labels", folder / "a_labels.tif", "--out", folder / "r.tif",
        "--method", folder / "net.safetensors",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    found = tifffile.imread(folder / "r.tif")
    # The network is not trained, so it does not help; a third would be right by chance.
    assert (found == np.array([1, 4, 9], np.uint8)[truth]).mean() > 0.6


def test_parameters_out_of_range_are_refused(files, brightness):
    result = run(
        *("segment", files[0] / "a.tif", "--labels", files[0] / "a_labels.tif"),
        *("--out", files[0] / "r.tif", "--sigma-max-px", "99"),
    )
    assert result.exit_code == 2
    assert "Expected a value from 2.0 to 32.0" in result.stderr


def test_unusable_names_for_the_result_are_refused(files, brightness):
    folder = files[0]
    assert "format of" in refused(folder, out="r.jpg")
    assert "does not exist" in refused(folder, out="missing/r.tif")
    assert "exists already" in refused(folder, out="a.tif")
    assert "one of the inputs" in refused(folder, "--overwrite", out="a_labels.tif")
    assert "one of the inputs" in refused(folder, "--overwrite", out="a.tif")


def test_unusable_labels_are_refused(files, brightness):
    folder, truth = files
    write(folder / "none.tif", np.zeros_like(truth))
    assert "Nothing is painted in 'none" in refused(folder, labels="none.tif")
    one = np.where(truth == 1, 3, 0).astype(np.uint8)
    write(folder / "one.tif", one)
    message = refused(folder, labels="one.tif")
    assert "Only one class is painted (value 3)" in message
    assert "--complete" in message
    many = np.arange(truth.size, dtype=np.uint16).reshape(truth.shape) % 200
    write(folder / "many.tif", many)
    assert "number single objects" in refused(folder, labels="many.tif")
    write(folder / "small.tif", truth[:, :50])
    assert "Expected one label per pixel" in refused(folder, labels="small.tif")
    write(folder / "float.tif", truth.astype(np.float32))
    assert "whole numbers" in refused(folder, labels="float.tif")
    np.save(folder / "negative.npy", truth.astype(np.int16) - 1)
    assert "negative value -1" in refused(folder, labels="negative.npy")


def test_a_missing_device_is_told_with_what_to_do(files, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "Choose 'auto' or 'cpu'" in refused(files[0], "--device", "cuda")


def test_debug_shows_where_an_error_came_from(files):
    result = run("--debug", "segment", "nope.tif", "--labels", "x.tif", "--out", "r.tif")
    assert type(result.exception).__name__ == "InputError"


def test_an_existing_result_is_replaced_on_demand(files, brightness):
    folder = files[0]
    command = ("segment", folder / "a.tif", "--labels", folder / "a_labels.tif")
    for more in ((), ("--overwrite",)):
        assert run(*command, "--out", folder / "r.tif", *more).exit_code == 0
    assert names(folder) == ["a.tif", "a_labels.tif", "r.tif"]


def test_help_and_version_do_not_load_torch():
    code = (
        "import sys\n"
        "from napari_regcon._cli.app import app\n"
        "for args in (['--help'], ['segment', '--help'], ['--version']):\n"
        "    app(args, standalone_mode=False)\n"
        "heavy = {'torch', 'dask', 'skimage', 'sklearn', 'napari'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "segment" in done.stdout
    assert "napari-regcon 0" in done.stdout


SLOW = """
import sys, time
sys.path.insert(0, {tests!r})
from conftest import BrightnessPredictor, BrightnessSegmenter
from napari_regcon._cli.app import main
from napari_regcon.engine import registry

def predict_tile(self, view, tile, quick=BrightnessPredictor.predict_tile):
    time.sleep(0.2)
    return quick(self, view, tile)

BrightnessPredictor.predict_tile = predict_tile
registry.load_segmenter = lambda *args, **kwargs: BrightnessSegmenter()
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize(
    ("number", "status", "out"), [(signal.SIGINT, 130, "r.tif"), (signal.SIGTERM, 143, "r.zarr")]
)
def test_a_stopped_command_leaves_nothing(files, number, status, out, request):
    folder = files[0]
    before = names(folder)
    code = SLOW.format(tests=str(request.path.parent))
    command = [
        "segment",
        folder / "a.tif",
        "--labels",
        folder / "a_labels.tif",
        "--out",
        folder / out,
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, command)], stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 60
        while names(folder) == before and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert names(folder) != before, process.stderr.read()
        process.send_signal(number)
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == status, told
    assert "Traceback" not in told
    assert names(folder) == before
