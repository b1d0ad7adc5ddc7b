"""Fetching, against a real server that cuts, lies, stalls and refuses."""

import errno
import hashlib
import io
import os
import socket
import time
from pathlib import Path

import pytest
import torch

from napari_regcon.engine import weights, weights_fetch
from napari_regcon.errors import WeightsError
from napari_regcon.types import Finished, Note, Progress
from weights_server import Answer, serve

SIZE_BYTES = 600_000


@pytest.fixture(scope="module")
def body():
    """A weights file of a size that travels in several parts."""
    buffer = io.BytesIO()
    torch.save({"w": torch.arange(SIZE_BYTES // 4, dtype=torch.float32)}, buffer)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty weights folder that does not exist yet, and a network that may be used."""
    folder = tmp_path / "weights"
    monkeypatch.setenv("NAPARI_REGCON_WEIGHTS_DIR", str(folder))
    monkeypatch.delenv("NAPARI_REGCON_OFFLINE", raising=False)
    monkeypatch.setattr(weights_fetch, "RETRY_WAIT_S", 0.0)
    return folder


@pytest.fixture
def register(monkeypatch):
    def add(url, **changes):
        values = {
            "name": "toy",
            "task": "tests",
            "method": "in-context",
            "licence": "MIT",
            "licence_url": "https://example.org/licence",
            "research_only": False,
            "size_bytes": SIZE_BYTES,
            "sha256": None,
            "url": url,
            "packaged_file": None,
            "citation": "nobody",
            "version": "1",
        }
        entry = weights.WeightsEntry(**values | changes)
        monkeypatch.setitem(weights.REGISTRY, entry.name, entry)
        return entry

    return add


def sum_of(data):
    return hashlib.sha256(data).hexdigest()


def names_in(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_fetched_file_is_whole_and_its_sum_is_recorded(folder, register, body):
    with serve(Answer(body)) as server:
        register(server.url)
        path = weights.fetch("toy", progress=False)
    assert path == folder / "toy_v1.pt"
    assert path.read_bytes() == body
    assert names_in(folder) == ["toy_v1.pt", "weights-lock.json"]
    assert weights.known_sum(weights.find("toy")) == sum_of(body)
    state, info = weights.load_state("toy")
    assert state["w"][-1] == SIZE_BYTES // 4 - 1
    assert (info.name, info.sha256, info.licence) == ("toy", sum_of(body), "MIT")


def test_events_tell_how_far_it_is(folder, register, body):
    with serve(Answer(body)) as server:
        register(server.url)
        events = []
        weights.fetch("toy", progress=events.append)
    *steps, last = events
    assert all(isinstance(step, Progress) and step.what == "bytes" for step in steps)
    assert steps[-1].done == steps[-1].total == len(body)
    assert isinstance(last, Finished)
    assert last.outputs == (folder / "toy_v1.pt",)


def test_bar_is_for_people_and_does_not_change_the_result(folder, register, body, capsys):
    with serve(Answer(body)) as server:
        register(server.url)
        path = weights.fetch("toy")
    assert path.read_bytes() == body
    assert capsys.readouterr().out == ""


def test_second_fetch_needs_no_server(folder, register, body):
    with serve(Answer(body)) as server:
        register(server.url)
        first = weights.fetch("toy", progress=False)
    assert weights.fetch("toy", progress=False) == first
    assert len(server.requests) == 1


def test_cut_connection_is_tried_again_from_the_start(folder, register, body):
    with serve(Answer(body, cut_after=300_000), Answer(body)) as server:
        register(server.url, sha256=sum_of(body))
        events = []
        path = weights.fetch("toy", progress=events.append)
    assert path.read_bytes() == body
    assert len(server.requests) == 2
    [note] = [event for event in events if isinstance(event, Note)]
    assert "trying again" in note.text


def test_connection_that_is_always_cut_leaves_nothing_behind(folder, register, body):
    with serve(Answer(body, cut_after=300_000)) as server:
        entry = register(server.url)
        with pytest.raises(WeightsError, match="connection broke") as caught:
            weights.fetch("toy", progress=False)
    assert len(server.requests) == weights_fetch.ATTEMPTS
    assert names_in(folder) == []
    assert "weights import FILE --name toy" in str(caught.value)
    assert str(weights.path_of(entry)) in str(caught.value)


def test_cut_answer_without_a_length_is_noticed_by_its_contents(folder, register, body):
    with serve(Answer(body, cut_after=300_000, headers={"Content-Length": None})) as server:
        register(server.url)
        with pytest.raises(WeightsError, match="damaged or incomplete"):
            weights.fetch("toy", progress=False)
    assert names_in(folder) == []


def test_wrong_published_sum_is_explained_with_both_sums(folder, register, body):
    with serve(Answer(body)) as server:
        register(server.url, sha256="0" * 64)
        with pytest.raises(WeightsError) as caught:
            weights.fetch("toy", progress=False)
    assert "0" * 64 in str(caught.value)
    assert sum_of(body) in str(caught.value)
    assert names_in(folder) == []


def test_published_sum_in_capitals_is_the_same_sum(folder, register, body):
    with serve(Answer(body)) as server:
        register(server.url, sha256=sum_of(body).upper())
        assert weights.fetch("toy", progress=False).read_bytes() == body


def test_file_that_changed_on_the_server_since_the_first_fetch_is_refused(folder, register, body):
    other = io.BytesIO()
    torch.save({"w": torch.zeros(3)}, other)
    with serve(Answer(body), Answer(other.getvalue())) as server:
        register(server.url)
        path = weights.fetch("toy", progress=False)
        path.unlink()
        with pytest.raises(WeightsError, match="as first seen") as caught:
            weights.fetch("toy", progress=False)
    assert sum_of(body) in str(caught.value)
    assert sum_of(other.getvalue()) in str(caught.value)
    assert not path.exists()


def test_file_that_was_damaged_on_disk_is_fetched_anew(folder, register, body):
    with serve(Answer(body)) as server:
        register(server.url)
        path = weights.fetch("toy", progress=False)
        path.write_bytes(body[:1000])
        events = []
        weights.fetch("toy", progress=events.append)
    assert path.read_bytes() == body
    assert isinstance(events[0], Note)


def test_damaged_file_stays_where_the_network_fails(folder, register, body):
    with serve(Answer(body)) as server:
        register(server.url)
        path = weights.fetch("toy", progress=False)
    path.write_bytes(body[:-1])
    with pytest.raises(WeightsError, match="could not be fetched"):
        weights.fetch("toy", progress=False)
    assert names_in(folder) == ["toy_v1.pt", "weights-lock.json"]


def test_server_that_sends_on_to_another_address(folder, register, body):
    moved = Answer(status=302, headers={"Location": "/elsewhere.pt?key=1"})
    with serve(moved, Answer(body)) as server:
        register(server.url)
        path = weights.fetch("toy", progress=False)
    assert server.requests == ["/toy_v1.pt", "/elsewhere.pt?key=1"]
    assert path == folder / "toy_v1.pt"
    assert path.read_bytes() == body


def test_nonsense_from_the_server(folder, register, body):
    with serve(Answer(body, headers={"Content-Length": "many"})) as server:
        register(server.url)
        with pytest.raises(WeightsError):
            weights.fetch("toy", progress=False)
    assert names_in(folder) == []


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (403, 1), (503, 3)])
def test_refusal_is_explained_and_only_hiccups_are_tried_again(folder, register, status, requests):
    with serve(Answer(b"no", status=status)) as server:
        register(server.url)
        with pytest.raises(WeightsError, match=f"server answered {status}") as caught:
            weights.fetch("toy", progress=False)
    assert len(server.requests) == requests
    assert server.url in str(caught.value)
    assert names_in(folder) == []


def test_web_page_instead_of_weights_is_not_recorded(folder, register, body):
    page = b"<!DOCTYPE html><html>Please log in to the hotel network</html>"
    with serve(Answer(page), Answer(body)) as server:
        register(server.url)
        with pytest.raises(WeightsError, match="web page"):
            weights.fetch("toy", progress=False)
        assert names_in(folder) == []
        assert weights.fetch("toy", progress=False).read_bytes() == body


def test_server_that_is_not_there(folder, register):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    entry = register(f"http://127.0.0.1:{port}/toy_v1.pt")
    with pytest.raises(WeightsError, match="not reached") as caught:
        weights.fetch("toy", progress=False)
    assert str(weights.path_of(entry)) in str(caught.value)
    assert "weights import" in str(caught.value)
    assert names_in(folder) == []


def test_offline_is_obeyed_before_the_network_is_touched(folder, register, body, monkeypatch):
    monkeypatch.setenv("NAPARI_REGCON_OFFLINE", "1")
    with serve(Answer(body)) as server:
        entry = register(server.url)
        with pytest.raises(WeightsError, match="NAPARI_REGCON_OFFLINE") as caught:
            weights.fetch("toy", progress=False)
    assert server.requests == []
    assert str(weights.path_of(entry)) in str(caught.value)


def test_research_only_licence_is_shown_and_accepted_once(folder, register, body):
    with serve(Answer(body)) as server:
        register(server.url, research_only=True, licence="Only for research 1.0")
        with pytest.raises(WeightsError, match=r"Only for research 1\.0") as caught:
            weights.fetch("toy", progress=False)
        assert "https://example.org/licence" in str(caught.value)
        assert server.requests == []
        path = weights.fetch("toy", progress=False, accept_licence=True)
        path.unlink()
        assert weights.fetch("toy", progress=False) == path
    assert weights.load_state("toy")[1].licence == "Only for research 1.0"


def test_changed_licence_has_to_be_accepted_again(folder, register, body):
    with serve(Answer(body)) as server:
        register(server.url, research_only=True, licence="first")
        weights.fetch("toy", progress=False, accept_licence=True)
        register(server.url, research_only=True, licence="second")
        with pytest.raises(WeightsError, match="second"):
            weights.load_state("toy")


class FullDisk(io.FileIO):
    """A file on a disk that takes 100 kB and no more."""

    room = 100_000

    def write(self, data):
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


def test_full_disk_is_said_plainly_and_leaves_nothing_behind(folder, register, body, monkeypatch):
    real_open = Path.open

    def open_on_full_disk(self, mode="r", *args, **kwargs):
        return FullDisk(self, "xb") if mode == "xb" else real_open(self, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", open_on_full_disk)
    with serve(Answer(body)) as server:
        register(server.url)
        with pytest.raises(WeightsError, match="disk is full"):
            weights.fetch("toy", progress=False)
    assert len(server.requests) == 1
    assert names_in(folder) == []


@pytest.mark.parametrize("research_only", [False, True])
def test_folder_that_cannot_be_made(tmp_path, register, body, monkeypatch, folder, research_only):
    (tmp_path / "a file").write_text("in the way")
    monkeypatch.setenv("NAPARI_REGCON_WEIGHTS_DIR", str(tmp_path / "a file" / "weights"))
    with serve(Answer(body)) as server:
        register(server.url, research_only=research_only)
        with pytest.raises(WeightsError, match="NAPARI_REGCON_WEIGHTS_DIR"):
            weights.fetch("toy", progress=False, accept_licence=True)


def test_endless_answer_is_stopped(folder, register, body, monkeypatch):
    monkeypatch.setattr(weights_fetch, "MAX_BYTES", 200_000)
    with serve(Answer(body)) as server:
        register(server.url)
        with pytest.raises(WeightsError, match="more than any weights need"):
            weights.fetch("toy", progress=False)
    assert names_in(folder) == []


def test_cancel_answers_at_once_even_if_the_server_is_silent(folder, register, body):
    with serve(Answer(body, stall_after=300_000)) as server:
        register(server.url)
        events = weights.iter_fetch("toy")
        while not server.stalled.is_set():
            next(events)
        next(events)
        start = time.monotonic()
        events.close()
        # Else it would wait for the server that long, at least.
        assert time.monotonic() - start < weights_fetch.TIMEOUT_S / 2
        assert not (folder / "toy_v1.pt").exists()
    deadline = time.monotonic() + 30
    while names_in(folder) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert names_in(folder) == []


def test_silent_server_counts_as_cut(folder, register, body, monkeypatch):
    monkeypatch.setattr(weights_fetch, "TIMEOUT_S", 0.2)
    with serve(Answer(body, stall_after=300_000), Answer(body)) as server:
        register(server.url)
        assert weights.fetch("toy", progress=False).read_bytes() == body


def test_leftovers_of_killed_programs_are_removed_and_running_ones_left(folder, register, body):
    folder.mkdir()
    old, new = folder / "toy_v1.pt.00000000.part", folder / "toy_v1.pt.11111111.part"
    for part in (old, new):
        part.write_bytes(b"half")
    two_days_ago = time.time() - 2 * 24 * 3600
    os.utime(old, (two_days_ago, two_days_ago))
    with serve(Answer(body)) as server:
        register(server.url)
        weights.fetch("toy", progress=False)
    assert names_in(folder) == ["toy_v1.pt", new.name, "weights-lock.json"]


def test_weights_in_the_package_need_no_network(folder, register, body, monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.resources.files", lambda _: tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "em.pt").write_bytes(body)
    register(None, packaged_file="models/em.pt", sha256=sum_of(body))
    assert weights.fetch("toy", progress=False) == tmp_path / "models" / "em.pt"
    assert weights.load_state("toy")[1].sha256 == sum_of(body)
    (tmp_path / "models" / "em.pt").write_bytes(body[:-1])
    with pytest.raises(WeightsError):
        weights.fetch("toy", progress=False)


def test_unknown_name_lists_the_known_ones(folder):
    with pytest.raises(WeightsError, match="universeg-v1"):
        weights.fetch("no-such-weights")


def test_official_entry_is_complete():
    entry = weights.REGISTRY["universeg-v1"]
    assert entry.file_name == "universeg_v1_nf64_ss64_STA.pt"
    assert entry.research_only
    assert entry.url.startswith("https://")
    assert "OpenRAIL++-M" in entry.licence
