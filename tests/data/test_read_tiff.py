"""TIFF of all kinds: same pixels, axes and pixel size as were written."""

import itertools
import uuid

import dask.array as da
import numpy as np
import pytest
import tifffile
from image_files import pixels, same
from PIL import Image

from napari_regcon.data.volumes import open_volume
from napari_regcon.errors import InputError


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
        ("CENTIMETER", 1e6, (10.0, "nanometer")),
        ("INCH", 25_400_000, (1.0, "nanometer")),
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
            (5, 4),
            ("nanometer", "nanometer"),
        ),
        (34682, "[User]\r\nName=Me\r\n", (1, 1), ("pixel", "pixel")),
        (34118, "0\r\nDP_ZOOM\r\nZoom = No\r\n", (1, 1), ("pixel", "pixel")),
        (
            34118,
            "0\r\nAP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = 7.5 nm\r\n",
            (7.5, 7.5),
            ("nanometer", "nanometer"),
        ),
    ],
    ids=["Thermo Fisher", "no scan", "no size", "Zeiss"],
)
def test_tags_of_electron_microscopes(tmp_path, tag, text, scale, units):
    tifffile.imwrite(
        tmp_path / "a.tif", pixels((9, 9)), metadata=None, extratags=[(tag, "s", 0, text, True)]
    )
    volume = open_volume(tmp_path / "a.tif")
    assert volume.scale == pytest.approx(scale)
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


def ome_parts(folder, raw, compression):
    """Write an OME-TIFF whose slices are spread over two files, half each."""
    names = [folder / f"part{i}.ome.tif" for i in range(2)]
    ids = [f"urn:uuid:{uuid.uuid4()}" for _ in names]
    half = len(raw) // 2
    places = "".join(
        f'<TiffData FirstZ="{z}" IFD="{z % half}" PlaneCount="1">'
        f'<UUID FileName="{names[z // half].name}">{ids[z // half]}</UUID></TiffData>'
        for z in range(len(raw))
    )
    for i, name in enumerate(names):
        xml = (
            f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="{ids[i]}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" '
            f'Type="uint8" SizeX="{raw.shape[2]}" SizeY="{raw.shape[1]}" SizeZ="{len(raw)}" '
            f'SizeC="1" SizeT="1" PhysicalSizeX="3"><Channel ID="Channel:0:0" '
            f'SamplesPerPixel="1"/>{places}</Pixels></Image></OME>'
        )
        with tifffile.TiffWriter(name) as tif:
            for j in range(half):
                description = xml if j == 0 else None
                tif.write(
                    raw[half * i + j],
                    description=description,
                    metadata=None,
                    compression=compression,
                )
    return names


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_ome_tiff_of_several_files(tmp_path, compression):
    raw = pixels((4, 20, 30))
    first, second = ome_parts(tmp_path, raw, compression)
    for name in (first, second):
        volume = open_volume(name)
        same(volume, raw, "ZYX")
        assert volume.scale == (1, 1, 3)
    second.rename(tmp_path / "elsewhere.tif")
    with pytest.raises(InputError, match=r"2 of 4 slices.*into one folder"):
        open_volume(first)


def test_of_several_images_in_an_ome_tiff_the_largest_is_read_with_its_size(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tif:
        for side, size in ((5, 1), (30, 7)):
            metadata = {"PhysicalSizeX": size, "PhysicalSizeXUnit": "nm"}
            tif.write(pixels((side, side)), metadata=metadata)
    volume = open_volume(tmp_path / "a.ome.tif")
    same(volume, pixels((30, 30)), "YX")
    assert volume.scale == (1, 7)
