"""Pictures, and folders of slices."""

import dask.array as da
import numpy as np
import pytest
import tifffile
from image_files import pixels, same
from PIL import Image

from napari_regcon.data.volumes import open_volume
from napari_regcon.errors import InputError


@pytest.mark.parametrize(
    ("mode", "ending", "shape", "dtype"),
    [
        ("L", ".png", (20, 30), "u1"),
        ("L", ".bmp", (20, 30), "u1"),
        ("1", ".png", (20, 30), bool),
        ("I;16", ".png", (20, 30), "u2"),
        ("RGB", ".png", (20, 30, 3), "u1"),
        ("RGB", ".bmp", (20, 30, 3), "u1"),
        ("RGBA", ".png", (20, 30, 4), "u1"),
        ("LA", ".png", (20, 30, 2), "u1"),
    ],
)
def test_pictures(tmp_path, mode, ending, shape, dtype):
    raw = pixels(shape, dtype)
    picture = Image.fromarray(raw)
    assert picture.mode == mode
    picture.save(tmp_path / f"a{ending}")
    volume = open_volume(tmp_path / f"a{ending}")
    expected = {"RGBA": raw[..., :3], "LA": raw[..., 0]} if raw.ndim == 3 else {}
    same(volume, expected.get(mode, raw), "YXC" if mode.startswith("RGB") else "YX")
    assert volume.data.dtype == dtype
    assert isinstance(volume.data, np.ndarray)


def test_palettes_keep_their_indices(tmp_path):
    raw = pixels((20, 30)) % 4
    picture = Image.fromarray(raw, mode=None).convert("P")
    picture.putdata(raw.ravel().tolist())
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    picture.save(tmp_path / "a.png")
    same(open_volume(tmp_path / "a.png"), raw, "YX")


@pytest.mark.parametrize(("mode", "axes"), [("L", "YX"), ("RGB", "YXC"), ("CMYK", "YXC")])
def test_jpeg(tmp_path, mode, axes):
    Image.new(mode, (40, 24), 100 if mode == "L" else (100, 100, 100, 0)[: len(mode)]).save(
        tmp_path / "a.jpg"
    )
    volume = open_volume(tmp_path / "a.jpg")
    assert volume.axes == axes
    assert volume.data.shape[:2] == (24, 40)
    assert np.ptp(volume.data) <= 2


@pytest.mark.parametrize(
    ("ending", "raw"),
    [
        (".tif", pixels((12, 20, 30), "u2")),
        (".png", pixels((12, 20, 30))),
        (".png", pixels((12, 20, 30, 3))),
        (".bmp", pixels((12, 20, 30, 3))),
    ],
)
def test_a_folder_of_slices_in_the_order_of_their_numbers(tmp_path, ending, raw):
    folder = tmp_path / "slices"
    folder.mkdir()
    for i, plane in enumerate(raw):
        name = folder / f"slice{i}{ending}"
        tifffile.imwrite(name, plane) if ending == ".tif" else Image.fromarray(plane).save(name)
    (folder / "notes.txt").write_text("not an image")
    (folder / ".hidden.tif").write_text("not an image")
    axes = "ZYX" if raw.ndim == 3 else "ZYXC"
    volume = open_volume(folder)
    same(volume, raw, axes)
    assert isinstance(volume.data, da.Array)
    assert volume.name == "slices"
    np.testing.assert_array_equal(np.asarray(volume.data[10, 3:5]), raw[10, 3:5])
    part = open_volume(folder / f"slice?{ending}", axes="T" + axes[1:])
    same(part, raw[:10], "T" + axes[1:])
    assert open_volume(part.source).data.shape == raw[:10].shape


def test_slices_keep_the_pixel_size_of_the_first(tmp_path):
    for i in range(3):
        tifffile.imwrite(
            tmp_path / f"{i}.tif",
            pixels((9, 9)),
            imagej=True,
            resolution=(2, 2),
            metadata={"unit": "nm"},
        )
    volume = open_volume(tmp_path)
    assert volume.scale == (1, 0.5, 0.5)
    assert volume.units == ("pixel", "nanometer", "nanometer")


def test_a_slice_of_another_size_is_named_before_work_starts(tmp_path):
    for i in range(4):
        tifffile.imwrite(tmp_path / f"{i}.tif", pixels((9, 9 + (i == 2))))
    with pytest.raises(InputError, match=r"2\.tif.*\(9, 10\).*0\.tif.*\(9, 9\)"):
        open_volume(tmp_path)


def test_a_damaged_slice_is_named(tmp_path):
    for i in range(4):
        Image.fromarray(pixels((50, 50))).save(tmp_path / f"{i}.png")
    (tmp_path / "3.png").write_bytes((tmp_path / "3.png").read_bytes()[:1000])
    volume = open_volume(tmp_path)
    np.testing.assert_array_equal(np.asarray(volume.data[2]), pixels((50, 50)))
    with pytest.raises(InputError, match=r"3\.png.* cannot be read"):
        np.asarray(volume.data[3])


def test_folders_of_different_kinds_or_of_nothing_are_refused(tmp_path):
    with pytest.raises(InputError, match="There are no images"):
        open_volume(tmp_path)
    Image.fromarray(pixels((9, 9))).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "b.tif", pixels((9, 9)))
    with pytest.raises(InputError, match=r"different kinds \(\.png, \.tif\).*pattern"):
        open_volume(tmp_path)
    with pytest.raises(InputError, match="There are no images"):
        open_volume(tmp_path / "*.bmp")
