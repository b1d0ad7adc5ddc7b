"""Shared arrays: what goes in comes out, nothing is left behind, nothing crashes."""

from __future__ import annotations

import subprocess
import sys
from multiprocessing import shared_memory
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_regcon.errors import InputError
from napari_regcon.worker import shared
from napari_regcon.worker.protocol import SharedArray
from napari_regcon.worker.shared import SharedBuffer

SEGMENTS = Path("/dev/shm")  # noqa: S108 - where Linux keeps them


def is_there(name: str) -> bool:
    try:
        SharedBuffer.attach(SharedArray(name, (1,), "|u1")).close()
    except InputError:
        return False
    return True


@given(
    shape=st.lists(st.integers(0, 5), max_size=5).map(tuple),
    dtype=st.sampled_from(["u1", "<u2", ">i4", "<f4", "?", "<f8"]),
)
def test_array_arrives_unchanged(shape, dtype):
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    with SharedBuffer.from_array(array) as mine, SharedBuffer.attach(mine.handle) as theirs:
        np.testing.assert_array_equal(theirs.array, array)
        assert theirs.array.dtype == array.dtype


def test_both_sides_see_what_either_writes():
    with SharedBuffer.create((4, 3), np.uint8) as mine:
        assert not mine.array.any()
        with SharedBuffer.attach(mine.handle) as theirs:
            theirs.array[2] = 7
            mine.array[0, 0] = 5
            assert theirs.array[0, 0] == 5
        assert (mine.array[2] == 7).all()


@pytest.mark.parametrize("shape", [(1000, 3), (2, 1000, 3), (3, 5, 7, 11), (4000,)])
def test_lazy_array_is_copied_in_parts(shape, monkeypatch):
    monkeypatch.setattr(shared, "_COPY_BYTES", 500)
    array = np.random.default_rng(0).integers(0, 1000, shape).astype(np.uint16)
    lazy = da.from_array(array, chunks=2)
    with SharedBuffer.from_array(lazy) as buffer:
        np.testing.assert_array_equal(buffer.array, array)


def test_copy_in_parts_never_asks_for_much(monkeypatch):
    monkeypatch.setattr(shared, "_COPY_BYTES", 1000)
    array = np.zeros((6, 40, 30), np.uint16)
    asked = []

    class Watched:
        shape, dtype, ndim = array.shape, array.dtype, array.ndim

        def __getitem__(self, key):
            asked.append(array[key].nbytes)
            return array[key]

    SharedBuffer.from_array(Watched()).close()
    assert max(asked) <= 1000
    assert sum(asked) == array.nbytes


def test_failed_copy_leaves_no_segment(monkeypatch):
    made = []
    create = SharedBuffer.create.__func__
    monkeypatch.setattr(
        SharedBuffer,
        "create",
        classmethod(lambda cls, *a: made.append(create(cls, *a)) or made[-1]),
    )

    class Broken:
        shape, dtype, ndim = (4, 4), np.dtype("u1"), 2

        def __getitem__(self, key):
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="disk is gone"):
        SharedBuffer.from_array(Broken())
    assert not is_there(made[0].handle.name)


def test_close_removes_the_segment_and_can_be_repeated():
    buffer = SharedBuffer.create((8,), np.uint8)
    assert is_there(buffer.handle.name)
    buffer.close()
    buffer.close()
    assert not is_there(buffer.handle.name)
    assert buffer.array.size == 0


def test_the_side_that_attached_does_not_remove_it():
    with SharedBuffer.create((8,), np.uint8) as mine:
        SharedBuffer.attach(mine.handle).close()
        assert is_there(mine.handle.name)


def test_views_outlive_the_buffer_and_then_give_the_memory_back():
    buffer = SharedBuffer.from_array(np.arange(10, dtype=np.uint8))
    view = buffer.array[3:5]
    buffer.close()
    assert view.tolist() == [3, 4]
    assert len(shared._Segment.waiting) == 1
    del view
    shared.sweep()
    assert not shared._Segment.waiting


def test_segment_removed_from_outside_is_no_error():
    buffer = SharedBuffer.create((8,), np.uint8)
    outside = shared_memory.SharedMemory(buffer.handle.name)
    outside.unlink()
    outside.close()
    buffer.close()


@pytest.mark.parametrize(
    "handle",
    [
        SharedArray("regcon-not-there", (4,), "|u1"),
        SharedArray("", (4,), "|u1"),
        SharedArray("a\0b", (4,), "|u1"),
    ],
)
def test_missing_segment_is_told_in_words(handle):
    with pytest.raises(InputError, match="gone"):
        SharedBuffer.attach(handle)


@pytest.mark.parametrize(
    ("shape", "dtype"), [((10**6,), "|u1"), ((-1,), "|u1"), ((4,), "no type"), ((4,), "|O")]
)
def test_wrong_handle_is_refused(shape, dtype):
    with SharedBuffer.create((4,), np.uint8) as buffer:
        with pytest.raises(InputError, match="does not hold"):
            SharedBuffer.attach(SharedArray(buffer.handle.name, shape, dtype))
        assert not buffer.array.any()


def test_python_objects_cannot_be_shared():
    with pytest.raises(InputError, match="object"):
        SharedBuffer.create((2,), object)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux promises memory it does not have")
def test_more_than_there_is_gets_an_error_instead_of_a_crash():
    with pytest.raises(InputError, match=r"no room for 1[0-9]{9} MiB"):
        SharedBuffer.create((2**20, 2**30), np.uint8)


@pytest.mark.skipif(not SEGMENTS.is_dir(), reason="looks where Linux keeps segments")
@pytest.mark.parametrize("attached_process_dies", [False, True])
def test_segments_follow_their_owner_even_if_killed(attached_process_dies):
    owner = (
        "import numpy as np, sys\n"
        "from napari_regcon.worker.shared import SharedBuffer\n"
        "b = SharedBuffer.from_array(np.arange(5, dtype='u1'))\n"
        "print(b.handle.name, flush=True); sys.stdin.read()\n"
    )
    guest = (
        "import sys\n"
        "from napari_regcon.worker.protocol import SharedArray\n"
        "from napari_regcon.worker.shared import SharedBuffer\n"
        "b = SharedBuffer.attach(SharedArray(sys.argv[1], (5,), '|u1'))\n"
        "print(b.array.sum(), flush=True); sys.stdin.read()\n"
    )

    def start(*command):
        return subprocess.Popen(
            [sys.executable, "-c", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    with start(owner) as one:
        name = one.stdout.readline().strip()
        with start(guest, name) as other:
            assert other.stdout.readline().strip() == "10"
            other.kill() if attached_process_dies else other.stdin.close()
            other.wait()
            assert other.stderr.read() == ""
        assert is_there(name)
        one.kill()
        one.wait()
        one.stderr.read()  # ends when the tracker that cleans up after the owner has ended
        assert not is_there(name)
