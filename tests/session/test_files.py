from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest

from napari_regcon.errors import InputError
from napari_regcon.session.classes import LabelClass
from napari_regcon.session.files import SessionState, load_session, save_session
from napari_regcon.session.marks import Mark
from napari_regcon.session.painted import Patch
from napari_regcon.types import Box


@pytest.fixture
def state():
    rng = np.random.default_rng(0)
    return SessionState(
        image_name="cells",
        axes="ZYX",
        label_shape=(5, 30, 40),
        fingerprint="abc",
        classes=(LabelClass(1, "background", "#112233"), LabelClass(4, "Mito µ", "#abcdef")),
        parameters={"sigma_max_px": 8.0, "dimensions": 3},
        patches={
            (0,): Patch((3, 4), rng.integers(0, 3, (6, 7), dtype=np.uint8)),
            (4,): Patch((0, 0), np.ones((30, 40), dtype=np.uint8)),
        },
        marks=(
            Mark((4,), Box((0, 0), (30, 40)), whole=True),
            Mark((1,), Box((2, 3), (10, 12)), whole=False),
        ),
        locked_slices=((2,),),
        locked_classes=(4,),
        locked_pixels={(3,): Patch((1, 2), np.eye(5, dtype=np.uint8))},
    )


def test_a_session_comes_back_as_it_was(state, tmp_path):
    path = tmp_path / "new folder" / "cells.regcon"
    save_session(state, path)
    back = load_session(path)
    assert back.patches.keys() == state.patches.keys()
    for prefix, patch in state.patches.items():
        assert back.patches[prefix].same(patch)
    assert back.locked_pixels[(3,)].same(state.locked_pixels[(3,)])
    assert (back.locked_slices, back.locked_classes) == (((2,),), (4,))
    for name in ("image_name", "axes", "label_shape", "classes", "parameters", "marks", "version"):
        assert getattr(back, name) == getattr(state, name)
    assert not back.is_empty
    assert [p.name for p in path.parent.iterdir()] == ["cells.regcon"]


def test_a_failed_write_leaves_the_old_file_whole(state, tmp_path, monkeypatch):
    path = tmp_path / "cells.regcon"
    save_session(state, path)
    old = path.read_bytes()

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_regcon.session.files.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_session(SessionState("x", "YX", (3, 3)), path)
    assert path.read_bytes() == old
    assert len(list(tmp_path.iterdir())) == 1


def test_no_file_and_foreign_files_are_explained(tmp_path):
    with pytest.raises(InputError, match="no session file"):
        load_session(tmp_path / "none.regcon")
    foreign = tmp_path / "foreign.regcon"
    foreign.write_bytes(b"not a zip")
    with pytest.raises(InputError, match="not a session file"):
        load_session(foreign)
    with zipfile.ZipFile(foreign, "w") as archive:
        archive.writestr("hello.txt", "hello")
    with pytest.raises(InputError, match="not a session file"):
        load_session(foreign)


def _rewritten(state, tmp_path, change):
    """Save, then let ``change`` edit the description."""
    path = tmp_path / "a.regcon"
    save_session(state, path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    meta = json.loads(parts["session.json"])
    change(meta)
    parts["session.json"] = json.dumps(meta).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["planes"][0].update(prefix=[5]),
        lambda m: m["planes"][0].update(prefix=[0, 0]),
        lambda m: m["planes"][0].update(origin=[29, 0]),
        lambda m: m["planes"][0].update(origin=[-1, 0]),
        lambda m: m["image"].update(label_shape=[5, 3, 4]),
        lambda m: m["marks"][0].update(stop=[300, 400]),
        lambda m: m["classes"].pop(),
        lambda m: m["classes"][0].update(extra=1),
        lambda m: m.pop("model"),
        lambda m: m["locks"].update(slices=[[9]]),
        lambda m: m["locks"]["pixels"][0].update(origin=[28, 0]),
    ],
)
def test_descriptions_that_do_not_fit_are_refused(state, tmp_path, change):
    with pytest.raises(InputError):
        load_session(_rewritten(state, tmp_path, change))


def test_newer_formats_are_refused_by_name(state, tmp_path):
    path = _rewritten(state, tmp_path, lambda m: m.update(format=99, version="9.9"))
    with pytest.raises(InputError, match=r"9\.9.*newer"):
        load_session(path)


def test_pickles_in_a_file_are_never_loaded(state, tmp_path):
    path = tmp_path / "a.regcon"
    save_session(state, path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    import io

    stream = io.BytesIO()
    np.save(stream, np.array([[{"a": 1}]], dtype=object), allow_pickle=True)
    parts["plane_0.npy"] = stream.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    with pytest.raises(InputError, match="damaged"):
        load_session(path)
