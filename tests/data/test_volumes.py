"""Opening files: same pixels, axes and pixel size as were written."""

import itertools
import uuid

import dask.array as da
import mrcfile
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import napari_regcon as rc
from napari_regcon.data.export import save_labels
from napari_regcon.data.volumes import FORMATS, open_volume
from napari_regcon.errors import InputError
from napari_regcon.types import Volume


def pixels(shape, dtype=np.uint8, seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(size=shape).astype(dtype)
    return rng.integers(0, 2 if np.dtype(dtype) == bool else 120, shape).astype(dtype)


def same(volume, expected, axes):
    """Check pixels and axes, and that the file is not loaded as a whole where it need not be."""
    assert volume.axes == axes
    assert tuple(volume.data.shape) == expected.shape
    np.testing.assert_array_equal(np.asarray(volume.data), expected)


# ------------------------------------------------------------------------------------ TIFF


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "u4", "i8", "f2", "f4", "f8", ">u2", ">f4"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_tiff_of_any_type(tmp_path, dtype, compression):
    raw = pixels((5, 20, 30), dtype)
    byteorder = ">" if dtype[0] == ">" else "<"
    tifffile.imwrite(
        tmp_path / "a.tif",
        raw,
        compression=compression,
        photometric="minisblack",
        byteorder=byteorder,
    )
    volume = open_volume(tmp_path / "a.tif")
    same(volume, raw, "ZYX")
    assert isinstance(volume.data, np.memmap if compression is None else da.Array)
    assert volume.scale == (1, 1, 1)
    assert volume.units == ("pixel",) * 3
    assert volume.name == "a"
    assert volume.source == tmp_path / "a.tif"


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(
    ("axes", "shape", "expected"),
    [
        ("YX", (20, 30), "YX"),
        ("ZYX", (3, 20, 30), "ZYX"),
        ("TYX", (3, 20, 30), "TYX"),
        ("CYX", (3, 20, 30), "YXC"),
        ("ZCYX", (3, 2, 20, 30), "ZYXC"),
        ("TZCYX", (4, 3, 2, 20, 30), "TZYXC"),
        ("TZCYX", (1, 3, 1, 20, 30), "ZYX"),
        ("TZCYX", (4, 1, 1, 1, 30), "TYX"),
    ],
)
def test_imagej_axes_and_pixel_size(tmp_path, axes, shape, expected, compression):
    raw = pixels(shape, "u2")
    tifffile.imwrite(
        tmp_path / "a.tif",
        raw,
        imagej=True,
        compression=compression,
        resolution=(1 / 4.5, 1 / 4.25),
        metadata={"axes": axes, "spacing": 50, "unit": "nm", "finterval": 2.5},
    )
    volume = open_volume(tmp_path / "a.tif")
    order = [axes.index(a) for a in expected]
    left = [i for i in range(len(axes)) if i not in order]
    same(volume, raw.transpose(*left, *order)[(0,) * len(left)], expected)
    sizes = {"X": 4.5, "Y": 4.25, "Z": 50, "T": 2.5, "C": 1}
    units = {"X": "nanometer", "Y": "nanometer", "Z": "nanometer", "T": "second", "C": "pixel"}
    assert volume.scale == tuple(sizes[a] for a in expected)
    assert volume.units == tuple(units[a] for a in expected)


@pytest.mark.parametrize(
    ("unit", "word"),
    [
        ("um", "micrometer"),
        ("micron", "micrometer"),
        ("microns", "micrometer"),
        ("\\u00B5m", "micrometer"),
        ("mm", "millimeter"),
        ("Nanometers", "nanometer"),
        ("Angstrom", "angstrom"),
        ("pixel", "pixel"),
        ("furlong", "pixel"),
    ],
)
def test_imagej_units_become_full_words(tmp_path, unit, word):
    tifffile.imwrite(
        tmp_path / "a.tif", pixels((9, 9)), imagej=True, resolution=(2, 2), metadata={"unit": unit}
    )
    volume = open_volume(tmp_path / "a.tif")
    assert volume.units == (word, word)
    assert volume.scale == ((1, 1) if word == "pixel" else (0.5, 0.5))


def test_imagej_axes_may_have_units_of_their_own(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif",
        pixels((4, 9, 9)),
        imagej=True,
        resolution=(2, 4),
        metadata={"axes": "ZYX", "unit": "um", "yunit": "nm", "zunit": "mm", "spacing": 3},
    )
    volume = open_volume(tmp_path / "a.tif")
    assert volume.units == ("millimeter", "nanometer", "micrometer")
    assert volume.scale == (3, 0.25, 0.5)


@pytest.mark.parametrize(
    "options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}, {"bigtiff": True}]
)
def test_ome_tiff(tmp_path, options):
    raw = pixels((2, 3, 40, 50), "u2")
    metadata = {
        "axes": "CZYX",
        "PhysicalSizeX": 5,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 6.5,
        "PhysicalSizeYUnit": "nm",
        "PhysicalSizeZ": 0.05,
    }
    tifffile.imwrite(tmp_path / "a.ome.tif", raw, ome=True, metadata=metadata, **options)
    volume = open_volume(tmp_path / "a.ome.tif")
    same(volume, np.moveaxis(raw, 0, -1), "ZYXC")
    assert volume.scale == (0.05, 6.5, 5, 1)
    assert volume.units == ("micrometer", "nanometer", "nanometer", "pixel")
    assert volume.name == "a"


def test_of_a_pyramid_the_finest_level_is_read(tmp_path):
    raw = pixels((3, 64, 96))
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tif:
        options = {"tile": (32, 32), "compression": "zlib", "photometric": "minisblack"}
        tif.write(raw, subifds=1, metadata={"axes": "ZYX"}, **options)
        tif.write(raw[:, ::2, ::2], subfiletype=1, **options)
    same(open_volume(tmp_path / "a.ome.tif"), raw, "ZYX")


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("n", [3, 4])
def test_colours_become_channels_and_transparency_is_left_out(tmp_path, compression, planar, n):
    raw = pixels((20, 30, n))
    stored = raw if planar == "contig" else np.moveaxis(raw, -1, 0)
    extra = {"extrasamples": ["unassalpha"]} if n == 4 else {}
    tifffile.imwrite(
        tmp_path / "a.tif",
        stored,
        photometric="rgb",
        planarconfig=planar,
        compression=compression,
        **extra,
    )
    same(open_volume(tmp_path / "a.tif"), raw[..., :3], "YXC")


def test_a_stack_of_colours(tmp_path):
    raw = pixels((4, 20, 30, 3))
    tifffile.imwrite(tmp_path / "a.tif", raw, photometric="rgb", compression="zlib")
    same(open_volume(tmp_path / "a.tif"), raw, "ZYXC")
    tifffile.imwrite(tmp_path / "b.tif", raw, imagej=True, metadata={"axes": "ZYXS"})
    same(open_volume(tmp_path / "b.tif"), raw, "ZYXC")


def test_a_mask_of_single_bits(tmp_path):
    raw = pixels((20, 33), bool)
    Image.fromarray(raw).save(tmp_path / "a.tif")
    volume = open_volume(tmp_path / "a.tif")
    assert volume.data.dtype == bool
    same(volume, raw, "YX")


@pytest.mark.parametrize("more", [{}, {"metadata": None}])
def test_strips_and_pages_written_one_by_one(tmp_path, more):
    raw = pixels((4, 50, 30))
    options = {"compression": "zlib", "rowsperstrip": 7, "photometric": "minisblack"} | more
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        for plane in raw:
            tif.write(plane, **options)
    same(open_volume(tmp_path / "a.tif"), raw, "ZYX")


@pytest.mark.parametrize(
    ("unit", "per_unit", "expected"),
    [
        ("CENTIMETER", 1e6, (1e-6, "centimeter")),
        ("INCH", 25_400_000, (1e-6, "millimeter")),
        ("INCH", 300, (1.0, "pixel")),  # 300 dpi is for printing
        ("NONE", 4, (1.0, "pixel")),
    ],
)
def test_plain_resolution_tags(tmp_path, unit, per_unit, expected):
    tifffile.imwrite(
        tmp_path / "a.tif", pixels((9, 9)), resolution=(per_unit, per_unit), resolutionunit=unit
    )
    volume = open_volume(tmp_path / "a.tif")
    assert volume.scale == pytest.approx((expected[0],) * 2)
    assert volume.units == (expected[1],) * 2


@pytest.mark.parametrize(
    ("tag", "text", "scale", "units"),
    [
        (
            34682,
            "[Scan]\r\nPixelWidth=4e-9\r\nPixelHeight=5e-9\r\n",
            (5e-9, 4e-9),
            ("meter", "meter"),
        ),
        (
            34118,
            "0\r\nAP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = 7.5 nm\r\n",
            (7.5, 7.5),
            ("nanometer", "nanometer"),
        ),
    ],
    ids=["Thermo Fisher", "Zeiss"],
)
def test_tags_of_electron_microscopes(tmp_path, tag, text, scale, units):
    tifffile.imwrite(
        tmp_path / "a.tif", pixels((9, 9)), metadata=None, extratags=[(tag, "s", 0, text, True)]
    )
    volume = open_volume(tmp_path / "a.tif")
    assert volume.scale == scale
    assert volume.units == units


def test_only_the_part_asked_for_is_decoded(tmp_path, monkeypatch):
    raw = pixels((50, 64, 64))
    tifffile.imwrite(tmp_path / "a.tif", raw, compression="zlib", photometric="minisblack")
    volume = open_volume(tmp_path / "a.tif")
    decoded = []
    decompress = tifffile.TIFF.DECOMPRESSORS[8]

    def counted(*args, **kwargs):
        decoded.append(1)
        return decompress(*args, **kwargs)

    monkeypatch.setitem(tifffile.TIFF.DECOMPRESSORS._codecs, 8, counted)
    for y, x in itertools.product((0, 20, 44), repeat=2):
        tile = np.asarray(volume.data[7, y : y + 20, x : x + 20])
        np.testing.assert_array_equal(tile, raw[7, y : y + 20, x : x + 20])
    assert len(decoded) == 1


def test_a_result_may_be_written_into(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", pixels((5, 8, 8)), compression="zlib")
    volume = open_volume(tmp_path / "a.tif")
    first = np.array(volume.data[0])
    plane = np.asarray(volume.data[0])
    if plane.flags.writeable:
        plane[:] = 99
    np.testing.assert_array_equal(np.asarray(volume.data[0]), first)


# ------------------------------------------------------------------------------------ zarr


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
    assert volume.data[5].npartitions == 16
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


# ----------------------------------------------------------------------------- NPY and MRC


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


# -------------------------------------------------------------------------------- pictures


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


# ------------------------------------------------------------------------- folders, patterns


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


# ------------------------------------------------------------------------------------- axes


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


# ------------------------------------------------------------------------------ what we write


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


# --------------------------------------------------------------------------- what is refused


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


def test_damaged_zarr_metadata_is_refused(tmp_path):
    ome_zarr(tmp_path / "a.zarr", "0.5", pixels((9, 9)), [axis("y"), axis("x")], [[]])
    meta = tmp_path / "a.zarr" / "zarr.json"
    text = meta.read_text()
    for damaged in (text[:-20], text.replace('"path": "0"', '"path": "../../x"'), "[]"):
        meta.write_text(damaged)
        with pytest.raises(InputError, match="cannot be read"):
            open_volume(tmp_path / "a.zarr")


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
