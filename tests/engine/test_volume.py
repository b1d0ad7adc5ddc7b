import subprocess
import sys

import dask
import dask.array as da
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_regcon.data.export import Output
from napari_regcon.data.normalize import Normalization
from napari_regcon.data.volumes import open_volume
from napari_regcon.engine import blocks as blocks_module
from napari_regcon.engine.blocks import plan_blocks, segment_block, without
from napari_regcon.engine.segmenter import run
from napari_regcon.engine.volume import segment_volume
from napari_regcon.errors import DeviceError, InputError
from napari_regcon.types import BlockDone, Box, Finished, Note, Progress, Volume

NORM = Normalization((0.0,), (255.0,))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def grey(shape=(4, 30, 41), axes="ZYX", seed=0, **more):
    rng = np.random.default_rng(seed)
    return Volume(rng.integers(0, 256, shape, dtype=np.uint8), axes, name="brain", **more)


def segmented(volume, predictor, **options):
    out = np.zeros(volume.label_shape, np.uint8)
    probabilities = np.zeros((len(predictor.classes), *volume.label_shape), np.float32)
    options = {"normalization": NORM, **options}
    events = list(segment_volume(volume, predictor, out, probabilities=probabilities, **options))
    return out, probabilities, events


# ------------------------------------------------------------------ the result


@pytest.mark.parametrize(
    ("shape", "axes", "ndim"),
    [
        ((30, 41), "YX", 2),
        ((4, 30, 41), "ZYX", 2),
        ((9, 20, 21), "ZYX", 3),
        ((2, 3, 20, 21), "TZYX", 2),
        ((2, 9, 20, 21), "TZYX", 3),
        ((1, 1, 20, 21), "TZYX", 2),
        ((3, 20, 21, 2), "ZYXC", 2),
        ((20, 21, 3), "YXC", 2),
    ],
)
def test_every_kind_of_volume_gives_what_the_predictor_says(shape, axes, ndim, make_exact):
    n_channels = shape[-1] if axes.endswith("C") else 1
    volume = grey(shape, axes)
    predictor = make_exact(ndim=ndim, n_channels=n_channels, n_classes=3)
    out, probabilities, _ = segmented(
        volume, predictor, normalization=predictor.normalization, class_values=(0, 5, 9)
    )
    expected = predictor(volume.data)
    np.testing.assert_array_equal(probabilities, expected)
    np.testing.assert_array_equal(out, np.array([0, 5, 9])[expected.argmax(0)])


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 33), st.integers(1, 33)),
    block=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    tile=st.integers(4, 12),
    overlap=st.integers(0, 3),
)
def test_the_result_does_not_depend_on_the_block_size(shape, block, tile, overlap, make_blended):
    volume = grey(shape)
    predictor = make_blended(tile=tile, overlap=overlap, n_classes=3)
    out, probabilities, _ = segmented(volume, predictor)
    again, probabilities_again, _ = segmented(volume, predictor, block_shape=block)
    assert out.tobytes() == again.tobytes()
    assert probabilities.tobytes() == probabilities_again.tobytes()


@settings(max_examples=10, deadline=None)
@given(block=st.tuples(*[st.integers(2, 20)] * 3), overlap=st.integers(0, 3))
def test_the_result_does_not_depend_on_the_block_size_in_3d(block, overlap, make_blended):
    volume = grey((11, 14, 17))
    predictor = make_blended(ndim=3, overlap=overlap)
    out, probabilities, _ = segmented(volume, predictor)
    again, probabilities_again, _ = segmented(volume, predictor, block_shape=block)
    assert out.tobytes() == again.tobytes()
    assert probabilities.tobytes() == probabilities_again.tobytes()


def test_a_lazy_volume_gives_the_same_bytes_and_is_read_about_once(make_blended):
    volume = grey((2, 64, 70))
    read = []

    def load(block_info=None):
        location = block_info[None]["array-location"]
        read.append(location)
        return volume.data[tuple(slice(*pair) for pair in location)]

    lazy = da.map_blocks(
        load, dtype=np.uint8, chunks=((1, 1), (32, 32), (35, 35)), meta=np.empty(0)
    )
    predictor = make_blended(halo=5)
    expected, _, _ = segmented(volume, predictor)
    out, _, _ = segmented(Volume(lazy, "ZYX"), predictor)
    assert out.tobytes() == expected.tobytes()
    assert len(read) == 8  # every chunk once, although there are dozens of tiles


def test_small_blocks_of_a_lazy_volume_read_beyond_what_they_hold(make_exact):
    volume = grey((1, 40, 40))
    predictor = make_exact(tile=4, halo=9)  # a halo wider than a tile
    expected, _, _ = segmented(volume, predictor)
    lazy = Volume(da.from_array(volume.data, chunks=(1, 16, 16)), "ZYX")
    out, _, _ = segmented(lazy, predictor, block_shape=(8, 8))
    assert out.tobytes() == expected.tobytes()


def test_uint8_probabilities_are_255_times_the_probability(make_exact):
    volume, predictor = grey(), make_exact(n_classes=3)
    _, exact, _ = segmented(volume, predictor)
    quantised = np.zeros(exact.shape, np.uint8)
    _, _, _ = segmented(volume, predictor)
    out = np.zeros(volume.label_shape, np.uint8)
    list(segment_volume(volume, predictor, out, probabilities=quantised, normalization=NORM))
    np.testing.assert_allclose(quantised / 255, exact, atol=0.5 / 255 + 1e-6)


def test_class_values_above_255_are_kept(make_exact, tmp_path):
    volume, predictor = grey(), make_exact()
    list(segment_volume(volume, predictor, tmp_path / "a.tif", class_values=(7, 1000)))
    back = open_volume(tmp_path / "a.tif")
    assert back.data.dtype == np.uint16
    assert set(np.unique(np.asarray(back.data))) == {7, 1000}


@pytest.mark.parametrize("name", ["a.zarr", "a.tif"])
def test_files_hold_the_same_as_arrays_with_scale_and_units(tmp_path, name, make_blended):
    volume = grey(
        (2, 3, 30, 41), "TZYX", scale=(1.0, 40.0, 4.0, 8.0), units=("second",) + ("nanometer",) * 3
    )
    predictor = make_blended(n_classes=3)
    out, probabilities, _ = segmented(volume, predictor)
    events = list(
        segment_volume(
            volume,
            predictor,
            str(tmp_path / name),
            probabilities=tmp_path / f"p-{name}",
            normalization=NORM,
            block_shape=(13, 17),
        )
    )
    assert events[-1].outputs == (tmp_path / name, tmp_path / f"p-{name}")
    labels = open_volume(tmp_path / name)
    np.testing.assert_array_equal(np.asarray(labels.data), out)
    assert (labels.axes, labels.scale, labels.units) == (volume.axes, volume.scale, volume.units)
    stored = np.moveaxis(np.asarray(open_volume(tmp_path / f"p-{name}").data), -1, 0)
    np.testing.assert_array_equal(stored, np.rint(probabilities * 255))


def test_blocks_computed_apart_in_a_dask_graph_give_the_same_bytes(make_blended):
    volume, predictor = grey(), make_blended(n_classes=3)
    expected, expected_probabilities, _ = segmented(volume, predictor)
    values = np.array([1, 2, 3], np.uint8)

    @dask.delayed
    def block(box):
        return box, *run(segment_block(volume, NORM, predictor, box, values, np.dtype("f4")))

    boxes = plan_blocks(volume, predictor, (11, 17))
    out, probabilities = np.zeros_like(expected), np.zeros_like(expected_probabilities)
    for box, labels, p in dask.compute(*map(block, boxes[::-1]), scheduler="synchronous"):
        out[box.slices] = labels
        probabilities[:, *box.slices] = p
    assert out.tobytes() == expected.tobytes()
    assert probabilities.tobytes() == expected_probabilities.tobytes()


# ------------------------------------------------------------------ the order of the work


def test_events_count_up_to_the_end_and_name_every_block_once(make_exact):
    volume, predictor = grey((3, 30, 41)), make_exact()
    _, _, events = segmented(volume, predictor, block_shape=(16, 16))
    progress = [e for e in events if isinstance(e, Progress)]
    steps = [e.done for e in progress]
    assert steps == sorted(steps)
    assert progress[-1].done == progress[-1].total == len(predictor.tiles)
    assert progress[0].remaining_s > 0
    covered = np.zeros(volume.label_shape, int)
    for event in events:
        if isinstance(event, BlockDone):
            covered[event.box.slices] += 1
    assert (covered == 1).all()
    assert isinstance(events[-1], Finished)
    assert [e for e in events if isinstance(e, Finished)] == [events[-1]]


def test_no_tile_is_computed_twice_by_an_exact_predictor(make_exact, monkeypatch):
    monkeypatch.setattr(blocks_module, "BLOCK_BYTES", 10_000)
    volume, predictor = grey((2, 96, 112)), make_exact(tile=16)
    boxes = plan_blocks(volume, predictor)
    assert len(boxes) > 4
    segmented(volume, predictor)
    assert len(predictor.tiles) == 2 * len(set(predictor.tiles))  # two planes, each tile once


@settings(max_examples=50, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 200)] * 2),
    tile=st.integers(8, 40),
    overlap=st.integers(0, 7),
    n_bytes=st.integers(100, 200_000),
)
def test_blocks_cover_the_plane_once_and_keep_to_the_memory(
    shape, tile, overlap, n_bytes, make_blended
):
    predictor = make_blended(tile=tile, overlap=overlap)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks_module, "BLOCK_BYTES", n_bytes)
        boxes = plan_blocks(grey(shape, "YX"), predictor)
    covered = np.zeros(shape, int)
    for box in boxes:
        covered[box.slices] += 1
        smallest = min(tile, shape[0]) * min(tile, shape[1])
        assert box.size * 24 <= n_bytes or box.size <= smallest * 4
    assert (covered == 1).all()


def test_the_nearest_planes_come_first(make_exact):
    volume = grey((2, 5, 8, 8), "TZYX")
    _, _, events = segmented(volume, make_exact(), first=(1, 3))
    planes = [e.box.start[:2] for e in events if isinstance(e, BlockDone)]
    assert planes == [
        (1, 3),
        (1, 2),
        (1, 4),
        (1, 1),
        (1, 0),
        (0, 3),
        (0, 2),
        (0, 4),
        (0, 1),
        (0, 0),
    ]


def test_the_block_around_the_plane_comes_first_in_3d(make_exact):
    volume = grey((24, 8, 8))
    _, _, events = segmented(volume, make_exact(ndim=3), first=(17,), block_shape=(8, 8, 8))
    assert [e.box.start[0] for e in events if isinstance(e, BlockDone)] == [16, 8, 0]


def test_finished_parts_are_left_alone_whatever_the_blocks(make_exact):
    volume = grey((3, 20, 20))
    expected, _, _ = segmented(volume, make_exact())
    done = (Box((0, 0, 0), (1, 20, 20)), Box((1, 5, 7), (3, 12, 20)))
    predictor = make_exact()
    out = np.full(volume.label_shape, 77, np.uint8)
    list(segment_volume(volume, predictor, out, normalization=NORM, done=done))
    for box in done:
        assert (out[box.slices] == 77).all()
        out[box.slices] = expected[box.slices]
    np.testing.assert_array_equal(out, expected)
    assert len(predictor.tiles) < 3 * 9


def test_a_stopped_job_goes_on_where_it_was(make_exact):
    volume = grey((3, 20, 20))
    expected, _, _ = segmented(volume, make_exact())
    out = np.zeros(volume.label_shape, np.uint8)
    done = []
    work = segment_volume(volume, make_exact(), out, normalization=NORM, block_shape=(7, 20))
    for event in work:
        if isinstance(event, BlockDone):
            done.append(event.box)
        if len(done) == 4:
            work.close()
    predictor = make_exact()
    list(segment_volume(volume, predictor, out, normalization=NORM, done=done))
    np.testing.assert_array_equal(out, expected)
    assert len(predictor.tiles) <= 2 * 9


def test_nothing_left_to_do_is_no_error(make_exact):
    volume, predictor = grey(), make_exact()
    out = np.zeros(volume.label_shape, np.uint8)
    events = list(segment_volume(volume, predictor, out, done=[Box.of_shape(out.shape)]))
    assert [type(e) for e in events] == [Finished]
    assert predictor.tiles == []


boxes_3d = st.tuples(*[st.tuples(st.integers(0, 6), st.integers(0, 6))] * 3).map(
    lambda pairs: Box(tuple(min(p) for p in pairs), tuple(max(p) for p in pairs))
)


@given(box=boxes_3d, holes=st.lists(boxes_3d, max_size=4))
def test_a_box_without_holes_is_cut_into_parts_that_do_not_overlap(box, holes):
    expected = np.zeros((6, 6, 6), int)
    expected[box.slices] = 1
    for hole in holes:
        expected[hole.slices] = 0
    covered = np.zeros((6, 6, 6), int)
    for part in without(box, holes):
        covered[part.slices] += 1
    np.testing.assert_array_equal(covered, expected)


# ------------------------------------------------------------------ stopping and failing


@pytest.mark.parametrize("n_events", [1, 5, 12])
def test_closing_the_work_stops_it_at_the_next_tile_and_removes_the_files(
    tmp_path, n_events, make_exact
):
    predictor = make_exact()
    work = segment_volume(grey(), predictor, tmp_path / "a.zarr", probabilities=tmp_path / "p.tif")
    for _ in range(n_events):
        next(work)
    n_tiles = len(predictor.tiles)
    assert len(names(tmp_path)) == 2
    work.close()
    assert len(predictor.tiles) == n_tiles <= n_events
    assert names(tmp_path) == []


def test_work_that_never_began_leaves_nothing(tmp_path, make_exact):
    segment_volume(grey(), make_exact(), tmp_path / "a.zarr").close()
    assert names(tmp_path) == []


class UnrelatedError(RuntimeError):
    """Not a lack of memory."""


def test_an_error_of_the_predictor_removes_the_files_and_is_told(tmp_path, make_exact):
    predictor = make_exact()

    def fails(view, tile):
        raise UnrelatedError("shapes do not fit")

    predictor.predict_tile = fails
    with pytest.raises(UnrelatedError):
        list(segment_volume(grey(), predictor, tmp_path / "a.tif"))
    assert names(tmp_path) == []


def short_of_memory(predictor, failing_calls):
    """Let some calls of predict_tile run out of memory."""
    original, calls = predictor.predict_tile, iter(range(10**6))

    def predict_tile(view, tile):
        if next(calls) in failing_calls:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return original(view, tile)

    predictor.predict_tile = predict_tile
    return predictor


def test_a_lack_of_memory_is_answered_by_smaller_steps_with_the_same_result(make_blended):
    volume = grey()
    expected, expected_probabilities, _ = segmented(volume, make_blended())
    predictor = short_of_memory(make_blended(), {3, 50})
    out, probabilities, events = segmented(volume, predictor)
    assert out.tobytes() == expected.tobytes()
    assert probabilities.tobytes() == expected_probabilities.tobytes()
    notes = [e.text for e in events if isinstance(e, Note)]
    assert len(notes) == 2
    assert "memory" in notes[0]
    assert predictor.halvings_left == 0


def test_a_lack_of_memory_that_smaller_steps_do_not_mend_is_an_error(tmp_path, make_exact):
    predictor = short_of_memory(make_exact(), set(range(100)))
    events = segment_volume(grey(), predictor, tmp_path / "a.zarr")
    with pytest.raises(DeviceError, match="smallest step") as caught:
        list(events)
    assert "cpu" in caught.value.next_step
    assert names(tmp_path) == []


def test_a_full_disk_is_told_and_nothing_is_left(tmp_path, make_exact, monkeypatch):
    calls = []
    write = Output.write

    def third_fails(self, box, values):
        calls.append(box)
        if len(calls) == 3:
            self._file.write = lambda *args: (_ for _ in ()).throw(OSError(28, "No space left"))
        write(self, box, values)

    monkeypatch.setattr(Output, "write", third_fails)
    with pytest.raises(InputError, match="disk is full"):
        list(segment_volume(grey(), make_exact(), tmp_path / "a.zarr"))
    assert len(calls) == 3
    assert names(tmp_path) == []


# ------------------------------------------------------------------ refused at the call


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out": "a.png"}, "format"),
        ({"out": "missing/a.zarr"}, "does not exist"),
        ({"out": np.zeros((1, 2, 3), np.uint8)}, "shape"),
        ({"probabilities": "b.jpg"}, "format"),
        ({"probabilities": "a.zarr"}, "other result"),
        ({"class_values": (1, 2, 3)}, "class values"),
        ({"class_values": (1, -1)}, "class values"),
        ({"class_values": (1, 70000)}, "class values"),
        ({"block_shape": (8,)}, "block shape"),
        ({"block_shape": (8, 0)}, "block shape"),
        ({"first": (4,)}, "no plane"),
        ({"first": (1, 1)}, "no plane"),
        ({"done": [Box((0, 0, 0), (1, 1, 1))]}, "new file"),
    ],
)
def test_bad_arguments_are_refused_at_the_call(options, message, make_exact, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        segment_volume(grey(), make_exact(), **{"out": "a.zarr", **options})
    assert names(tmp_path) == []


def test_the_image_itself_is_never_overwritten(make_exact, tmp_path):
    volume = grey(source=tmp_path / "a.tif")
    (tmp_path / "a.tif").write_bytes(b"the only copy")
    with pytest.raises(InputError, match="is the image"):
        segment_volume(volume, make_exact(), tmp_path / "a.tif", overwrite=True)
    assert (tmp_path / "a.tif").read_bytes() == b"the only copy"


def test_a_volume_that_does_not_suit_the_predictor_is_refused_at_the_call(make_exact):
    out = np.zeros((4, 30), np.uint8)
    with pytest.raises(InputError, match="channel"):
        segment_volume(grey((4, 30, 2), "YXC"), make_exact(), out)
    with pytest.raises(InputError, match="depth axis"):
        segment_volume(grey((4, 30), "YX"), make_exact(ndim=3), out)
    with pytest.raises(InputError, match="empty"):
        segment_volume(grey((0, 30), "YX"), make_exact(), out)


def test_a_position_that_tiff_cannot_keep_is_told(make_exact, tmp_path):
    volume = grey(translate=(0.0, 4.0, 8.0), units=("nanometer",) * 3)
    events = list(segment_volume(volume, make_exact(), tmp_path / "a.tif"))
    assert "position" in events[0].text
    events = list(segment_volume(volume, make_exact(), tmp_path / "a.zarr"))
    assert not any(isinstance(e, Note) for e in events)
    assert open_volume(tmp_path / "a.zarr").translate == volume.translate


# ------------------------------------------------------------------ memory

MEASURED = """
import resource, sys
sys.path.insert(0, {tests!r})
import dask.array as da
import numpy as np
from conftest import ThresholdPredictor
from napari_regcon.data.normalize import Normalization
from napari_regcon.engine.volume import segment_volume
from napari_regcon.types import Volume

class Quick(ThresholdPredictor):
    def predict_tile(self, view, tile):
        image = view.read(tile)[0]
        return np.stack([image, 1 - image])

def peak():
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

lazy = da.random.default_rng(0).integers(0, 255, (128, 2048, 2048), "u1", chunks=(1, 1024, 2048))
assert lazy.nbytes == 512 * 2**20
norm = Normalization((0.0,), (255.0,))
small = Volume(lazy[:1], "ZYX")
for _ in segment_volume(small, Quick(tile=512), {out!r} + "/s.zarr", normalization=norm):
    pass
before = peak()
for _ in segment_volume(
    Volume(lazy, "ZYX"), Quick(tile=512), {out!r} + "/a" + {suffix!r},
    probabilities={out!r} + "/p" + {suffix!r}, normalization=norm,
):
    pass
print((peak() - before) // 2**20)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="peak memory is not told there")
@pytest.mark.parametrize("suffix", [".zarr", ".tif"])
def test_memory_does_not_grow_with_the_volume(tmp_path, suffix, request):
    code = MEASURED.format(tests=str(request.path.parent), out=str(tmp_path), suffix=suffix)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # Image, labels and probabilities hold 2 GiB in all.
    assert int(done.stdout) < 200
