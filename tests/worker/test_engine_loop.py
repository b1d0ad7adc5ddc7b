"""The engine's loop inside this process, with fake methods: what it refuses and survives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from engine_harness import Window, ends, painted, strokes, truth, two_tone
from fake_methods import load_segmenter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_regcon.types import Box
from napari_regcon.worker import canvas
from napari_regcon.worker.loop import EngineLoop
from napari_regcon.worker.protocol import (
    CacheUse,
    Cancel,
    ClearCache,
    CloseImage,
    Configure,
    EngineReady,
    FileArray,
    JobDone,
    JobFailed,
    OpenImage,
    PackedArray,
    Paint,
    PaintedPlane,
    Preview,
    PreviewDone,
    SegmentVolume,
    SetClasses,
    SharedArray,
    Shutdown,
    VolumeBlockDone,
)
from napari_regcon.worker.shared import SharedBuffer


class InProcess:
    """Stands for the client: hands requests to a loop in this process and runs it dry."""

    def __init__(self):
        self.events = []
        self.loop = EngineLoop(self.events.append)
        self._generation = 0

    def send(self, request):
        self.loop.take(request)

    def next_generation(self):
        self._generation += 1
        return self._generation

    def close(self):
        self.loop.close()

    def run(self):
        since = len(self.events)
        while self.loop.is_busy:
            self.loop.step()
        return self.events[since:]

    def last(self, generation):
        self.run()
        (event,) = [e for e in self.events if ends(e, generation)]
        return event


@pytest.fixture
def make_window(monkeypatch):
    monkeypatch.setattr("napari_regcon.engine.registry.load_segmenter", load_segmenter)
    made = []

    def make(shape=(4, 48, 64), **parameters):
        window = Window(InProcess(), None, shape)
        made.append(window)
        window.configure(**parameters)
        window.open()
        window.paint()
        return window

    yield make
    for window in made:
        window.client.send(CloseImage("image"))
        window.client.close()
        window.close()


@pytest.fixture
def window(make_window):
    return make_window()


def check(window, **more):
    window.out.array[:] = 0
    event = window.client.last(window.preview(**more))
    assert isinstance(event, PreviewDone), event
    np.testing.assert_array_equal(window.out.array, truth(window.out.array.shape))
    return event


def refusal(window, request):
    """Send a request that cannot be served; return what the user is told."""
    since = len(window.client.events)
    window.client.send(request)
    window.client.run()
    told = window.client.events[since:]
    (failed,) = [e for e in told if isinstance(e, JobFailed)]
    assert failed.generation == getattr(request, "generation", None)
    assert failed.details == ""
    return failed.message


def test_preview_and_volume_in_this_process(window):
    check(window)
    window.client.last(window.segment())
    np.testing.assert_array_equal(window.volume.array, truth(window.shape))


def test_single_plane_without_depth(make_window):
    window = make_window((48, 64))
    check(window)
    assert isinstance(window.client.last(window.segment()), JobDone)
    np.testing.assert_array_equal(window.volume.array, truth((48, 64)))


def test_default_configuration_where_nothing_was_chosen(monkeypatch):
    chosen = []
    monkeypatch.setattr(
        "napari_regcon.engine.registry.load_segmenter", lambda *a, **k: chosen.append((a, k))
    )
    client = InProcess()
    client.send(SetClasses(("a", "b")))
    assert isinstance(client.events[0], EngineReady)
    assert chosen[0][0] == (Configure().method,)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image_id": "other"}, "No image 'other' is open"),
        ({"prefix": ()}, "no plane"),
        ({"prefix": (4,)}, "no plane"),
        ({"prefix": (-1,)}, "no plane"),
        ({"prefix": (0, 0)}, "no plane"),
        ({"box": Box((0, 0), (0, 0))}, "does not lie on a plane"),
        ({"box": Box((48, 0), (60, 9))}, "does not lie on a plane"),
        ({"box": Box((0, 0, 0), (1, 5, 5))}, "does not lie on a plane"),
        ({"out": SharedArray("not-there", (48, 64), "|u1")}, "gone"),
    ],
)
def test_previews_that_make_no_sense_are_refused(window, change, words):
    fields = {
        "generation": 50,
        "image_id": "image",
        "prefix": (0,),
        "box": Box((0, 0), (9, 9)),
        "out": window.out.handle,
    }
    assert words in refusal(window, Preview(**{**fields, **change}))
    check(window)


@pytest.mark.parametrize(("shape", "dtype"), [((48, 63), "u1"), ((48, 64), "u2")])
def test_arrays_of_another_kind_are_refused(window, shape, dtype):
    with SharedBuffer.create(shape, dtype) as other:
        box = Box((0, 0), (9, 9))
        preview = Preview(50, "image", (0,), box, other.handle)
        assert "preview array" in refusal(window, preview)
        preview = Preview(51, "image", (0,), box, window.out.handle, other.handle)
        assert "preview array" in refusal(window, preview)
        assert "result array" in refusal(window, SegmentVolume(52, "image", other.handle))
    check(window)


def test_box_that_reaches_beyond_the_plane_is_cut(window):
    assert check(window, box=Box((-5, -5), (100, 100))).box == Box((0, 0), (48, 64))


@pytest.mark.parametrize(
    ("plane", "words"),
    [
        (painted((9,), strokes((48, 64))), "do not lie on"),
        (painted((), strokes((48, 64))), "do not lie on"),
        (PaintedPlane((0,), (40, 0), PackedArray(strokes((48, 64)))), "do not lie on"),
        (PaintedPlane((0,), (-1, 0), PackedArray(strokes((48, 64)))), "do not lie on"),
        (painted((0,), strokes((48, 64)) * 2), "hold the value"),
        (painted((0,), strokes((48, 64)), (Box((0, 0), (20, 64)),)), "marked complete"),
    ],
)
def test_paint_that_cannot_be_used_is_told_at_the_preview(window, plane, words):
    window.client.send(Paint("image", (plane,)))
    told = window.client.last(window.preview())
    assert isinstance(told, JobFailed)
    assert words in told.message
    assert told.details == ""
    zeros = np.zeros((48, 64), np.uint8)
    window.client.send(Paint("image", (painted(plane.prefix, zeros),)))
    window.paint()
    check(window)


def test_paint_on_an_image_that_is_not_open_is_refused(window):
    assert "No image 'x' is open" in refusal(window, Paint("x", ()))


@pytest.mark.parametrize(
    "plane",
    [
        PaintedPlane((0,), (0, 0), PackedArray(np.array(1, np.uint8))),
        painted((0,), strokes((48, 64)), (Box((), ()),)),
    ],
)
def test_paint_that_is_no_plane_is_refused_at_once(window, plane):
    assert "rows and columns" in refusal(window, Paint("image", (plane,)))
    window.paint()
    check(window)


def test_complete_parts_need_no_paint_of_the_background(window):
    window.client.send(SetClasses(("background", "bright")))
    plane = 2 * (truth((48, 64)) - 1)
    window.client.send(Paint("image", (painted((0,), plane, (Box((0, 0), (48, 64)),)),)))
    check(window)


def test_class_names_that_cannot_be_used(window):
    window.client.send(SetClasses(("only one",)))
    assert "at least two" in window.client.last(window.preview()).message
    window.client.send(SetClasses(("a", "b", "c")))
    check(window)


def test_opening_again_forgets_what_was_painted(window):
    window.open()
    assert "Nothing is painted" in window.client.last(window.preview()).message


@pytest.mark.parametrize("axes", ["YX", "ZYXC", "ABC", ""])
def test_axes_that_do_not_fit_are_refused(window, axes):
    refusal(window, OpenImage("other", window.image.handle, axes, "other"))


def test_failing_configuration_fails_previews_until_mended(window):
    assert "no method" in refusal(window, Configure("cpu", "nonsense"))
    assert "no method" in window.client.last(window.preview()).message
    window.configure()
    check(window)


def test_unknown_requests_are_refused_and_survived(window):
    for request in (Shutdown(), "nonsense", None, 7, ValueError("unreadable")):
        window.client.send(request)
        assert isinstance(window.client.events[-1], JobFailed)
    check(window)


def test_cancel_of_something_unknown_is_nothing(window):
    n_events = len(window.client.events)
    window.client.send(Cancel(12345))
    assert len(window.client.events) == n_events


def test_clear_cache_tells_how_much_is_left(window):
    check(window)
    window.client.events.clear()
    window.client.loop._told_use = None
    window.client.send(ClearCache())
    assert window.client.events == [CacheUse(0, 0)]


def test_work_is_stopped_when_the_loop_closes(window):
    generation = window.segment()
    window.client.loop.step()
    window.client.close()
    assert window.client.last(generation).cancelled
    assert not window.client.loop.is_busy


def test_newest_preview_first_and_volumes_in_turn(make_window):
    window = make_window()
    volumes = [window.segment(), window.segment()]
    for _ in range(3):
        window.client.loop.step()
    preview = window.preview()
    window.client.run()
    order = [
        e.generation
        for e in window.client.events
        if isinstance(e, JobDone) or (isinstance(e, PreviewDone) and e.final)
    ]
    assert order == [preview, *volumes]


def test_previews_of_another_kind_wait_and_are_made_void_by_their_own_kind_only(window):
    older, other = window.preview(kind="other"), window.preview(kind="other")
    first = window.preview()
    window.client.run()
    answers = {g: window.client.last(g) for g in (older, other, first)}
    assert answers[older].cancelled
    assert isinstance(answers[other], PreviewDone)
    assert isinstance(answers[first], PreviewDone)
    finals = [e for e in window.client.events if isinstance(e, PreviewDone) and e.final]
    assert [e.generation for e in finals][-2:] == [first, other]


def test_a_preview_can_use_another_choice(window, monkeypatch, tmp_path):
    check(window)
    fits = tmp_path / "fits"
    monkeypatch.setenv("FAKE_FITS", str(fits))
    model = Configure("cpu", "fake", (("steps_back", 3),))
    for _ in range(2):
        generation = window.preview(kind="other", model=model)
        window.client.run()
        assert isinstance(window.client.last(generation), PreviewDone)
    check(window)
    assert fits.read_text() == "fit\n"
    wrong = window.preview(kind="other", model=Configure("cpu", "nonsense"))
    window.client.run()
    assert "no method" in window.client.last(wrong).message
    check(window)


LARGE = (2, 640, 640)
"""Sixteen hundred tiles of the fake method in a plane."""


def steps_until(client, generation):
    """Work on until a generation is answered to the end; return how many steps it took."""
    for n in range(10_000):
        if any(ends(e, generation) for e in client.events):
            return n
        client.loop.step()
    pytest.fail("was never answered")


@pytest.mark.parametrize("why", ["stroke", "scroll", "cancel"])
def test_a_long_preview_gives_way_between_two_parts(make_window, why):
    window = make_window(LARGE)
    client = window.client
    long = window.preview(whole_plane=True)
    for _ in range(50):
        client.loop.step()
    match why:
        case "stroke":
            window.paint(plane=np.roll(strokes(LARGE), 40, axis=0))
            newer = window.preview(box=Box((0, 0), (32, 32)))
        case "scroll":
            newer = window.preview(prefix=(1,), box=Box((0, 0), (32, 32)))
        case "cancel":
            client.send(Cancel(long))
            newer = window.preview(box=Box((0, 0), (32, 32)))
    (told,) = [e for e in client.events if ends(e, long)]
    assert isinstance(told, JobDone)
    assert told.cancelled
    # Four tiles, and what the fit takes.
    assert steps_until(client, newer) < 12
    assert not client.loop.is_busy


def test_a_preview_answers_while_a_volume_runs_and_then_they_take_turns(make_window):
    window = make_window(LARGE)
    client = window.client
    volume = window.segment()
    for _ in range(50):
        client.loop.step()
    box = Box((0, 0), (32, 32))
    preview = window.preview(box=box, whole_plane=True)
    since = len(client.events)
    for _ in range(12):
        client.loop.step()
    (shown,) = [e for e in client.events[since:] if isinstance(e, PreviewDone)]
    assert (shown.generation, shown.box, shown.final) == (preview, box, False)
    # The rest of the plane does not hold the volume back, nor the other way round.
    in_turns = steps_until(client, preview)
    alone = 1600
    assert alone < in_turns < 2.3 * alone
    assert steps_until(client, volume) < 2 * alone
    np.testing.assert_array_equal(window.volume.array, truth(LARGE))
    np.testing.assert_array_equal(window.out.array, truth(LARGE[1:]))


def test_volume_uses_what_was_painted_when_it_was_asked_for(window):
    generation = window.segment()
    wrong = 3 - strokes((48, 64))
    wrong[strokes((48, 64)) == 0] = 0
    window.paint(plane=wrong)
    assert isinstance(window.client.last(generation), JobDone)
    np.testing.assert_array_equal(window.volume.array, truth(window.shape))


@pytest.mark.parametrize("suffix", [".tif", ".zarr", ".npy"])
def test_image_from_a_file(window, tmp_path, suffix):
    path = tmp_path / f"image{suffix}"
    image = two_tone((4, 48, 64))
    if suffix == ".tif":
        tifffile.imwrite(path, image, photometric="minisblack", metadata={"axes": "ZYX"})
    elif suffix == ".npy":
        np.save(path, image)
    else:
        array = zarr.create_array(path, shape=image.shape, chunks=(2, 32, 32), dtype=image.dtype)
        array[:] = image
    window.client.send(OpenImage("file", FileArray(path), "ZYX", "file"))
    window.client.send(Paint("file", (painted((1,), strokes((48, 64))),)))
    window.image_id = "file"
    check(window, prefix=(2,))
    window.client.send(CloseImage("file"))


def test_volume_into_a_zarr(window, tmp_path):
    path = tmp_path / "out.zarr"
    done = window.client.last(window.segment(out=FileArray(path)))
    assert isinstance(done, JobDone)
    group = zarr.open(path, mode="r")
    np.testing.assert_array_equal(group["0"][:], truth(window.shape))
    again = window.client.last(window.segment(out=FileArray(path)))
    assert isinstance(again, JobFailed)
    assert "exists" in again.message or "already" in again.message
    assert isinstance(
        window.client.last(window.segment(out=FileArray(path), overwrite=True)), JobDone
    )


def test_cancelled_volume_leaves_no_half_file(window, tmp_path):
    path = tmp_path / "out.zarr"
    generation = window.segment(out=FileArray(path))
    while not [e for e in window.client.events if isinstance(e, VolumeBlockDone)]:
        window.client.loop.step()
    window.client.send(Cancel(generation))
    assert window.client.last(generation).cancelled
    assert not list(Path(tmp_path).iterdir())


def test_missing_file_is_refused(window, tmp_path):
    request = OpenImage("file", FileArray(tmp_path / "nothing.tif"), "ZYX", "file")
    assert "nothing.tif" in refusal(window, request)


def test_a_large_box_is_shown_as_a_draft_first(make_window, monkeypatch):
    monkeypatch.setattr("napari_regcon.worker.jobs.DRAFT_PX", 200)
    window = make_window((50, 64), drafts=1)
    since = len(window.client.events)
    window.preview()
    while not any(isinstance(e, PreviewDone) for e in window.client.events[since:]):
        window.client.loop.step()
    assert not window.client.events[-1].final
    expected = truth((50, 64))[::4, ::4].repeat(4, 0)[:50].repeat(4, 1)[:, :64]
    np.testing.assert_array_equal(window.out.array, expected)
    assert check(window).final


def test_labels_are_the_most_likely_class_and_the_first_of_equals():
    rng = np.random.default_rng(0)
    for n_classes in (2, 3, 7):
        values = rng.integers(0, 4, (n_classes, 40, 30)).astype(np.float32)
        labels, margin = canvas.most_likely(values, with_margin=True)
        np.testing.assert_array_equal(labels, values.argmax(0) + 1)
        ordered = np.sort(values, axis=0)
        np.testing.assert_array_equal(margin, ordered[-1] - ordered[-2])


def test_more_classes_than_uint8_can_name_are_refused():
    with pytest.raises(Exception, match="256 classes"):
        canvas.most_likely(np.zeros((256, 2, 2), np.float32))


small = st.integers(-3, 70)
boxes = st.integers(0, 3).flatmap(
    lambda n: st.builds(Box, st.tuples(*[small] * n), st.tuples(*[small] * n))
)
prefixes = st.lists(small, max_size=3).map(tuple)
image_ids = st.sampled_from(["image", "second", "nobody"])
handles = st.sampled_from(["image", "out", "volume", "gone"])
dtypes = st.sampled_from(["|u1", "<f4", "<i2", "?"])
arrays = st.builds(
    lambda shape, dtype, value: PackedArray(np.full(shape, value).astype(dtype)),
    st.lists(st.integers(0, 9), max_size=3).map(tuple),
    dtypes,
    st.integers(0, 3),
)


def sources(window):
    real = {"image": window.image, "out": window.out, "volume": window.volume}
    return handles.map(
        lambda name: real[name].handle if name in real else SharedArray("gone", (1,), "|u1")
    )


def requests(window):
    generations = st.integers(1, 2**70)
    planes = st.builds(
        PaintedPlane,
        prefixes,
        st.tuples(small, small),
        arrays,
        st.lists(boxes, max_size=2).map(tuple),
    )
    return st.one_of(
        st.builds(
            Configure,
            st.sampled_from(["cpu", "cuda", "nonsense", ""]),
            st.sampled_from(["fake", "other"]),
            st.lists(
                st.tuples(st.sampled_from(["needs_steps_back", "x y"]), small), max_size=2
            ).map(tuple),
        ),
        st.builds(SetClasses, st.lists(st.sampled_from(["a", "b", ""]), max_size=3).map(tuple)),
        st.builds(
            OpenImage, image_ids, sources(window), st.sampled_from(["ZYX", "YX", "XY"]), st.text()
        ),
        st.builds(CloseImage, image_ids),
        st.builds(Paint, image_ids, st.lists(planes, max_size=2).map(tuple)),
        st.builds(Preview, generations, image_ids, prefixes, boxes, sources(window)),
        st.builds(
            SegmentVolume,
            generations,
            image_ids,
            sources(window),
            prefixes,
            st.lists(boxes, max_size=2).map(tuple),
        ),
        st.builds(Cancel, generations),
        st.builds(ClearCache),
        st.text(),
        st.none(),
    )


def test_any_sequence_of_requests_is_survived_and_answered_once(make_window):
    window = make_window()

    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(requests(window), max_size=12), st.data())
    def check_one(sequence, data):
        client = window.client = InProcess()
        window.configure()
        window.open()
        asked = []
        for request in sequence:
            if isinstance(request, Preview | SegmentVolume):
                if request.generation in asked:
                    continue
                asked.append(request.generation)
            client.send(request)
            if client.loop.is_busy and data.draw(st.booleans()):
                client.loop.step()
        client.run()
        for generation in asked:
            assert len([e for e in client.events if ends(e, generation)]) == 1
        # Nothing of it matters once the window says what it wants.
        window.image.array[:] = two_tone(window.shape)
        window.configure()
        for image_id in ("second", "nobody"):
            window.client.send(CloseImage(image_id))
        window.open()
        window.paint()
        generation = client._generation = 2**80
        client.send(Preview(generation, "image", (0,), Box((0, 0), (48, 64)), window.out.handle))
        assert isinstance(client.last(generation), PreviewDone)
        np.testing.assert_array_equal(window.out.array, truth((48, 64)))
        client.send(CloseImage("image"))

    check_one()
