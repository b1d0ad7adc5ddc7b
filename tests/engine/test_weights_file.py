"""Files that are whole, damaged, foreign or hostile."""

import io
import os
import pickle
import struct
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from napari_regcon.engine import weights_check, weights_file
from napari_regcon.engine.weights_check import check_file
from napari_regcon.engine.weights_file import read_state
from napari_regcon.errors import WeightsError

STATE = {
    "conv.weight": torch.arange(12, dtype=torch.float32).reshape(3, 4),
    "conv.bias": torch.tensor([1, -2], dtype=torch.int64),
    "half": torch.tensor([0.5], dtype=torch.float16),
    "brain": torch.tensor([0.25], dtype=torch.bfloat16),
    "flag": torch.tensor(True),
}


def save(path, content, **options):
    torch.save(content, path, **options)
    return path


def parts_of(path):
    with zipfile.ZipFile(path) as archive:
        return {part.filename: archive.read(part) for part in archive.infolist()}


def write_parts(path, parts, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return path


def with_listing(path, listing):
    """Write a whole archive whose pickle is another, with the right checksums."""
    parts = parts_of(save(path, {"a": torch.arange(4.0)}))
    return write_parts(
        path, {n: listing if n.endswith("data.pkl") else d for n, d in parts.items()}
    )


def assert_same(state, expected):
    assert list(state) == list(expected)
    for name, tensor in expected.items():
        assert state[name].dtype == tensor.dtype
        assert torch.equal(state[name], tensor)


@pytest.fixture
def torch_file(tmp_path):
    return save(tmp_path / "good.pt", STATE)


def test_torch_file_comes_back_as_it_was(torch_file):
    state, card = read_state(torch_file)
    assert_same(state, STATE)
    assert card == {}
    assert check_file(torch_file) == "torch"


def test_safetensors_file_comes_back_with_its_card(tmp_path):
    path = tmp_path / "good.safetensors"
    save_file(STATE, path, metadata={"licence": "MIT"})
    state, card = read_state(path)
    assert_same({name: state[name] for name in STATE}, STATE)
    assert card == {"licence": "MIT"}
    assert check_file(path) == "safetensors"


def test_safetensors_file_with_another_name(tmp_path):
    save_file(STATE, tmp_path / "good.pt")
    assert check_file(tmp_path / "good.pt") == "safetensors"
    state, _ = read_state(tmp_path / "good.pt")
    assert_same({name: state[name] for name in STATE}, STATE)


def test_torch_file_with_the_name_of_the_other_format_is_told(tmp_path, torch_file):
    path = torch_file.rename(tmp_path / "good.safetensors")
    with pytest.raises(WeightsError, match=r"rename it to end in \.pt"):
        read_state(path)


def test_tensors_do_not_hang_on_the_file(torch_file):
    state, _ = read_state(torch_file)
    size = torch_file.stat().st_size
    with torch_file.open("r+b") as file:
        file.write(b"\xff" * size)
    assert_same(state, STATE)


def test_parameters_and_views_become_plain_tensors(tmp_path):
    big = torch.arange(100.0)
    content = {"p": torch.nn.Parameter(torch.ones(2)), "v": big[10:20:2], "t": torch.eye(3)[:2].T}
    state, _ = read_state(save(tmp_path / "views.pt", content))
    assert type(state["p"]) is torch.Tensor
    assert not state["p"].requires_grad
    assert state["v"].tolist() == [10, 12, 14, 16, 18]
    assert state["t"].is_contiguous()


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict", "model", "weights"])
def test_common_layouts_are_unwrapped_and_the_rest_is_the_card(tmp_path, wrapper):
    content = {
        wrapper: STATE,
        "epoch": 3,
        "card": {"licence": "CC-BY-4.0", "dice": 0.9},
        "optimizer": {"state": {0: torch.zeros(3)}},
    }
    state, card = read_state(save(tmp_path / "checkpoint.pt", content))
    assert_same(state, STATE)
    assert card == {"epoch": 3, "licence": "CC-BY-4.0", "dice": 0.9}


def test_names_given_by_parallel_training_lose_their_prefix(tmp_path):
    content = {f"module.{name}": tensor for name, tensor in STATE.items()}
    assert_same(read_state(save(tmp_path / "parallel.pt", content))[0], STATE)


# ----------------------------------------------------------------------------- damaged


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("kind", ["torch", "safetensors"])
def test_truncated_file(tmp_path, kind, keep):
    path = tmp_path / "cut"
    if kind == "torch":
        save(path, STATE)
    else:
        save_file(STATE, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(WeightsError, match="cut"):
        read_state(path)


def test_one_wrong_bit_in_a_tensor_is_noticed(torch_file):
    data = bytearray(torch_file.read_bytes())
    position = data.index(struct.pack("<4f", 0, 1, 2, 3))
    data[position + 5] ^= 1
    torch_file.write_bytes(data)
    with pytest.raises(WeightsError, match="checksum of its part"):
        read_state(torch_file)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(WeightsError, match="cannot be read"):
        read_state(tmp_path / "nothing.pt")
    with pytest.raises(WeightsError, match="not a file"):
        read_state(tmp_path)


def test_size_is_checked_before_reading(tmp_path, monkeypatch):
    path = save(tmp_path / "large.pt", {"a": torch.zeros(1000)})
    monkeypatch.setattr(weights_check, "MAX_BYTES", 4000)
    with pytest.raises(WeightsError, match="at most"):
        check_file(path)


# ----------------------------------------------------------------------------- foreign


def png(path):
    Image.new("L", (4, 4)).save(path, format="png")


def tiff(path):
    Image.new("L", (4, 4)).save(path, format="tiff")


def npz(path):
    with path.open("wb") as file:
        np.savez(file, a=np.zeros(3))


FOREIGN = {
    "a PNG image": png,
    "a TIFF image": tiff,
    "ZIP archive, but not one with weights": npz,
    "a NumPy file": lambda path: path.write_bytes(b"\x93NUMPY\x01\x00v\x00{'descr'"),
    "a web page": lambda path: path.write_bytes(b"<!DOCTYPE html><html></html>"),
    "has an unknown format": lambda path: path.write_bytes(os.urandom(7) + b"no weights at all"),
    "is empty": lambda path: path.touch(),
    "bare Python pickle": lambda path: path.write_bytes(pickle.dumps({"a": 1})),
    "before version 1.6": lambda path: torch.save(
        STATE, path, _use_new_zipfile_serialization=False
    ),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_foreign_file_is_named_for_what_it_is(tmp_path, what):
    path = tmp_path / "weights.pt"
    FOREIGN[what](path)
    with pytest.raises(WeightsError, match=what):
        read_state(path)


def test_program_is_not_weights(tmp_path):
    path = tmp_path / "program.pt"
    write_parts(path, {"p/data.pkl": b".", "p/constants.pkl": b".", "p/code/x.py": b""})
    with pytest.raises(WeightsError, match="TorchScript"):
        read_state(path)


@pytest.mark.parametrize("content", [torch.zeros(3), [torch.zeros(3)], {}, "words", None, 7])
def test_not_a_state_dict(tmp_path, content):
    with pytest.raises(WeightsError, match="Expected a state dict"):
        read_state(save(tmp_path / "other.pt", content))


def test_something_else_among_the_tensors(tmp_path):
    with pytest.raises(WeightsError, match="'steps' of type int"):
        read_state(save(tmp_path / "mixed.pt", {"a": torch.zeros(1), "steps": 3}))


# ----------------------------------------------------------------------------- hostile


class Evil:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return (os.system, (self.command,))


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_code_in_a_file_is_named_and_never_run(tmp_path, protocol):
    proof = tmp_path / "proof"
    path = tmp_path / "evil.pt"
    with_listing(path, pickle.dumps({"a": Evil(f"echo > {proof}")}, protocol))
    with pytest.raises(WeightsError, match=r"\.system'.*Nothing in it was run"):
        read_state(path)
    assert not proof.exists()


def test_code_in_a_bare_pickle_is_never_run(tmp_path):
    proof = tmp_path / "proof"
    path = tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps(Evil(f"echo > {proof}")))
    with pytest.raises(WeightsError, match="bare Python pickle"):
        read_state(path)
    assert not proof.exists()


def test_code_behind_a_name_that_only_looks_allowed_is_never_run(tmp_path):
    """The two strings before are harmless; the two on the stack come from the memo."""
    proof = tmp_path / "proof"

    def text(value, slot):
        return b"X" + struct.pack("<I", len(value)) + value + b"q" + bytes([slot])

    command = f"echo > {proof}".encode()
    listing = b"\x80\x04" + text(os.system.__module__.encode(), 0) + text(b"system", 1)
    listing += text(b"collections", 2) + text(b"OrderedDict", 3)
    listing += b"h\x00h\x01\x93" + text(command, 4) + b"\x85R."
    path = with_listing(tmp_path / "evil.pt", listing)
    with pytest.warns(UserWarning, match="protocol 4"), pytest.raises(WeightsError):
        read_state(path)
    assert not proof.exists()


def test_memory_at_will_is_refused(tmp_path):
    huge = b"\x80\x02cbuiltins\nbytearray\n\x8a\x06" + (2**40).to_bytes(6, "little") + b"\x85R."
    with pytest.raises(WeightsError, match=r"builtins\.bytearray"):
        read_state(with_listing(tmp_path / "huge.pt", huge))


@pytest.mark.parametrize("n", [10**6, 2**31 - 1, -1, -(2**31)])
def test_tensor_that_claims_more_than_there_is(tmp_path, n):
    path = save(tmp_path / "lies.pt", {"a": torch.arange(4.0)})
    listing = parts_of(path)["lies/data.pkl"]
    claim = b"J" + struct.pack("<i", n)
    tensor_only = listing.replace(b"K\x04\x85", claim + b"\x85")
    both = listing.replace(b"K\x04", claim)
    assert len({listing, tensor_only, both}) == 3
    for lie in (tensor_only, both):
        with pytest.raises(WeightsError, match="damaged"):
            read_state(with_listing(path, lie))


def test_one_number_spread_over_a_huge_shape(tmp_path):
    path = save(tmp_path / "spread.pt", {"a": torch.zeros(1).expand(10**6, 10**6)})
    with pytest.raises(WeightsError, match="larger than its data"):
        read_state(path)


def test_many_tensors_that_share_one_block_are_bounded(tmp_path, monkeypatch):
    path = save(tmp_path / "many.pt", dict.fromkeys(map(str, range(100)), torch.zeros(1000)))
    assert path.stat().st_size < 50_000
    monkeypatch.setattr(weights_file, "MAX_BYTES", 100_000)
    with pytest.raises(WeightsError, match="more memory than"):
        read_state(path)


def test_sparse_tensor_is_refused(tmp_path):
    sparse = torch.sparse_coo_tensor([[0]], [1.0], (10**6,), check_invariants=True)
    with pytest.raises(WeightsError, match="weights do not need"):
        read_state(save(tmp_path / "sparse.pt", {"a": sparse}))


def test_compressed_bomb(tmp_path):
    parts = parts_of(save(tmp_path / "b.pt", STATE)) | {"b/data/0": bytes(20_000_000)}
    path = write_parts(tmp_path / "bomb.pt", parts, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    with pytest.raises(WeightsError, match="compressed"):
        read_state(path)


def test_archive_that_claims_more_than_the_file(tmp_path, torch_file):
    path = tmp_path / "overlap.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts_of(torch_file).items():
            archive.writestr(name, data)
        archive.filelist[-1].file_size = archive.filelist[-1].compress_size = 10**9
    with pytest.raises(WeightsError, match="more than the file"):
        read_state(path)


def test_two_listings_that_readers_could_confuse(tmp_path, torch_file):
    parts = parts_of(torch_file)
    parts["good/DATA.PKL"] = pickle.dumps(Evil("true"), 2)
    with pytest.raises(WeightsError, match="same name"):
        read_state(write_parts(tmp_path / "two.pt", parts))


def test_endless_list_of_tensors(tmp_path, monkeypatch):
    monkeypatch.setattr(weights_check, "_MAX_HEADER_BYTES", 100)
    with pytest.raises(WeightsError, match="not one with weights"):
        read_state(save(tmp_path / "long.pt", STATE))


@pytest.mark.parametrize("claimed", [2**63, 10**9, 9 * 1024**2, 60])
def test_safetensors_header_that_claims_too_much(tmp_path, claimed):
    path = tmp_path / "header.safetensors"
    path.write_bytes(struct.pack("<Q", claimed) + b"{" + b" " * 50)
    with pytest.raises(WeightsError, match="header claims"):
        read_state(path)


def test_safetensors_shape_that_does_not_fit_its_data(tmp_path):
    header = b'{"a":{"dtype":"F32","shape":[1000000,1000000],"data_offsets":[0,4]}}'
    path = tmp_path / "shape.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(WeightsError, match="damaged"):
        read_state(path)


def test_unreadable_name(tmp_path):
    with pytest.raises(WeightsError, match="unreadable name"):
        read_state(save(tmp_path / "name.pt", {"\x1b[2J gone": torch.zeros(1)}))


# ----------------------------------------------------------------------------- fuzz


def _good_files():
    buffer = io.BytesIO()
    torch.save({"state_dict": STATE, "epoch": 1}, buffer)
    with tempfile.TemporaryDirectory() as folder:
        save_file(STATE, Path(folder) / "x")
        return [buffer.getvalue(), (Path(folder) / "x").read_bytes()]


GOOD_FILES = _good_files()
EDIT = st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 30), st.binary(max_size=12))


def edited(data, edits):
    for where, n_removed, inserted in edits:
        start = int(where * len(data))
        data = data[:start] + inserted + data[start + n_removed :]
    return data


def read_bytes(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fuzz.pt"
        path.write_bytes(data)
        return read_state(path)[0]


@settings(max_examples=150, deadline=None)
@given(good=st.sampled_from(GOOD_FILES), edits=st.lists(EDIT, max_size=4))
def test_damaged_bytes_are_read_or_refused_and_nothing_else(good, edits):
    try:
        state = read_bytes(edited(good, edits))
    except WeightsError as error:
        assert error.what  # noqa: PT017 - the other outcome is as good
    else:
        assert all(isinstance(tensor, torch.Tensor) for tensor in state.values())


@settings(max_examples=150, deadline=None)
@given(edits=st.lists(EDIT, min_size=1, max_size=3))
def test_damaged_lists_with_right_checksums_are_read_or_refused(edits):
    with zipfile.ZipFile(io.BytesIO(GOOD_FILES[0])) as archive:
        parts = {part.filename: archive.read(part) for part in archive.infolist()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, edited(data, edits) if name.endswith("data.pkl") else data)
    try:
        state = read_bytes(buffer.getvalue())
    except WeightsError as error:
        assert error.what  # noqa: PT017 - the other outcome is as good
    else:
        assert all(isinstance(tensor, torch.Tensor) for tensor in state.values())
