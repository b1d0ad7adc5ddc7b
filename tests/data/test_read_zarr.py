"""OME-Zarr and zarr: same pixels, axes and pixel size as were written."""

import dask.array as da
import numpy as np
import pytest
import zarr
from image_files import pixels, same

from napari_regcon.data.volumes import open_volume
from napari_regcon.errors import InputError


def ome_zarr(path, version, raw, axes, datasets, whole=()):
    """Write an OME-Zarr of some levels; each is (scale, translation) or nothing."""
    group = zarr.open_group(str(path), mode="w", zarr_format=2 if version == "0.4" else 3)
    levels = []
    for i, transforms in enumerate(datasets):
        step = (slice(None, None, 2**i),)
        level = raw[(..., *step * 2)]
        chunks = tuple(min(16, n) for n in level.shape)
        group.create_array(str(i), shape=level.shape, dtype=level.dtype, chunks=chunks)[:] = level
        levels.append({"path": str(i), "coordinateTransformations": transforms})
    image = {"axes": axes, "datasets": levels, "version": version}
    if whole:
        image["coordinateTransformations"] = whole
    ome = {"multiscales": [image], "version": version}
    group.attrs.update({"ome": ome} if version == "0.5" else ome)
    return group


def axis(name, unit=None):
    kind = {"t": "time", "c": "channel"}.get(name, "space")
    return {"name": name, "type": kind} | ({"unit": unit} if unit else {})


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr(tmp_path, version):
    raw = pixels((2, 2, 3, 40, 50), "u2")
    axes = [axis("t", "second"), axis("c"), *(axis(a, "nanometer") for a in "zyx")]
    fine = [
        {"type": "scale", "scale": [1, 1, 30, 4, 5]},
        {"type": "translation", "translation": [0, 0, 60, 8, 0]},
    ]
    coarse = [{"type": "scale", "scale": [1, 1, 30, 8, 10]}]
    whole = [{"type": "scale", "scale": [0.5, 1, 1, 1, 1]}]
    ome_zarr(tmp_path / "a.zarr", version, raw, axes, [fine, coarse], whole)
    volume = open_volume(tmp_path / "a.zarr")
    same(volume, np.moveaxis(raw, 1, -1), "TZYXC")
    assert volume.scale == (0.5, 30, 4, 5, 1)
    assert volume.units == ("second", "nanometer", "nanometer", "nanometer", "pixel")
    assert volume.translate == (0, 60, 8, 0, 0)
    assert volume.name == "a"
    assert isinstance(volume.data, da.Array)


def test_ome_zarr_below_a_folder_that_only_holds_it(tmp_path):
    raw = pixels((3, 20, 20))
    zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=2)
    ome_zarr(tmp_path / "a.zarr" / "0", "0.4", raw, [axis(a) for a in "zyx"], [[]])
    same(open_volume(tmp_path / "a.zarr"), raw, "ZYX")


def test_old_ome_zarr_with_fixed_axes(tmp_path):
    raw = pixels((1, 2, 3, 20, 20))
    ome_zarr(tmp_path / "a.zarr", "0.4", raw, [], [[]])
    same(open_volume(tmp_path / "a.zarr"), np.moveaxis(raw[0], 0, -1), "ZYXC")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_plain_zarr(tmp_path, zarr_format):
    raw = pixels((10, 50, 60), "f4")
    array = zarr.create_array(
        str(tmp_path / "a.zarr"),
        shape=raw.shape,
        dtype="f4",
        chunks=(4, 16, 16),
        zarr_format=zarr_format,
    )
    array[:] = raw
    volume = open_volume(tmp_path / "a.zarr")
    same(volume, raw, "ZYX")
    np.testing.assert_array_equal(np.asarray(volume.data[3:5, 10:40, 33]), raw[3:5, 10:40, 33])
    mark = ".zarray" if zarr_format == 2 else "zarr.json"
    same(open_volume(tmp_path / "a.zarr" / mark), raw, "ZYX")


def test_plain_zarr_with_names_of_axes(tmp_path):
    raw = pixels((3, 20, 2, 30))
    zarr.create_array(str(tmp_path / "a.zarr"), data=raw, dimension_names=["t", "y", "c", "x"])
    same(open_volume(tmp_path / "a.zarr"), raw.transpose(0, 1, 3, 2), "TYXC")


def test_an_array_of_many_small_chunks_is_read_in_few_steps(tmp_path):
    zarr.create_array(
        str(tmp_path / "a.zarr"), shape=(512, 4096, 4096), chunks=(64, 64, 64), dtype="u1"
    )
    volume = open_volume(tmp_path / "a.zarr")
    assert volume.data[5].npartitions == 64
    assert not np.asarray(volume.data[5, :300, :300]).any()


def test_a_group_of_several_arrays_names_them(tmp_path):
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
    for name in ("raw", "truth"):
        group.create_array(name, data=pixels((4, 4)))
    with pytest.raises(InputError, match=r"2 images or arrays.*raw, truth"):
        open_volume(tmp_path / "a.zarr")
    same(open_volume(tmp_path / "a.zarr" / "raw"), pixels((4, 4)), "YX")


def test_plates_are_refused(tmp_path):
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=2)
    group.attrs["plate"] = {}
    with pytest.raises(InputError, match="plate of many images"):
        open_volume(tmp_path / "a.zarr")


def test_damaged_zarr_metadata_is_refused(tmp_path):
    ome_zarr(tmp_path / "a.zarr", "0.5", pixels((9, 9)), [axis("y"), axis("x")], [[]])
    meta = tmp_path / "a.zarr" / "zarr.json"
    text = meta.read_text()
    for damaged in (text[:-20], text.replace('"path": "0"', '"path": "../../x"'), "[]"):
        meta.write_text(damaged)
        with pytest.raises(InputError, match="cannot be read"):
            open_volume(tmp_path / "a.zarr")


def test_a_group_with_a_single_array_is_that_array(tmp_path):
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
    group.create_array("raw", data=pixels((5, 9, 9)))
    same(open_volume(tmp_path / "a.zarr"), pixels((5, 9, 9)), "ZYX")


def test_units_that_are_not_known_are_left_out(tmp_path):
    axes = [axis("y", "parsec"), axis("x", "nanometer")]
    scale = [{"type": "scale", "scale": [2, 3]}]
    ome_zarr(tmp_path / "a.zarr", "0.4", pixels((9, 9)), axes, [scale])
    volume = open_volume(tmp_path / "a.zarr")
    assert volume.units == ("pixel", "nanometer")
    assert volume.scale == (1, 3)
