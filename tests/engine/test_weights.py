"""Weights by name or file: import, load, licences and the lock file."""

import errno
import hashlib
import json
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from napari_regcon.engine import weights
from napari_regcon.errors import WeightsError

STORED = {"file_name": "x.pt", "sha256": "0" * 64, "size_bytes": 1, "source": "import"}
STATE = {"w": torch.arange(6.0).reshape(2, 3), "b": torch.ones(3)}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_REGCON_WEIGHTS_DIR", str(tmp_path / "weights"))
    return tmp_path / "weights"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.pth"
    torch.save({"state_dict": STATE, "licence": "CC-BY-4.0"}, path)
    return path


@pytest.fixture
def official(tmp_path):
    """A file with the name of the official weights, got by hand."""
    path = tmp_path / weights.REGISTRY["universeg-v1"].file_name
    torch.save(STATE, path)
    return path


def sum_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_folder_is_the_users_own_where_nothing_is_set(monkeypatch):
    monkeypatch.delenv("NAPARI_REGCON_WEIGHTS_DIR", raising=False)
    assert weights.weights_dir().name == "weights"
    assert "napari-regcon" in weights.weights_dir().parts
    monkeypatch.setenv("NAPARI_REGCON_WEIGHTS_DIR", "~/somewhere")
    assert weights.weights_dir().is_absolute()


def test_imported_file_is_found_by_its_name(folder, file):
    imported = weights.import_file(file)
    assert imported.name == "mine"
    assert imported.path == folder / "mine.pt"
    file.unlink()
    state, info = weights.load_state("mine")
    assert torch.equal(state["w"], STATE["w"])
    assert info == imported
    assert (info.n_tensors, info.n_parameters) == (2, 9)
    assert (info.licence, info.card) == ("CC-BY-4.0", {"licence": "CC-BY-4.0"})
    assert info.sha256 == sum_of(folder / "mine.pt")
    assert [entry.name for entry in weights.entries()] == [*weights.REGISTRY, "mine"]


def test_import_twice_is_import_once(folder, file):
    assert weights.import_file(file) == weights.import_file(file)
    assert sorted(path.name for path in folder.iterdir()) == ["mine.pt", "weights-lock.json"]


def test_known_contents_are_recognised_under_another_name(folder, file, tmp_path):
    weights.import_file(file)
    copy = shutil.copy(file, tmp_path / "copy.pt")
    assert weights.import_file(copy).name == "mine"
    assert weights.load_state(tmp_path / "copy.pt")[1].name == "mine"


def test_safetensors_keep_their_card_and_ending(folder, tmp_path):
    save_file(STATE, tmp_path / "x.bin", metadata={"license": "MIT"})
    info = weights.import_file(tmp_path / "x.bin", name="net-2")
    assert info.path == folder / "net-2.safetensors"
    assert info.licence == "MIT"
    assert weights.load_state("net-2")[1] == info


def test_another_file_under_a_taken_name_is_refused(folder, file, tmp_path):
    first = weights.import_file(file)
    torch.save({"w": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match="--name") as caught:
        weights.import_file(tmp_path / "other.pt", name="mine")
    assert first.sha256 in str(caught.value)
    assert sum_of(tmp_path / "other.pt") in str(caught.value)
    assert weights.load_state("mine")[1] == first
    with pytest.raises(WeightsError, match="which other weights have"):
        weights.import_file(tmp_path / "other.pt", name="MINE")


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "x" * 101, "a b", "a\n"])
def test_name_must_be_a_plain_file_name(folder, file, tmp_path, name):
    if name:
        with pytest.raises(WeightsError, match="cannot be used"):
            weights.import_file(file, name=name)
    file.rename(tmp_path / "a b.pt")
    with pytest.raises(WeightsError, match="--name"):
        weights.import_file(tmp_path / "a b.pt")
    assert not folder.exists()


def test_bad_file_is_not_imported(folder, file):
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(WeightsError, match="damaged"):
        weights.import_file(file)
    assert not folder.exists()


def test_file_whose_tensors_are_bad_leaves_nothing_behind(folder, tmp_path):
    torch.save({"w": torch.zeros(1).expand(10**6, 10**6)}, tmp_path / "spread.pt")
    with pytest.raises(WeightsError, match="larger than its data"):
        weights.import_file(tmp_path / "spread.pt")
    assert not folder.exists()


def test_import_onto_a_full_disk(folder, file, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(WeightsError, match="disk is full"):
        weights.import_file(file)
    assert list(folder.iterdir()) == []


def test_window_takes_files_in_without_torch(folder, file, official):
    code = (
        "import sys; from pathlib import Path; from napari_regcon.engine import weights; "
        f"official, mine = Path({str(official)!r}), Path({str(file)!r}); "
        "assert weights.recognise(official).name == 'universeg-v1'; "
        "assert weights.recognise(mine) is None; "
        "weights.copy_in(official, accept_licence=True); "
        "assert weights.copy_in(mine).name == 'mine'; "
        "assert weights.fetch('mine', progress=False).exists(); "
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert weights.load_state("mine")[1].card == {"licence": "CC-BY-4.0"}
    assert weights.load_state("universeg-v1")[1].n_tensors == 2


def test_official_file_got_by_hand_is_imported_under_its_name(folder, official):
    with pytest.raises(WeightsError, match=r"OpenRAIL\+\+-M"):
        weights.import_file(official)
    info = weights.import_file(official, accept_licence=True)
    assert info.name == "universeg-v1"
    assert info.path == folder / official.name
    assert "OpenRAIL++-M" in info.licence
    assert weights.load_state("universeg-v1")[1] == info
    assert weights.fetch("universeg-v1", progress=False) == info.path


def test_official_file_put_in_its_place_by_hand(folder, official):
    folder.mkdir()
    official.rename(folder / official.name)
    with pytest.raises(WeightsError, match="accepted once"):
        weights.load_state("universeg-v1")
    weights.fetch("universeg-v1", progress=False, accept_licence=True)
    assert weights.load_state("universeg-v1")[1].sha256 == sum_of(folder / official.name)


def test_licence_also_holds_for_the_file_itself(folder, official):
    with pytest.raises(WeightsError, match=r"OpenRAIL\+\+-M"):
        weights.load_state(official)
    weights.import_file(official, accept_licence=True)
    assert weights.load_state(official)[1].name == "universeg-v1"


def test_missing_weights_say_where_they_are_expected(folder):
    with pytest.raises(WeightsError) as caught:
        weights.load_state("universeg-v1")
    entry = weights.find("universeg-v1")
    for words in (
        str(folder / entry.file_name),
        "weights fetch universeg-v1",
        "weights import FILE --name universeg-v1",
        entry.url,
    ):
        assert words in str(caught.value)


def test_missing_import_has_to_be_imported_again(folder, file):
    weights.import_file(file).path.unlink()
    with pytest.raises(WeightsError, match="import FILE --name mine"):
        weights.load_state("mine")
    with pytest.raises(WeightsError, match="import FILE --name mine"):
        weights.fetch("mine", progress=False)
    weights.import_file(file)
    assert weights.load_state("mine")[1].n_tensors == 2


def test_changed_file_is_refused(folder, file):
    info = weights.import_file(file)
    torch.save({"w": torch.zeros(2)}, info.path)
    with pytest.raises(WeightsError, match="as first seen") as caught:
        weights.load_state("mine")
    assert info.sha256 in str(caught.value)
    assert sum_of(info.path) in str(caught.value)


def test_any_file_is_loaded_by_its_path(folder, file, monkeypatch):
    state, info = weights.load_state(file)
    assert (info.name, info.path, info.licence) == ("mine", file, "CC-BY-4.0")
    monkeypatch.chdir(file.parent)
    assert weights.load_state("mine.pth")[0].keys() == state.keys()
    assert not folder.exists()


def test_file_without_a_licence_says_so(folder, tmp_path):
    torch.save(STATE, tmp_path / "plain.pt")
    assert weights.load_state(tmp_path / "plain.pt")[1].licence == "not stated"


def test_name_comes_before_a_file_of_the_same_name(folder, file, tmp_path, monkeypatch):
    weights.import_file(file)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").write_text("not weights")
    assert weights.load_state("mine")[1].n_tensors == 2


@pytest.mark.parametrize("name", ["nothing-here", "nothing.pt", "x" * 5000, "~nobody-here/x.pt"])
def test_neither_name_nor_file(folder, name):
    with pytest.raises(WeightsError, match="There are no weights called"):
        weights.load_state(name)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"files": {"x": {}}, "accepted": {}}',
        json.dumps({"files": {"x": STORED | {"file_name": "../x"}}, "accepted": {}}),
        json.dumps({"files": {"../x": STORED}, "accepted": {}}),
        '{"files": {}, "accepted": []}',
    ],
)
def test_damaged_lock_file_is_named(folder, text):
    folder.mkdir()
    (folder / "weights-lock.json").write_text(text)
    with pytest.raises(WeightsError, match=r"weights-lock\.json is damaged"):
        weights.load_state("universeg-v1")


def test_lock_file_is_plain_to_read(folder, file):
    info = weights.import_file(file)
    lock = json.loads((folder / "weights-lock.json").read_text())
    stored = {
        "file_name": "mine.pt",
        "sha256": info.sha256,
        "size_bytes": info.size_bytes,
        "source": "import",
    }
    assert lock == {"files": {"mine": stored}, "accepted": {}}


def test_lock_file_that_cannot_be_read_or_written(folder, file, official):
    (folder / "weights-lock.json").mkdir(parents=True)
    with pytest.raises(WeightsError, match="cannot be read"):
        weights.import_file(file)


def test_weights_of_ones_own_can_be_deleted_and_those_that_ship_cannot(folder, file):
    weights.import_file(file)
    weights.remove("mine")
    assert not (folder / "mine.pt").exists()
    with pytest.raises(WeightsError, match="no weights called"):
        weights.remove("mine")
    with pytest.raises(WeightsError, match="ship with the plugin"):
        weights.remove("regcon-em")
