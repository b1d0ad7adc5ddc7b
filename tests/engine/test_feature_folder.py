"""Feature tiles on disk: found again, bounded, and no harm from what goes wrong there."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import zarr

from napari_regcon.engine.feature_folder import DIR_VARIABLE, FeatureFolder, default_cache_dir

TILE_BYTES = 4 * 16 * 16 * 2


def tile(seed=0):
    return np.random.default_rng(seed).normal(size=(4, 16, 16)).astype(np.float16)


def make(tmp_path, limit_bytes=10**8):
    return FeatureFolder(tmp_path, limit_bytes, reserve_bytes=0)


def files(folder):
    return sorted(folder.path.iterdir())


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_what_was_written_is_read_again_to_the_last_bit(tmp_path, dtype):
    values = tile().astype(dtype)
    make(tmp_path).write("a", values)
    folder = make(tmp_path)
    found = folder.read("a")
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, values)
    assert folder.has("a")
    assert folder.read("b") is None
    assert not folder.has("b")


def test_zeros_are_not_taken_for_damage(tmp_path):
    folder = make(tmp_path)
    folder.write("a", np.zeros((4, 16, 16), np.float16))
    np.testing.assert_array_equal(folder.read("a"), np.zeros((4, 16, 16)))


def test_a_tile_is_a_zarr_array_that_others_can_open(tmp_path):
    folder = make(tmp_path)
    folder.write("a", tile())
    with zarr.storage.ZipStore(files(folder)[0], mode="r") as store:
        np.testing.assert_array_equal(zarr.open_array(store, mode="r")[:], tile())


def test_the_tiles_used_longest_ago_go_first_and_the_total_stays_bounded(tmp_path):
    folder = make(tmp_path)
    folder.write("0", tile())
    size = folder.usage_bytes
    folder = make(tmp_path, limit_bytes=5 * size)
    folder.look()
    assert folder.usage_bytes == size
    for i in range(1, 4):
        folder.write(str(i), tile(i))
        age(folder, i)
    folder.read("0")
    for i in range(4, 12):
        folder.write(str(i), tile(i))
        assert sum(f.stat().st_size for f in files(folder)) <= 5 * size
        assert folder.has(str(i))
        folder.read("0")
    assert folder.has("0")
    assert not folder.has("1")
    assert not folder.has("4")


def age(folder, seconds):
    """Make all files older, as file systems may not tell times apart that follow each other."""
    for file in files(folder):
        stat = file.stat()
        os.utime(file, (stat.st_atime, stat.st_mtime - seconds))


def test_a_lower_limit_removes_what_is_too_much(tmp_path):
    folder = make(tmp_path)
    for i in range(6):
        folder.write(str(i), tile(i))
    smaller = make(tmp_path, limit_bytes=folder.usage_bytes // 2)
    smaller.look()
    assert 0 < smaller.usage_bytes <= folder.usage_bytes // 2
    nothing = make(tmp_path, limit_bytes=0)
    nothing.look()
    assert files(folder) == []
    nothing.write("a", tile())
    assert files(folder) == []


def test_files_of_others_are_left_alone(tmp_path):
    folder = make(tmp_path)
    folder.write("a", tile())
    (folder.path / "letter.txt").write_text("dear user")
    folder.clear()
    assert [f.name for f in files(folder)] == ["letter.txt"]
    assert folder.usage_bytes == 0


def test_what_was_left_unfinished_goes_once_it_is_old(tmp_path):
    folder = make(tmp_path)
    folder.write("a", tile())
    old, new = folder.path / "x.unfinished", folder.path / "y.unfinished"
    for file in (old, new):
        file.write_bytes(b"half")
    os.utime(old, (0, 0))
    folder.look()
    assert not old.exists()
    assert new.exists()


def damage_cut(file):
    file.write_bytes(file.read_bytes()[:-100])


def damage_bit(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 8
    file.write_bytes(data)


def damage_empty(file):
    file.write_bytes(b"")


def damage_text(file):
    file.write_text("not a zip file at all")


def damage_no_pixels(file):
    with zipfile.ZipFile(file) as archive:
        meta = archive.read("zarr.json")
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("zarr.json", meta)


@pytest.mark.parametrize(
    "damage", [damage_cut, damage_bit, damage_empty, damage_text, damage_no_pixels]
)
def test_a_damaged_file_is_not_found_and_can_be_written_again(tmp_path, damage):
    folder = make(tmp_path)
    folder.write("a", tile())
    damage(files(folder)[0])
    assert folder.read("a") is None
    assert not folder.has("a")
    folder.write("a", tile())
    np.testing.assert_array_equal(folder.read("a"), tile())


def test_a_full_disk_leaves_no_half_file(tmp_path, monkeypatch):
    folder = make(tmp_path)
    folder.write("a", tile())

    def full(self, *args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(OSError, match="No space left"):
        folder.write("b", tile(1))
    monkeypatch.undo()
    assert len(files(folder)) == 1
    np.testing.assert_array_equal(folder.read("a"), tile())


def test_the_last_space_of_a_disk_is_left_to_others(tmp_path):
    folder = FeatureFolder(tmp_path, 10**9, reserve_bytes=2**60)
    with pytest.raises(OSError, match="left to other programs") as error:
        folder.write("a", tile())
    assert error.value.errno == errno.ENOSPC
    assert files(folder) == []


def test_a_folder_that_cannot_be_made_is_an_error_at_writing_only(tmp_path):
    (tmp_path / "file").write_text("in the way")
    folder = make(tmp_path / "file")
    folder.look()
    folder.clear()
    assert folder.read("a") is None
    with pytest.raises(OSError, match="file"):
        folder.write("a", tile())


def test_the_folder_can_be_chosen(tmp_path, monkeypatch):
    monkeypatch.setenv(DIR_VARIABLE, str(tmp_path / "mine"))
    assert default_cache_dir() == tmp_path / "mine"
    assert FeatureFolder().path.parent == tmp_path / "mine"
    monkeypatch.delenv(DIR_VARIABLE)
    assert "napari-regcon" in str(default_cache_dir())


OTHER = """
import sys
from pathlib import Path
import numpy as np
from napari_regcon.engine.feature_folder import FeatureFolder

folder = FeatureFolder(Path(sys.argv[1]), int(sys.argv[2]), reserve_bytes=0)
wrong = 0
for i in range(60):
    name = str(i % 12)
    values = np.full((4, 16, 16), i % 12, np.float16)
    found = folder.read(name)
    wrong += found is not None and not np.array_equal(found, values)
    folder.write(name, values)
    if i % 20 == 19:
        folder.clear()
print(wrong)
"""


def test_programs_that_share_a_folder_do_not_break_each_other(tmp_path):
    folder = make(tmp_path)
    folder.write("0", tile())
    limit = 6 * folder.usage_bytes
    folder.clear()
    command = [sys.executable, "-c", OTHER, str(tmp_path), str(limit)]
    programs = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [program.communicate(timeout=120) for program in programs]
    for program, (out, errors) in zip(programs, said, strict=True):
        assert program.returncode == 0, errors
        assert out.strip() == "0"
    left = [f.stat().st_size for f in files(folder)]
    # Each may write a tenth of the limit before it looks at what the other wrote.
    assert sum(left) <= 1.2 * limit + max(left, default=0)
