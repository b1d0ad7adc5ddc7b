"""What is kept on the window's side, for an engine that has to start again."""

from __future__ import annotations

import io
import pickle
import tracemalloc

import numpy as np
import pytest
from engine_harness import painted
from hypothesis import given
from hypothesis import strategies as st

from napari_regcon.types import Box
from napari_regcon.worker import wire
from napari_regcon.worker.protocol import (
    Cancel,
    CloseImage,
    Configure,
    OpenImage,
    PackedArray,
    Paint,
    Preview,
    SetClasses,
    SharedArray,
)
from napari_regcon.worker.state import EngineState

SOURCE = SharedArray("somewhere", (2, 8, 8), "|u1")


def plane_of(value, shape=(8, 8)):
    return np.full(shape, value, np.uint8)


def replayed(state):
    """Return what a new engine would know."""
    images, paint, rest = {}, {}, []
    for request in state.replay():
        match request:
            case OpenImage():
                images[request.image_id] = request
            case Paint():
                assert request.image_id in images
                for plane in request.planes:
                    paint[request.image_id, plane.prefix] = plane.labels.array
            case _:
                rest.append(request)
    return images, paint, rest


def test_only_the_last_word_on_each_plane_is_kept():
    state = EngineState()
    requests = [
        Configure("cpu"),
        SetClasses(("a", "b")),
        OpenImage("one", SOURCE, "ZYX", "one"),
        OpenImage("two", SOURCE, "ZYX", "two"),
        Paint("one", (painted((0,), plane_of(1)), painted((1,), plane_of(1)))),
        Paint("two", (painted((0,), plane_of(1)),)),
        Configure("auto"),
        Paint("one", (painted((0,), plane_of(2)), painted((1,), plane_of(0)))),
        CloseImage("two"),
    ]
    assert all(state.apply(request) for request in requests)
    images, paint, rest = replayed(state)
    assert list(images) == ["one"]
    assert rest == [Configure("auto"), SetClasses(("a", "b"))]
    assert list(paint) == [("one", (0,))]
    assert (paint["one", (0,)] == 2).all()


def test_a_complete_but_unpainted_plane_is_kept():
    state = EngineState()
    state.apply(OpenImage("one", SOURCE, "ZYX", "one"))
    state.apply(Paint("one", (painted((0,), plane_of(0), (Box((0, 0), (8, 8)),)),)))
    (_, paint) = state.replay()
    assert paint.planes[0].complete == (Box((0, 0), (8, 8)),)


def test_work_is_not_state():
    state = EngineState()
    preview = Preview(1, "one", (0,), Box((0, 0), (8, 8)), SOURCE)
    for request in (preview, Cancel(1), Paint("closed", (painted((0,), plane_of(1)),))):
        assert not state.apply(request)
    assert not list(state.replay())


def test_opening_again_forgets_the_paint():
    state = EngineState()
    for _ in range(2):
        state.apply(OpenImage("one", SOURCE, "ZYX", "one"))
        images, paint, _ = replayed(state)
        assert list(images) == ["one"]
        assert not paint
        state.apply(Paint("one", (painted((0,), plane_of(1)),)))


def test_painted_planes_are_kept_compressed():
    state = EngineState()
    state.apply(OpenImage("one", SOURCE, "ZYX", "one"))
    strokes = plane_of(0, (2048, 2048))
    strokes[100:105, 200:900] = 1
    tracemalloc.start()
    for z in range(50):
        state.apply(Paint("one", (painted((z,), strokes),)))
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 50 * strokes.nbytes / 100
    assert sum(1 for _ in state.replay()) == 51


@given(
    shape=st.lists(st.integers(0, 6), max_size=4).map(tuple),
    dtype=st.sampled_from(["u1", "<u2", ">u2", "<i8", "?", "<f4"]),
)
def test_packed_arrays_travel_unchanged(shape, dtype):
    array = np.random.default_rng(0).integers(0, 3, shape).astype(dtype)
    packed = pickle.loads(pickle.dumps(PackedArray(array.T)))  # noqa: S301 - our own
    np.testing.assert_array_equal(packed.array, array.T)
    assert packed.array.dtype == array.dtype
    assert packed.array.flags.writeable


def test_packed_labels_are_small():
    strokes = plane_of(0, (1024, 1024))
    strokes[100:105, 200:900] = 1
    assert len(wire.pack(PackedArray(strokes))) < strokes.nbytes / 100


class Trickle(io.BytesIO):
    """A pipe that hands out a few bytes at a time."""

    def read(self, size=-1):
        return super().read(min(size, 3))


@pytest.mark.parametrize("kind", [io.BytesIO, Trickle])
def test_messages_stay_apart(kind):
    pipe = kind()
    bodies = [wire.pack(message) for message in (Cancel(1), "x" * 100_000, None)]
    for body in bodies:
        wire.write(pipe, body)
    pipe.seek(0)
    assert [wire.read(pipe) for _ in bodies] == bodies
    with pytest.raises(EOFError):
        wire.read(pipe)


def test_a_message_cut_short_is_the_end():
    pipe = io.BytesIO()
    wire.write(pipe, wire.pack("hello"))
    for n_bytes in range(len(pipe.getvalue())):
        with pytest.raises(EOFError):
            wire.read(io.BytesIO(pipe.getvalue()[:n_bytes]))


def test_a_closed_pipe_is_an_operating_system_error():
    pipe = io.BytesIO()
    pipe.close()
    with pytest.raises(OSError, match="closed"):
        wire.write(pipe, b"")
