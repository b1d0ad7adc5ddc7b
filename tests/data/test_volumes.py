"""Axes, what is written by us, and everything that is refused."""

import uuid

import mrcfile
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_files import pixels, same
from PIL import Image

import napari_regcon as rc
from napari_regcon.data.export import save_labels
from napari_regcon.data.volumes import FORMATS, open_volume
from napari_regcon.errors import InputError
from napari_regcon.types import Volume


def test_the_user_may_say_what_the_axes_are(tmp_path):
    raw = pixels((4, 5, 20, 30))
    np.save(tmp_path / "a.npy", raw)
    same(open_volume(tmp_path / "a.npy", axes="CZYX"), np.moveaxis(raw, 0, -1), "ZYXC")
    same(open_volume(tmp_path / "a.npy", axes="zcxy"), raw.transpose(0, 3, 2, 1), "ZYXC")
    np.save(tmp_path / "b.npy", raw[:, :1])
    same(open_volume(tmp_path / "b.npy", axes="ZYX"), raw[:, 0], "ZYX")
    same(open_volume(tmp_path / "b.npy", axes="ZCYX"), raw[:, 0], "ZYX")


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_any_order_of_axes_comes_out_in_the_same_order(tmp_path, data):
    axes = "".join(data.draw(st.permutations("TZYXC")))
    shape = data.draw(st.tuples(*[st.integers(1, 4)] * 5))
    raw = pixels(shape)
    path = tmp_path / f"{axes}{shape}.npy"  # a new one, as the last may still be mapped
    np.save(path, raw)
    volume = open_volume(path, axes=axes)
    kept = [a for a in "TZYXC" if a in "YX" or shape[axes.index(a)] > 1]
    expected = raw.transpose([axes.index(a) for a in "TZYXC"])
    same(volume, expected.reshape([shape[axes.index(a)] for a in kept]), "".join(kept))


@pytest.mark.parametrize("axes", ["ZY", "ZYXX", "QYX", "", "Z Y X", "ZYXCS"])
def test_axes_that_make_no_sense_are_refused(tmp_path, axes):
    with pytest.raises(InputError, match=r"not usable.*for example 'ZYX'"):
        open_volume(tmp_path / "does not matter.npy", axes=axes)


def test_axes_that_do_not_fit_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", pixels((4, 5, 6)))
    with pytest.raises(InputError, match=r"'TZYX' do not fit.*\(4, 5, 6\).*3 letters"):
        open_volume(tmp_path / "a.npy", axes="TZYX")


def test_axes_that_cannot_be_guessed_are_asked_for(tmp_path):
    np.save(tmp_path / "a.npy", pixels((2, 2, 2, 9, 9)))
    with pytest.raises(InputError, match=r"not clear.*axes='TZCYX'"):
        open_volume(tmp_path / "a.npy")
    assert open_volume(tmp_path / "a.npy", axes="TZCYX").axes == "TZYXC"


@pytest.mark.parametrize("ending", [".zarr", ".tif", ".ome.tif"])
@pytest.mark.parametrize("axes", ["YX", "ZYX", "TZYX", "TYX"])
@pytest.mark.parametrize("dtype", ["u1", "u4"])
def test_what_is_exported_is_read_again(tmp_path, ending, axes, dtype):
    shape = tuple({"T": 2, "Z": 3, "Y": 20, "X": 30}[a] for a in axes)
    labels = pixels(shape, dtype)
    labels.flat[0] = 2**20 if dtype == "u4" else 3
    units = tuple("second" if a == "T" else "nanometer" for a in axes)
    image = Volume(np.zeros(shape, "u1"), axes, (1.5, 50.0, 4.25, 8.1)[-len(axes) :], units)
    if axes == "TYX":
        image = Volume(image.data, axes, (1.5, 4.25, 8.1), units)
    path = save_labels(tmp_path / f"a{ending}", labels, image)
    volume = open_volume(path)
    same(volume, labels, axes)
    assert volume.scale == pytest.approx(image.scale, rel=1e-8)
    assert volume.units == image.units


def test_the_position_survives_in_zarr(tmp_path):
    image = Volume(pixels((3, 9, 9)), "ZYX", (2, 3, 4), ("micrometer",) * 3, (10, 20, 30))
    path = save_labels(tmp_path / "a.zarr", image.data, image)
    assert open_volume(path).translate == (10, 20, 30)


def test_a_missing_file_suggests_the_one_that_was_meant(tmp_path):
    np.save(tmp_path / "stack_a.npy", pixels((4, 4)))
    with pytest.raises(InputError, match=r"no file.*Did you mean 'stack_a\.npy'"):
        open_volume(tmp_path / "stack-a.npy")
    with pytest.raises(InputError, match="Check the name and the folder"):
        open_volume(tmp_path / "nowhere" / "b.npy")


@pytest.mark.parametrize("name", ["a.h5", "a.docx", "a", "a.zarr", "a.npz"])
def test_unknown_formats_name_those_that_are_known(tmp_path, name):
    (tmp_path / name).write_bytes(b"12345")
    with pytest.raises(InputError, match=r"not known.*\.tif.*\.npy.*\.mrc.*TIFF or OME-Zarr"):
        open_volume(tmp_path / name)


@pytest.mark.parametrize("ending", FORMATS)
def test_empty_files_and_nonsense_are_refused(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    if ending == ".zarr":
        path.mkdir()
        with pytest.raises(InputError, match="not a zarr folder"):
            open_volume(path)
        return
    path.write_bytes(b"")
    with pytest.raises(InputError, match="empty file"):
        open_volume(path)
    path.write_bytes(b"This is a letter to my grandmother. " * 100)
    with pytest.raises(InputError, match=r"cannot be read|cut off"):
        open_volume(path)


@pytest.mark.parametrize("dtype", ["c8", "c16"])
@pytest.mark.parametrize("ending", [".npy", ".tif", ".zarr", ".mrc"])
def test_complex_numbers_are_refused(tmp_path, dtype, ending):
    raw, path = np.ones((8, 8), dtype), tmp_path / f"a{ending}"
    if ending == ".npy":
        np.save(path, raw)
    elif ending == ".tif":
        tifffile.imwrite(path, raw)
    elif ending == ".zarr":
        zarr.create_array(str(path), data=raw)
    else:
        with mrcfile.new(path) as mrc:
            mrc.set_data(raw.astype("c8"))
    with pytest.raises(InputError, match=r"complex numbers.*Save the magnitude"):
        open_volume(path)


@pytest.mark.parametrize(
    "raw",
    [
        np.array([[{}, {}]], object),
        np.zeros((4, 4), [("a", "u1"), ("b", "f4")]),
        np.full((4, 4), "text"),
        np.zeros((4, 4), "M8[s]"),
    ],
    ids=["objects", "records", "text", "dates"],
)
def test_what_is_not_a_number_is_refused(tmp_path, raw):
    np.save(tmp_path / "a.npy", raw, allow_pickle=True)
    with pytest.raises(InputError, match=r"Expected (an array of|whole) numbers"):
        open_volume(tmp_path / "a.npy")


@pytest.mark.parametrize("shape", [(0, 5), (3, 0, 4)])
def test_empty_images_are_refused(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.zeros(shape))
    with pytest.raises(InputError, match="is empty"):
        open_volume(tmp_path / "a.npy")
    zarr.create_array(str(tmp_path / "a.zarr"), shape=shape, chunks=(1,) * len(shape), dtype="u1")
    with pytest.raises(InputError, match="is empty"):
        open_volume(tmp_path / "a.zarr")


def test_a_single_row_of_numbers_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(9))
    with pytest.raises(InputError, match="at least rows and columns"):
        open_volume(tmp_path / "a.npy")


def written(path):
    """Write an image of this format."""
    raw = pixels((6, 64, 64), "u2")
    match path.suffix:
        case ".npy":
            np.save(path, raw)
        case ".mrc":
            with mrcfile.new(path, overwrite=True) as mrc:
                mrc.set_data(raw)
        case ".png" | ".bmp" | ".jpg":
            Image.fromarray(raw[0].astype("u1")).save(path)
        case _:
            compression = "zlib" if "zlib" in path.name else None
            tifffile.imwrite(path, raw, photometric="minisblack", compression=compression)
    return path


NAMES = ["a.npy", "a.mrc", "a.tif", "a-zlib.tif"]


@pytest.mark.parametrize("name", NAMES)
def test_files_that_are_cut_off_are_refused_before_reading(tmp_path, name):
    path = written(tmp_path / name)
    content = path.read_bytes()
    path.write_bytes(content[:-1000])
    with pytest.raises(InputError, match=r"is cut off: it has [\d,]+ bytes"):
        open_volume(path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp"])
def test_pictures_that_are_cut_off_are_refused(tmp_path, name):
    path = written(tmp_path / name)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(InputError, match="cannot be read"):
        open_volume(path)


def test_a_picture_that_claims_more_than_it_can_hold_is_refused(tmp_path):
    path = written(tmp_path / "a.bmp")
    content = bytearray(path.read_bytes())
    content[18:26] = (12_000).to_bytes(4, "little") * 2
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"claims to have 12000 x 12000 pixels"):
        open_volume(path)
    content[18:26] = (200_000).to_bytes(4, "little") * 2
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"too large.*tiled TIFF"):
        open_volume(path)


def test_a_tiff_that_claims_more_than_it_can_hold_is_refused(tmp_path):
    path = written(tmp_path / "a-zlib.tif")
    for side, message in ((30_000, "claims to have"), (200_000, "claims to have|GiB of memory")):
        with tifffile.TiffFile(path, mode="r+") as tif:
            for page in tif.pages:
                for tag in ("ImageWidth", "ImageLength", "RowsPerStrip"):
                    page.tags[tag].overwrite(side)
            tif.pages[0].tags["ImageDescription"].overwrite("")
        with pytest.raises(InputError, match=message):
            open_volume(path)


@pytest.mark.parametrize("shape", [(10**6,) * 3, (10**9, 10**9), (2**31, 2**31, 2**31)])
def test_sizes_that_no_disk_holds_are_refused(tmp_path, shape):
    zarr.create_array(str(tmp_path / "a.zarr"), shape=shape, chunks=(64,) * len(shape), dtype="u2")
    with pytest.raises(InputError, match="more than any disk holds"):
        open_volume(tmp_path / "a.zarr")
    header = {"descr": "<u2", "fortran_order": False, "shape": shape}
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(1000))
    with pytest.raises(InputError, match="is cut off"):
        open_volume(tmp_path / "a.npy")


def test_chunks_that_would_fill_the_memory_are_refused(tmp_path):
    zarr.create_array(
        str(tmp_path / "a.zarr"), shape=(10**5, 10**5), chunks=(10**5, 10**5), dtype="u2"
    )
    with pytest.raises(InputError, match=r"takes 19 GiB of memory"):
        open_volume(tmp_path / "a.zarr")


def test_several_images_in_a_tiff_are_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif", ome=True) as tif:
        tif.write(pixels((9, 9)))
        tif.write(pixels((9, 9)))
    with pytest.raises(InputError, match="2 separate images"):
        open_volume(tmp_path / "a.tif")


def test_the_largest_image_of_a_tiff_is_read(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(pixels((5, 5)), metadata=None)
        tif.write(pixels((30, 40), seed=1), metadata=None)
    same(open_volume(tmp_path / "a.tif"), pixels((30, 40), seed=1), "YX")


def test_a_compression_that_cannot_be_decoded_is_refused_before_work_starts(tmp_path):
    path = written(tmp_path / "a-zlib.tif")
    with tifffile.TiffFile(path, mode="r+") as tif:
        for page in tif.pages:
            page.tags["Compression"].overwrite(34676)  # SGILOG, which nobody decodes
    with pytest.raises(InputError, match=r"SGILOG.*imagecodecs.*without compression"):
        open_volume(path)


def test_files_that_may_not_be_read_are_explained(tmp_path, monkeypatch):
    path = written(tmp_path / "a.npy")

    def refused(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refused)
    with pytest.raises(InputError, match=r"may not be read.*permission"):
        open_volume(path)


@pytest.mark.parametrize("name", [*NAMES, "a.png", "a.bmp"])
@given(data=st.data())
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None
)
def test_damaged_headers_give_a_volume_or_an_explanation(tmp_path, name, data):
    content = bytearray(written(tmp_path / name).read_bytes())
    path = tmp_path / f"{uuid.uuid4()}{name[1:]}"  # a new one, as the last may still be mapped
    for _ in range(data.draw(st.integers(1, 4))):
        # Headers are at the start, or at the end for the pages of a TIFF.
        place = data.draw(st.integers(0, 300)) * data.draw(st.sampled_from([1, 1, -1]))
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        volume = open_volume(path)
    except InputError:
        return
    assert volume.data.dtype.kind in "buif"
    assert np.prod(volume.data.shape) < 10**9


def test_it_is_the_public_function(tmp_path):
    np.save(tmp_path / "a.npy", pixels((4, 4)))
    volume = rc.open_volume(str(tmp_path / "a.npy"), name="my cells")
    assert isinstance(volume, rc.Volume)
    assert volume.name == "my cells"
