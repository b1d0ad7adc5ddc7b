"""Remembering decoded parts: same pixels, fewer reads, bounded memory."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_regcon.data import decoded
from napari_regcon.data.decoded import DecodedParts


class Stored:
    """An array that counts how many of its pixels are read."""

    def __init__(self, shape):
        self.pixels = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
        self.shape, self.dtype, self.ndim = shape, self.pixels.dtype, len(shape)
        self.n_read = 0

    def __getitem__(self, key):
        part = self.pixels[key]
        self.n_read += part.size
        return part


@st.composite
def cuts(draw):
    shape = tuple(draw(st.lists(st.integers(1, 12), min_size=1, max_size=3)))
    parts = tuple(draw(st.integers(1, 14)) for _ in shape)
    keys = [
        tuple(
            slice(a, draw(st.integers(a, n)), draw(st.sampled_from([None, 1, 2, 5])))
            for n in shape
            for a in [draw(st.integers(0, n))]
        )
        for _ in range(3)
    ]
    return shape, parts, keys


@given(cuts())
def test_any_cut_is_that_of_the_array(case):
    shape, parts, keys = case
    stored = Stored(shape)
    array = DecodedParts(stored, parts)
    for key in keys:
        np.testing.assert_array_equal(array[key], stored.pixels[key])


def test_small_tiles_of_one_part_cost_one_read():
    stored = Stored((4, 100, 100))
    array = DecodedParts(stored, (1, 100, 100))
    for y in range(0, 100, 10):
        array[1:2, y : y + 10, 0:50]
    assert stored.n_read == 100 * 100


def test_parts_that_are_there_are_not_read_again():
    stored = Stored((40, 40))
    array = DecodedParts(stored, (10, 10))
    for stop in (20, 30):
        array[0:20, 0:stop]
    assert stored.n_read == 400 + 200


def test_what_is_kept_is_bounded_and_the_oldest_goes_first(monkeypatch):
    monkeypatch.setattr(decoded, "KEPT_BYTES", 3 * 100 * 2)
    stored = Stored((50, 10))
    array = DecodedParts(stored, (10, 10))
    for start in (0, 10, 20, 0, 30):  # 10 is the one not asked for longest
        array[start : start + 10, 0:10]
    assert stored.n_read == 400
    array[0:10, 0:5]
    assert stored.n_read == 400
    array[10:20, 0:5]
    assert stored.n_read == 500


def test_more_than_is_kept_is_read_directly(monkeypatch):
    monkeypatch.setattr(decoded, "KEPT_BYTES", 150)
    stored = Stored((50, 10))
    array = DecodedParts(stored, (10, 10))
    np.testing.assert_array_equal(array[5:45, 2:4], stored.pixels[5:45, 2:4])
    assert stored.n_read == 40 * 2


def test_writing_into_what_was_read_does_not_reach_the_memory():
    stored = Stored((10, 10))
    array = DecodedParts(stored, (10, 10))
    array[0:10, 0:10][:] = 7
    np.testing.assert_array_equal(array[0:10, 0:10], np.arange(100).reshape(10, 10))


@pytest.mark.parametrize("kept", [200, 10**6])
def test_threads_may_read_at_the_same_time(kept, monkeypatch):
    monkeypatch.setattr(decoded, "KEPT_BYTES", kept)
    stored = Stored((64, 64))
    array = DecodedParts(stored, (8, 8))
    keys = [(slice(i % 50, i % 50 + 9), slice(i % 41, i % 41 + 20)) for i in range(400)]
    with ThreadPoolExecutor(4) as pool:
        for key, part in zip(keys, pool.map(array.__getitem__, keys), strict=True):
            np.testing.assert_array_equal(part, stored.pixels[key])
