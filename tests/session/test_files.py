from __future__ import annotations

import errno
import io
import json
import os
import string
import struct
import zipfile
from dataclasses import replace
from importlib import metadata

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import napari_regcon
from napari_regcon.errors import InputError
from napari_regcon.session.classes import LabelClass
from napari_regcon.session.files import load_session, save_session
from napari_regcon.session.marks import Mark
from napari_regcon.session.painted import Patch
from napari_regcon.session.saved import SessionImage, SessionState

PER_EXAMPLE = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def assert_same_patches(one, other):
    assert list(one) == list(other)
    for prefix, patch in one.items():
        assert patch.same(other[prefix])
        assert other[prefix].labels.dtype == np.uint8


def assert_same(one, other):
    """Compare every field; arrays by their content."""
    assert len(one.images) == len(other.images)
    for a, b in zip(one.images, other.images, strict=True):
        assert_same_patches(a.patches, b.patches)
        assert {**vars(a), "patches": None} == {**vars(b), "patches": None}
    assert_same_patches(one.locked_pixels, other.locked_pixels)
    skipped = {"images": None, "locked_pixels": None}
    assert {**vars(one), **skipped} == {**vars(other), **skipped}


def test_a_session_comes_back_as_it_was(state, tmp_path):
    path = tmp_path / "new folder" / "cells.regcon"
    save_session(state, path)
    back = load_session(path)
    assert_same(state, back)
    assert back.image.label_shape == (5, 30, 40)
    assert [image.name for image in back.others] == ["other"]
    assert not back.image.is_empty
    assert [p.name for p in path.parent.iterdir()] == ["cells.regcon"]


def test_it_says_what_it_was_made_with(state, tmp_path):
    save_session(state, tmp_path / "a.regcon")
    versions = load_session(tmp_path / "a.regcon").versions
    assert versions["napari-regcon"] == napari_regcon.__version__
    assert versions["torch"] == metadata.version("torch")
    assert versions["numpy"] == np.__version__


def test_labels_can_be_read_with_numpy_alone(state, tmp_path):
    save_session(state, tmp_path / "a.regcon")
    with np.load(tmp_path / "a.regcon") as archive:
        patch = state.image.patches[(0,)]
        np.testing.assert_array_equal(archive["image1_0"], patch.labels)


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
colors = st.text(string.hexdigits[:16], min_size=6, max_size=6).map("#{}".format)


@st.composite
def patches(draw, shape):
    found = {}
    outer = st.tuples(*(st.integers(0, n - 1) for n in shape[:-2]))
    for prefix in draw(st.lists(outer, max_size=3, unique=True)):
        y, x = (draw(st.integers(0, n - 1)) for n in shape[-2:])
        height, width = draw(st.integers(1, shape[-2] - y)), draw(st.integers(1, shape[-1] - x))
        content = draw(st.binary(min_size=height * width, max_size=height * width))
        found[prefix] = Patch((y, x), np.frombuffer(content, np.uint8).reshape(height, width))
    return found


@st.composite
def images(draw):
    axes = draw(st.sampled_from(["YX", "ZYX", "YXC", "TZYXC"]))
    shape = tuple(draw(st.integers(1, 9)) for _ in axes)
    label_shape = shape[: len(axes.removesuffix("C"))]
    painted = draw(patches(label_shape))
    marks = tuple(Mark(p, patch.box, draw(st.booleans())) for p, patch in painted.items())
    numbers = st.floats(allow_nan=False, allow_infinity=False)
    scale = draw(st.sampled_from([(), tuple(draw(numbers) for _ in axes)]))
    return SessionImage(
        draw(names), axes, shape, draw(st.sampled_from(["uint8", "float32", ">i2"])),
        draw(names), draw(names), scale, patches=painted, marks=marks,
    )  # fmt: skip


@st.composite
def sessions(draw):
    found = tuple(draw(st.lists(images(), min_size=1, max_size=3)))
    chosen = draw(st.integers(0, len(found) - 1))
    values = draw(st.lists(st.integers(1, 254), min_size=2, max_size=5, unique=True))
    scalars = st.one_of(st.booleans(), st.integers(-1000, 1000), st.floats(0, 1), names)
    return SessionState(
        found,
        chosen,
        tuple(LabelClass(v, f"class {v} {draw(names)}", draw(colors)) for v in values),
        parameters=draw(st.dictionaries(names, scalars, max_size=3)),
        locked_classes=tuple(values[:1]),
        locked_pixels=draw(patches(found[chosen].label_shape)),
    )


@PER_EXAMPLE
@given(session=sessions())
def test_any_session_comes_back_as_it_was(tmp_path, session):
    save_session(session, tmp_path / "any.regcon")
    assert_same(session, load_session(tmp_path / "any.regcon"))


@pytest.mark.parametrize("call", ["fsync", "write"])
def test_a_full_disk_is_told_and_leaves_the_old_file_whole(state, tmp_path, monkeypatch, call):
    path = tmp_path / "cells.regcon"
    save_session(state, path)
    old = path.read_bytes()

    def full(*_args, **_more):
        raise OSError(errno.ENOSPC, "No space left on device")

    if call == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(InputError, match=r"disk is full.*Free some space"):
        save_session(replace(state, method="pixel-head"), path)
    assert path.read_bytes() == old
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_cannot_be_written_is_told(state, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot be written"):
        save_session(state, tmp_path / "file" / "a.regcon")


def test_no_file_and_foreign_files_are_explained(tmp_path):
    with pytest.raises(InputError, match="no session file"):
        load_session(tmp_path / "none.regcon")
    with pytest.raises(InputError, match="cannot be read"):
        load_session(tmp_path)
    foreign = tmp_path / "foreign.regcon"
    for content in (b"", b"not a zip", b"II*\x00 a picture" * 100):
        foreign.write_bytes(content)
        with pytest.raises(InputError, match="not a session file"):
            load_session(foreign)
    with zipfile.ZipFile(foreign, "w") as archive:
        archive.writestr("hello.txt", "hello")
    with pytest.raises(InputError, match="not a session file"):
        load_session(foreign)


@PER_EXAMPLE
@given(share=st.floats(0, 0.999))
def test_a_file_that_was_cut_short_is_refused(state, tmp_path, share):
    path = tmp_path / "cut.regcon"
    save_session(state, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match="damaged"):
        load_session(path)


@settings(PER_EXAMPLE, max_examples=300)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_harmless(state, tmp_path, data):
    """Some bytes of a zip mean nothing; whatever is read must be what was saved."""
    path = tmp_path / "damaged.regcon"
    save_session(state, path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        back = load_session(path)
    except InputError:
        return
    assert_same(state, back)


def rewritten(state, tmp_path, change):
    """Save, then let ``change`` edit the description."""
    return packed(state, tmp_path, lambda meta, _parts: change(meta))


def packed(state, tmp_path, change, raw=None):
    """Save, then let ``change`` edit the description and the other parts."""
    path = tmp_path / "a.regcon"
    save_session(state, path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    meta = json.loads(parts["session.json"])
    change(meta, parts)
    parts["session.json"] = json.dumps(meta).encode() if raw is None else raw
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["images"][1]["planes"][0].update(prefix=[5]),
        lambda m: m["images"][1]["planes"][0].update(prefix=[0, 0]),
        lambda m: m["images"][1]["planes"][0].update(prefix=[True]),
        lambda m: m["images"][1]["planes"][0].update(prefix=[4]),
        lambda m: m["images"][1]["planes"][0].update(origin=[29, 0]),
        lambda m: m["images"][1]["planes"][0].update(origin=[-1, 0]),
        lambda m: m["images"][1]["planes"][0].update(origin=[0.5, 0]),
        lambda m: m["images"][1]["planes"][0].update(shape=[6, 8]),
        lambda m: m["images"][1]["planes"][0].update(shape=[0, 0]),
        lambda m: m["images"][1]["planes"][0].update(labels="session"),
        lambda m: m["images"][1].update(shape=[5, 3, 4, 2]),
        lambda m: m["images"][1].update(shape=[5, 30, 40]),
        lambda m: m["images"][1].update(shape=[5, 10**30, 40, 2]),
        lambda m: m["images"][1].update(axes="XYZC"),
        lambda m: m["images"][1].update(dtype="no type"),
        lambda m: m["images"][1].update(scale=[1.0]),
        lambda m: m["images"][1].update(scale=[1.0, 1.0, float("nan"), 1.0]),
        lambda m: m["images"][1]["marks"][0].update(stop=[300, 400]),
        lambda m: m["images"][1]["marks"][0].update(stop=[0, 0]),
        lambda m: m["images"][1]["marks"][0].update(whole="yes"),
        lambda m: m["images"].clear(),
        lambda m: m.update(images={}),
        lambda m: m.update(chosen=2),
        lambda m: m.update(chosen=-1),
        lambda m: m.update(format="1"),
        lambda m: m["classes"].pop(),
        lambda m: m["classes"][0].update(value=1.5),
        lambda m: m["classes"][0].update(color="red"),
        lambda m: m.pop("model"),
        lambda m: m["model"].update(parameters={"seed": [1]}),
        lambda m: m["locks"].update(slices=[[9]]),
        lambda m: m["locks"]["pixels"][0].update(origin=[28, 0]),
    ],
)
def test_descriptions_that_do_not_fit_are_refused(state, tmp_path, change):
    with pytest.raises(InputError):
        load_session(rewritten(state, tmp_path, change))


@pytest.mark.parametrize(
    "raw", [b"[]", b"3", b"{", b"\xff", b"[" * 200_000, b'{"versions": {}, "format": 1}']
)
def test_descriptions_that_are_none_are_refused(state, tmp_path, raw):
    with pytest.raises(InputError, match="damaged"):
        load_session(packed(state, tmp_path, lambda *_: None, raw))


def test_newer_formats_are_refused_by_name(state, tmp_path):
    newer = {"format": 99, "versions": {"napari-regcon": "9.9"}}
    path = rewritten(state, tmp_path, lambda m: m.update(newer))
    with pytest.raises(InputError, match=r"9\.9.*newer"):
        load_session(path)


def npy(shape, dtype="|u1", content=b""):
    """Return an array file whose header says what a test wants."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape!r}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


@pytest.mark.parametrize(
    "labels",
    [
        npy((10**7, 10**7)),  # would reserve 100 TB
        npy((6, 7), content=bytes(41)),
        npy((6, 7), content=bytes(2**20)),
        npy((7, 6), content=bytes(42)),
        npy((6, 7), dtype="|O", content=bytes(42)),
        npy((6, 7), dtype="<u2", content=bytes(84)),
        npy((6, 7), content=bytes(42)).replace(b"\x01\x00", b"\x09\x00", 1),
        b"",
    ],
)
def test_labels_of_another_size_or_type_are_refused(state, tmp_path, labels):
    path = packed(state, tmp_path, lambda _, parts: parts.update({"image1_0.npy": labels}))
    with pytest.raises(InputError, match="damaged"):
        load_session(path)


def test_a_small_file_cannot_claim_more_than_is_allowed(state, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_regcon.session.files._MAX_LABEL_BYTES", 1000)
    save_session(state, tmp_path / "a.regcon")  # a painted plane has 1200 px
    with pytest.raises(InputError, match="more is painted than"):
        load_session(tmp_path / "a.regcon")
    monkeypatch.setattr("napari_regcon.session.files._MAX_JSON_BYTES", 1000)
    with pytest.raises(InputError, match="description is too long"):
        load_session(tmp_path / "a.regcon")


def test_pickles_in_a_file_are_never_loaded(state, tmp_path):
    stream = io.BytesIO()
    np.save(stream, np.array([[{"a": 1}]], dtype=object), allow_pickle=True)
    path = packed(
        state, tmp_path, lambda _, parts: parts.update({"image1_0.npy": stream.getvalue()})
    )
    with pytest.raises(InputError, match="damaged"):
        load_session(path)
