from __future__ import annotations

import os
import subprocess
import sys

import pytest

from napari_regcon.session import store


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(store.DIR_VARIABLE, str(tmp_path / "sessions"))
    return tmp_path / "sessions"


def make(fingerprint, age_s):
    path = store.new_session_path(fingerprint)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")
    store.final_path(path).write_bytes(b"y")
    os.utime(path, (1e9 - age_s, 1e9 - age_s))
    return path


def test_the_newest_session_comes_first():
    paths = [make("abc", age) for age in (30, 10, 20)]
    make("other", 0)
    assert store.saved_sessions("abc") == [paths[1], paths[2], paths[0]]
    assert store.saved_sessions("none") == []


def test_old_sessions_go_with_their_labels(folder):
    paths = [make("abc", age) for age in range(8)]
    store.remove_old("abc", keep=paths[7])
    left = store.saved_sessions("abc")
    assert left == [*paths[:5], paths[7]]
    assert len(list(folder.iterdir())) == 12


def holder(path):
    """Return a process that holds a session until it is ended."""
    code = (
        "import sys, time; from pathlib import Path; from napari_regcon.session import store\n"
        "lock = store.hold(Path(sys.argv[1])); print(lock is not None, flush=True); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"True\n"
    return process


def test_a_session_is_held_until_its_process_ends_however_that_ends():
    path = make("abc", 0)
    assert not store.is_held(path)
    with holder(path) as process:
        assert store.is_held(path)
        assert store.hold(path) is None
        process.kill()
    assert not store.is_held(path)


def test_a_session_is_held_against_docks_of_the_same_process(folder):
    path = make("abc", 0)
    lock = store.hold(path)
    assert store.is_held(path)
    assert store.hold(path) is None
    store.let_go(lock)
    assert not store.is_held(path)
    assert sorted(p.suffix for p in folder.iterdir()) == [".npy", ".regcon"]


def test_sessions_that_are_worked_on_are_not_removed():
    paths = [make("abc", age) for age in range(7)]
    lock = store.hold(paths[6])
    store.remove_old("abc", keep=paths[0])
    assert store.saved_sessions("abc") == [*paths[:5], paths[6]]
    store.let_go(lock)


def test_all_images_together_are_bounded(folder, monkeypatch):
    monkeypatch.setattr(store, "MOST_FILES", 3)
    paths = [make(f"image{i}", i) for i in range(6)]
    store.remove_old("image0", keep=paths[0])
    assert sorted(p for p in folder.glob("*.regcon")) == sorted(paths[:3])


def test_without_the_variable_it_is_the_users_folder(monkeypatch):
    monkeypatch.delenv(store.DIR_VARIABLE)
    assert store.sessions_dir().name == "sessions"
