"""NPY and MRC: same pixels, axes and pixel size as were written."""

import mrcfile
import numpy as np
import pytest
from image_files import pixels, same

from napari_regcon.data.volumes import open_volume
from napari_regcon.errors import InputError


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((20, 30), "YX"),
        ((5, 20, 30), "ZYX"),
        ((20, 30, 3), "YXC"),
        ((20, 30, 4), "YXC"),
        ((3, 3, 3), "ZYX"),
        ((2, 5, 20, 30), "TZYX"),
        ((5, 20, 30, 3), "ZYXC"),
        ((1, 5, 20, 30), "ZYX"),
    ],
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_is_mapped_and_its_axes_guessed(tmp_path, shape, axes, order):
    raw = pixels(shape, "i2")
    np.save(tmp_path / "a.npy", np.asarray(raw, order=order))
    volume = open_volume(tmp_path / "a.npy")
    same(volume, raw.reshape([n for n in shape if n > 1]), axes)
    assert isinstance(volume.data, np.memmap)


@pytest.mark.parametrize("dtype", ["i1", "i2", "u2", "f4", "f2"])
def test_mrc(tmp_path, dtype):
    raw = pixels((4, 20, 30), dtype)
    with mrcfile.new(tmp_path / "a.mrc") as mrc:
        mrc.set_data(raw)
        mrc.voxel_size = (12.5, 12.5, 500)
    volume = open_volume(tmp_path / "a.mrc")
    same(volume, raw, "ZYX")
    assert isinstance(volume.data, np.memmap)
    assert volume.scale == pytest.approx((50, 1.25, 1.25))
    assert volume.units == ("nanometer",) * 3


def test_mrc_with_an_extended_header_and_no_voxel_size(tmp_path):
    raw = pixels((20, 30), "f4")
    with mrcfile.new(tmp_path / "a.rec") as mrc:
        mrc.set_data(raw)
        mrc.set_extended_header(np.zeros(100, "V8"))
        mrc.header.cella = (0, 0, 0)
    volume = open_volume(tmp_path / "a.rec")
    same(volume, raw, "YX")
    assert volume.units == ("pixel", "pixel")


@pytest.mark.parametrize(
    ("stamp", "flags", "dtype"), [("IMOD", 0, "u1"), ("IMOD", 1, "i1"), ("", 0, "i1")]
)
def test_mrc_bytes_of_imod_are_unsigned_unless_it_says_so(tmp_path, stamp, flags, dtype):
    raw = np.arange(-128, 128, dtype="i1").reshape(16, 16)
    with mrcfile.new(tmp_path / "a.mrc") as mrc:
        mrc.set_data(raw)
    with (tmp_path / "a.mrc").open("r+b") as file:
        file.seek(152)
        # The stamp is the number whose bytes read DOMI in a little-endian file.
        file.write(stamp[::-1].encode() + flags.to_bytes(4, "little") if stamp else bytes(8))
    same(open_volume(tmp_path / "a.mrc"), raw.view(dtype), "YX")


def test_mrc_with_a_header_that_bends_the_standard_gives_no_warning(tmp_path):
    raw = pixels((4, 20, 30), "f4")
    with mrcfile.new(tmp_path / "a.mrc") as mrc:
        mrc.set_data(raw)
    with (tmp_path / "a.mrc").open("r+b") as file:
        file.seek(208)
        file.write(b"XXXX")  # the word MAP
    same(open_volume(tmp_path / "a.mrc"), raw, "ZYX")


def test_npy_with_a_long_header(tmp_path):
    raw = pixels((20, 30))
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array(file, raw, version=(2, 0))
    same(open_volume(tmp_path / "a.npy"), raw, "YX")


def test_mrc_in_big_endian_order(tmp_path):
    raw = pixels((4, 20, 30), "i2")
    with mrcfile.new(tmp_path / "a.mrc") as mrc:
        mrc.set_data(raw.astype(">i2"))
        mrc.voxel_size = 20
    volume = open_volume(tmp_path / "a.mrc")
    same(volume, raw, "ZYX")
    assert volume.scale == (2, 2, 2)
    content = bytearray((tmp_path / "a.mrc").read_bytes())
    content[212:216] = bytes(4)  # as programs wrote before there was a stamp of the order
    (tmp_path / "b.mrc").write_bytes(content)
    same(open_volume(tmp_path / "b.mrc"), raw, "ZYX")


def test_mrc_of_several_volumes_is_a_time_series(tmp_path):
    raw = pixels((3, 4, 20, 30), "f4")
    with mrcfile.new(tmp_path / "a.mrc") as mrc:
        mrc.set_data(raw)
    same(open_volume(tmp_path / "a.mrc"), raw, "TZYX")


def test_mrc_that_ends_in_its_header_is_refused(tmp_path):
    (tmp_path / "a.mrc").write_bytes(bytes(500))
    with pytest.raises(InputError, match="ends within its header"):
        open_volume(tmp_path / "a.mrc")
