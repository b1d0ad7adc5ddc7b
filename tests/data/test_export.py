import errno
import sys

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_regcon.data import export, export_tiff
from napari_regcon.data.export import Output, require_space, save_labels
from napari_regcon.data.export_files import ResultSpec
from napari_regcon.data.volumes import open_volume
from napari_regcon.errors import InputError
from napari_regcon.types import Box, Volume

CLASSES = ((0, "background"), (3, "mitochondrion"), (7, "membrane"))
SIZES = {"T": 2, "Z": 5, "Y": 12, "X": 17}
SCALES = {"T": 2.0, "Z": 40.0, "Y": 4.0, "X": 8.0}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def image(axes="ZYX", **more):
    data = np.zeros([SIZES[a] for a in axes], dtype=np.uint8)
    units = tuple("second" if a == "T" else "nanometer" for a in axes)
    return Volume(data, axes, tuple(SCALES[a] for a in axes), units, name="brain", **more)


def values_for(spec, seed=0):
    rng = np.random.default_rng(seed)
    if spec.is_probability:
        return rng.integers(0, 256, (len(spec.classes), *spec.shape), dtype=np.uint8)
    return rng.choice([v for v, _ in spec.classes], size=spec.shape).astype(spec.dtype)


def write_in_blocks(path, spec, values, block=5, order=1):
    """Write blocks that fit no chunk and no page, in either order."""
    places = list(np.ndindex(*(-(-n // block) for n in spec.shape)))[::order]
    with Output(path, spec) as output:
        for place in places:
            start = tuple(block * i for i in place)
            box = Box(start, tuple(i + block for i in start)).intersect(Box.of_shape(spec.shape))
            channels = (slice(None),) if spec.is_probability else ()
            output.write(box, values[(*channels, *box.slices)])


@pytest.mark.parametrize("name", ["result.zarr", "result.ome.zarr", "r.tif", "r.tiff", "r.ome.tif"])
@pytest.mark.parametrize("axes", ["YX", "ZYX", "TYX", "TZYX"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_labels_come_back_with_values_axes_scale_and_units(tmp_path, name, axes, dtype):
    volume = image(axes)
    spec = ResultSpec.like(volume, dtype, CLASSES, name="labels")
    values = values_for(spec)
    write_in_blocks(tmp_path / name, spec, values)
    back = open_volume(tmp_path / name)
    assert back.axes == axes
    assert back.data.dtype == dtype
    np.testing.assert_array_equal(np.asarray(back.data), values)
    np.testing.assert_allclose(back.scale, volume.scale, rtol=1e-6)
    assert back.units == volume.units
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("name", ["p.zarr", "p.tif", "p.ome.tif"])
@pytest.mark.parametrize("axes", ["YX", "ZYX", "TZYX"])
def test_probabilities_come_back_with_a_channel_for_each_class(tmp_path, name, axes):
    volume = image(axes)
    spec = ResultSpec.like(volume, np.uint8, CLASSES, name="p", is_probability=True)
    values = values_for(spec)
    write_in_blocks(tmp_path / name, spec, values, order=-1)
    back = open_volume(tmp_path / name)
    assert back.axes == axes + "C"
    np.testing.assert_array_equal(np.moveaxis(np.asarray(back.data), -1, 0), values)
    np.testing.assert_allclose(back.scale[:-1], volume.scale, rtol=1e-6)


@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 9)] * 3),
    block=st.integers(1, 6),
    order=st.sampled_from([1, -1]),
    suffix=st.sampled_from([".tif", ".ome.tif"]),
)
def test_tiff_blocks_of_any_size_in_any_order_give_the_same_file(
    tmp_path_factory, shape, block, order, suffix
):
    path = tmp_path_factory.mktemp("tiff") / f"a{suffix}"
    volume = Volume(np.zeros(shape, np.uint8), "ZYX")
    spec = ResultSpec.like(volume, np.uint16, CLASSES, name="labels")
    values = values_for(spec)
    write_in_blocks(path, spec, values, block, order)
    np.testing.assert_array_equal(tifffile.imread(path).reshape(shape), values)


def test_zarr_says_what_ome_zarr_demands(tmp_path):
    volume = image("TZYX", translate=(0.0, 80.0, 4.0, 8.0))
    labels = ResultSpec.like(volume, np.uint8, CLASSES, name="labels")
    write_in_blocks(tmp_path / "l.zarr", labels, values_for(labels))
    ome = zarr.open_group(tmp_path / "l.zarr", mode="r").attrs["ome"]
    assert ome["version"] == "0.5"
    assert [axis["name"] for axis in ome["multiscales"][0]["axes"]] == ["t", "z", "y", "x"]
    transforms = ome["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    assert transforms[0] == {"type": "scale", "scale": [2.0, 40.0, 4.0, 8.0]}
    assert transforms[1] == {"type": "translation", "translation": [0.0, 80.0, 4.0, 8.0]}
    assert ome["image-label"]["properties"][1] == {"label-value": 3, "name": "mitochondrion"}
    assert ome["image-label"]["colors"][0] == {"label-value": 0, "rgba": [0, 0, 0, 0]}
    assert len({tuple(c["rgba"]) for c in ome["image-label"]["colors"]}) == 3
    array = zarr.open_array(tmp_path / "l.zarr" / "0", mode="r")
    assert array.metadata.dimension_names == ("t", "z", "y", "x")

    spec = ResultSpec.like(volume, np.uint8, CLASSES, name="p", is_probability=True)
    write_in_blocks(tmp_path / "p.zarr", spec, values_for(spec))
    ome = zarr.open_group(tmp_path / "p.zarr", mode="r").attrs["ome"]
    assert [axis["name"] for axis in ome["multiscales"][0]["axes"]] == ["t", "c", "z", "y", "x"]
    assert [c["label"] for c in ome["omero"]["channels"]] == [name for _, name in CLASSES]


def test_imagej_is_told_scale_contrast_and_classes(tmp_path):
    spec = ResultSpec.like(image(), np.uint8, CLASSES, name="labels")
    write_in_blocks(tmp_path / "a.tif", spec, values_for(spec))
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.is_imagej
        assert not file.is_bigtiff
        told = file.imagej_metadata
    assert (told["unit"], told["spacing"], told["max"]) == ("nm", 40.0, 7.0)
    assert "3 = mitochondrion" in told["Info"]


def test_a_tiff_too_large_for_imagej_is_an_ome_bigtiff(tmp_path, monkeypatch):
    monkeypatch.setattr(export_tiff, "IMAGEJ_LIMIT_BYTES", 1000)
    spec = ResultSpec.like(image(), np.uint8, CLASSES, name="labels")
    values = values_for(spec)
    write_in_blocks(tmp_path / "a.tif", spec, values)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.is_ome
        assert file.is_bigtiff
        assert "7 = membrane" in file.ome_metadata
        np.testing.assert_array_equal(file.asarray(), values)


@pytest.mark.parametrize("name", ["a.zarr", "a.tif"])
def test_a_stopped_job_leaves_nothing(tmp_path, name):
    spec = ResultSpec.like(image(), np.uint8, CLASSES, name="labels")

    def stopped():
        with Output(tmp_path / name, spec) as output:
            output.write(Box((0, 0, 0), (1, 12, 17)), np.ones((1, 12, 17), np.uint8))
            assert name not in names(tmp_path)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["a.zarr", "a.tif"])
def test_an_existing_file_is_replaced_only_on_demand_and_only_by_a_complete_one(tmp_path, name):
    path = tmp_path / name
    old = ResultSpec.like(image(), np.uint8, CLASSES, name="labels")
    new = ResultSpec.like(image("YX"), np.uint8, CLASSES, name="labels")
    write_in_blocks(path, old, values_for(old))
    with pytest.raises(InputError, match="exists already"):
        Output(path, new)
    with pytest.raises(ValueError, match="half way"), Output(path, new, overwrite=True):
        raise ValueError("half way")
    np.testing.assert_array_equal(np.asarray(open_volume(path).data), values_for(old))
    with Output(path, new, overwrite=True) as output:
        output.write(Box.of_shape(new.shape), values_for(new))
    np.testing.assert_array_equal(np.asarray(open_volume(path).data), values_for(new))
    assert names(tmp_path) == [name]


def test_a_file_that_appeared_meanwhile_is_not_replaced(tmp_path):
    spec = ResultSpec.like(image(), np.uint8, CLASSES, name="labels")
    output = Output(tmp_path / "a.tif", spec)
    with pytest.raises(InputError, match="exists already"), output:
        (tmp_path / "a.tif").write_bytes(b"somebody else's")
    assert (tmp_path / "a.tif").read_bytes() == b"somebody else's"
    assert names(tmp_path) == ["a.tif"]


def test_a_folder_that_is_no_zarr_is_never_overwritten(tmp_path):
    folder = tmp_path / "precious.zarr"
    folder.mkdir()
    (folder / "thesis.doc").write_text("years of work")
    spec = ResultSpec.like(image(), np.uint8, CLASSES, name="labels")
    with pytest.raises(InputError, match=r"is not a \.zarr file"):
        Output(folder, spec, overwrite=True)
    assert (folder / "thesis.doc").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.png", r"\.zarr, \.tif, \.tiff"),
        ("a", r"format of .*a' is not known"),
        ("missing/a.tif", "folder .* does not exist"),
    ],
)
def test_an_unusable_name_is_refused_when_the_output_is_made(tmp_path, name, message):
    spec = ResultSpec.like(image(), np.uint8, CLASSES, name="labels")
    with pytest.raises(InputError, match=message):
        Output(tmp_path / name, spec)


def test_a_folder_that_may_not_be_written_to_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(export.os, "access", lambda *args: False)  # root may write anywhere
    spec = ResultSpec.like(image(), np.uint8, CLASSES, name="labels")
    with pytest.raises(InputError, match="cannot be written to"):
        Output(tmp_path / "a.tif", spec)


@pytest.mark.parametrize("name", ["a.zarr", "a.tif"])
def test_a_disk_that_runs_full_is_explained_and_cleaned(tmp_path, name, monkeypatch):
    spec = ResultSpec.like(image(), np.uint8, CLASSES, name="labels")

    def full(self, box, values):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(export.FORMATS["." + name.split(".")[1]], "write", full)
    with pytest.raises(InputError, match="disk is full"), Output(tmp_path / name, spec) as output:
        output.write(Box.of_shape(spec.shape), values_for(spec))
    assert names(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
def test_a_write_that_the_system_refuses_is_explained_and_cleaned(tmp_path):
    import resource

    spec = ResultSpec.like(image(), np.uint8, CLASSES, name="labels")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def refused():
        with Output(tmp_path / "a.tif", spec) as output:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
            # Rows this short stay in a buffer, which fails once more when the file is closed.
            output.write(Box((4, 0, 0), (5, 12, 3)), np.ones((1, 12, 3), np.uint8))

    try:
        with pytest.raises(InputError, match="too large"):
            refused()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["a.zarr", "a.tif"])
def test_a_file_that_cannot_be_created_is_explained_and_cleaned(tmp_path, name, monkeypatch):
    spec = ResultSpec.like(image(), np.uint8, CLASSES, name="labels")
    kind = export.FORMATS["." + name.split(".")[1]]
    create = kind.create

    def half(self):
        create(self)
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(kind, "create", half)
    with pytest.raises(InputError, match="Permission denied"), Output(tmp_path / name, spec):
        pytest.fail("the block must not be entered")
    assert names(tmp_path) == []


def test_too_little_space_is_told_before_the_start(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(export.shutil, "disk_usage", lambda folder: usage)
    spec = ResultSpec.like(image(), np.uint8, CLASSES, name="labels")
    zarr_output = Output(tmp_path / "a.zarr", spec)
    assert zarr_output.space_bytes < spec.n_bytes == 1020
    require_space([zarr_output])
    with pytest.raises(InputError, match=r"1\.0 kB.* only 1\.0 kB are free"):
        require_space([Output(tmp_path / "a.tif", spec)])
    with pytest.raises(InputError, match="are free"):
        require_space([zarr_output, Output(tmp_path / "b.zarr", spec)])
    require_space([Output(np.zeros(spec.shape, np.uint8), spec)])


def test_blocks_go_into_an_array_that_is_there(tmp_path):
    spec = ResultSpec.like(image(), np.uint8, CLASSES, name="labels")
    values = values_for(spec)
    target = np.zeros(spec.shape, np.int32)
    write_in_blocks(target, spec, values)
    np.testing.assert_array_equal(target, values)
    on_disk = zarr.create_array(tmp_path / "x.zarr", shape=spec.shape, dtype="u1", chunks=(2, 5, 5))
    write_in_blocks(on_disk, spec, values)
    np.testing.assert_array_equal(on_disk[:], values)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (np.zeros((5, 12, 16), np.uint8), r"Expected \(5, 12, 17\)"),
        (np.zeros((5, 12, 17), np.float32), "whole-number type"),
        (np.zeros((5, 12, 17), np.bool_), "whole-number type"),
        (np.broadcast_to(np.uint8(0), (5, 12, 17)), "read-only"),
        (42, "cannot be written to a int"),
    ],
)
def test_an_array_that_cannot_take_the_result_is_refused(target, message):
    spec = ResultSpec.like(image(), np.uint8, CLASSES, name="labels")
    with pytest.raises(InputError, match=message):
        Output(target, spec)


def test_an_array_too_narrow_for_the_class_values_is_refused():
    spec = ResultSpec.like(image(), np.uint16, ((300, "golgi"),), name="labels")
    with pytest.raises(InputError, match="can hold 300"):
        Output(np.zeros(spec.shape, np.uint8), spec)
    spec = ResultSpec.like(image(), np.uint8, CLASSES, name="p", is_probability=True)
    with pytest.raises(InputError, match="floating-point"):
        Output(np.zeros((3, *spec.shape), np.int16), spec)


def test_labels_are_saved_in_the_smallest_type_that_holds_them(tmp_path):
    volume = image("TZYX")
    labels = np.zeros(volume.label_shape, np.int64)
    labels[1, 2, 3:5, 4:9] = 300
    path = save_labels(tmp_path / "a.zarr", labels, volume, classes=[(300, "golgi")])
    back = open_volume(path)
    assert back.data.dtype == np.uint16
    np.testing.assert_array_equal(np.asarray(back.data), labels)
    assert back.scale == volume.scale
    save_labels(path, labels > 0, volume, overwrite=True)
    np.testing.assert_array_equal(np.asarray(open_volume(path).data), labels > 0)


def test_labels_that_do_not_fit_the_image_are_not_saved(tmp_path):
    with pytest.raises(InputError, match="cannot be saved"):
        save_labels(tmp_path / "a.tif", np.zeros((5, 12), np.uint8), image())
    with pytest.raises(InputError, match="cannot be saved"):
        save_labels(tmp_path / "a.tif", np.zeros((5, 12, 17)), image())
    with pytest.raises(InputError, match="negative"):
        save_labels(tmp_path / "a.tif", np.full((5, 12, 17), -1), image())
    assert names(tmp_path) == []
