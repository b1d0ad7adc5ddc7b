from __future__ import annotations

import os

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


def test_all_images_together_are_bounded(folder, monkeypatch):
    monkeypatch.setattr(store, "MOST_FILES", 3)
    paths = [make(f"image{i}", i) for i in range(6)]
    store.remove_old("image0", keep=paths[0])
    assert sorted(p for p in folder.glob("*.regcon")) == sorted(paths[:3])


def test_without_the_variable_it_is_the_users_folder(monkeypatch):
    monkeypatch.delenv(store.DIR_VARIABLE)
    assert store.sessions_dir().name == "sessions"
