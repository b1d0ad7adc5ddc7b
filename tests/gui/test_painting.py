"""Whatever a user does to the label layer is noticed, and the engine is told just that."""

from __future__ import annotations

import numpy as np
import pytest
import zarr

from napari_regcon._qt import painting
from napari_regcon.worker.protocol import Paint, Preview

from .conftest import stroke

pytestmark = pytest.mark.gui


def told(widget):
    """Return what the engine believes is painted on each plane."""
    planes = {}
    for request in widget.client.of(Paint):
        for plane in request.planes:
            full = np.zeros((64, 80), dtype=np.uint8)
            y, x = plane.origin
            part = plane.labels.array
            full[y : y + part.shape[0], x : x + part.shape[1]] = part
            planes[plane.prefix] = full
    return planes


def agrees(widget):
    """Tell whether the engine believes what the layer shows."""
    data = np.asarray(widget.core.workspace.current.labels.data)
    known = told(widget)
    return all(np.array_equal(known.get((z,), 0 * data[z]), data[z]) for z in range(len(data)))


@pytest.fixture
def noticed(painted, qtbot):
    """Return a function that waits until the engine knows what the layer shows."""
    assert agrees(painted)

    def wait(n_planes=None):
        qtbot.waitUntil(lambda: agrees(painted), timeout=30_000)
        if n_planes is not None:
            assert len(painted.client.last(Paint).planes) == n_planes

    return wait


def test_a_stroke_is_sent_once_with_its_plane_alone(painted, noticed):
    n_before = len(painted.client.of(Paint))
    stroke(painted, 2, [(2, 50, x) for x in range(5, 30)])
    noticed(n_planes=1)
    assert len(painted.client.of(Paint)) == n_before + 1


def test_strokes_in_quick_succession_are_gathered(painted, noticed, qtbot):
    n_before = len(painted.client.of(Preview))
    for y in range(20, 30):
        stroke(painted, 2, [(2, y, 70)])
    noticed()
    qtbot.waitUntil(lambda: len(painted.client.of(Preview)) > n_before)
    assert len(painted.client.of(Preview)) == n_before + 1


def test_undo_and_redo_are_noticed(painted, noticed):
    layer = painted.core.workspace.current.labels
    layer.undo()
    noticed()
    assert not (layer.data == 2).any()
    layer.redo()
    noticed()
    assert (layer.data == 2).any()


def test_undo_on_a_slice_out_of_sight_is_noticed(painted, noticed):
    layer = painted.core.workspace.current.labels
    painted.viewer.dims.set_current_step(0, 5)
    layer.undo()
    noticed(n_planes=1)
    assert painted.client.last(Paint).planes[0].prefix == (2,)


def test_fill_and_erase_are_noticed(painted, noticed):
    layer = painted.core.workspace.current.labels
    layer.fill((2, 60, 60), 2)
    noticed()
    assert (layer.data[2] == 2).sum() > 4000
    layer.fill((2, 60, 60), 0)
    noticed()
    stroke(painted, 0, [(2, 10, x) for x in range(5, 30)])
    noticed()
    assert not (layer.data == 1).any()


def test_the_older_form_of_the_paint_event_is_understood(painted, noticed):
    layer = painted.core.workspace.current.labels
    indices = (np.array([1, 4, 4]), np.array([3, 4, 5]), np.array([6, 7, 8]))
    layer.data_setitem(indices, 2)
    noticed(n_planes=2)


def test_painting_through_many_slices_is_noticed(painted, noticed):
    layer = painted.core.workspace.current.labels
    layer.n_edit_dimensions = 3
    layer.brush_size = 12
    layer.paint((3, 30, 60), 1)
    noticed()
    assert len([z for z in range(6) if (layer.data[z] == 1).any()]) > 4


def test_new_data_is_noticed(painted, noticed):
    layer = painted.core.workspace.current.labels
    data = np.zeros_like(layer.data)
    data[4, 5:9, 5:9] = 1
    data[5, 5:9, 5:9] = 2
    layer.data = data
    noticed()


def test_edits_in_place_are_noticed_after_a_refresh(painted, noticed):
    layer = painted.core.workspace.current.labels
    layer.data[2, 20:30, 50:60] = 1
    layer.refresh()
    noticed(n_planes=1)


def test_an_unknown_value_becomes_a_class(painted, noticed):
    stroke(painted, 5, [(2, 55, x) for x in range(40, 50)])
    noticed()
    assert 5 in painted.core.classes.table
    assert painted.core.classes.table[5].name == "class 5"


def test_numbered_objects_are_refused_as_classes(painted, qtbot):
    layer = painted.core.workspace.current.labels
    with qtbot.waitSignal(painted.core.classes.refused, timeout=30_000) as refused:
        layer.data = np.arange(layer.data.size).reshape(layer.data.shape).astype(np.uint8)
    assert "single objects" in refused.args[0]


@pytest.mark.parametrize("value", [300, 70000])
def test_values_too_large_for_classes_are_refused(dock, qtbot, value):
    widget = dock()
    data = np.zeros((6, 64, 80), dtype=np.int32)
    data[0, 3, 3] = value
    layer = widget.viewer.add_labels(data)
    with qtbot.waitSignal(widget.core.labelling.refused, timeout=30_000) as refused:
        widget.core.labelling.use_layer(layer)
    assert str(value) in refused.args[0]


def test_a_layer_with_labels_can_be_taken_over(dock, qtbot):
    widget = dock()
    data = np.zeros((6, 64, 80), dtype=np.int64)
    data[1, 3:9, 3:9] = 1
    data[4, 3:9, 3:9] = 2
    layer = widget.viewer.add_labels(data, name="mine")
    assert widget.core.labelling.fitting_layers() == [layer]
    assert widget.core.labelling.use_layer(layer)
    qtbot.waitUntil(lambda: agrees(widget), timeout=30_000)
    assert set(told(widget)) >= {(1,), (4,)}


def test_what_was_refused_is_not_forgotten_when_something_else_is_painted(dock, qtbot):
    widget = dock()
    layer = widget.viewer.add_labels(np.zeros((6, 64, 80), np.uint16), name="mine")
    widget.core.labelling.use_layer(layer)
    qtbot.waitUntil(widget.core.watch.knows_all, timeout=5000)
    labelling, shown = widget.core.labelling, widget.viewer.dims.current_step[0]
    for rows, value in (([2, 3], 300), ([10, 11], 1)):
        with qtbot.waitSignal(labelling.refused, timeout=5000) as refused:
            layer.data_setitem((np.full(2, shown), np.array(rows), np.array([5, 5])), value)
        assert "300" in refused.args[0]
    painted = widget.core.workspace.current.state.painted
    layer.data_setitem((np.full(2, shown), np.array([2, 3]), np.array([5, 5])), 2)
    qtbot.waitUntil(lambda: painted.patch((shown,)).counts == {1: 2, 2: 2}, timeout=5000)


def test_a_script_may_count_from_the_end(dock, qtbot):
    widget = dock()
    layer = widget.core.labelling.new_layer()
    layer.data_setitem((np.full(2, 2), np.array([-3, -2]), np.array([-1, 4])), 1)
    painted = widget.core.workspace.current.state.painted
    qtbot.waitUntil(lambda: painted.patch((2,)).labels.size > 0, timeout=5000)
    plane = np.zeros((64, 80), np.uint8)
    painted.patch((2,)).paint_on(plane)
    np.testing.assert_array_equal(plane, layer.data[2])


def test_labels_of_another_shape_or_kind_are_refused(dock, qtbot):
    widget = dock()
    small = widget.viewer.add_labels(np.zeros((6, 64, 70), dtype=np.uint8))
    assert widget.core.labelling.fitting_layers() == []
    with qtbot.waitSignal(widget.core.labelling.refused) as refused:
        assert not widget.core.labelling.use_layer(small)
    assert "(6, 64, 70)" in refused.args[0]


def test_a_deleted_label_layer_takes_its_strokes_along(painted, qtbot):
    painted.viewer.layers.remove(painted.core.workspace.current.labels)
    assert painted.core.workspace.current.labels is None
    assert painted.core.workspace.current.state.painted.counts() == {}
    qtbot.waitUntil(lambda: not told(painted)[(2,)].any(), timeout=30_000)


def test_filling_a_slice_takes_little_memory_and_can_be_undone(dock, monkeypatch):
    widget = dock(np.zeros((3, 300, 400), np.uint8))
    layer, work = widget.core.labelling.new_layer(), widget.core.workspace.current
    values = np.full((300, 400), 2, np.uint8)
    values[50:60] = 1

    def held():
        return sum(painting._nbytes(atom) for item in layer._undo_history for atom in item)

    painting.paint_free(layer, work.state.geometry, (1,), values)
    assert np.array_equal(layer.data[1], values)
    assert held() <= 7 * values.size  # 26 with napari's usual index
    layer.undo()
    assert not layer.data.any()
    layer.redo()
    assert np.array_equal(layer.data[1], values)

    monkeypatch.setattr(painting, "UNDO_BYTES", 15 * values.size)
    for value in (1, 2, 1, 2):
        rows, columns = np.nonzero(values)
        painting.paint_pixels(layer, work.state.geometry, (2,), rows, columns, value)
        assert held() <= painting.UNDO_BYTES
    assert len(layer._undo_history) == 2
    layer.undo()
    assert (layer.data[2] == 1).all()


def test_a_slice_of_labels_in_a_zarr_is_filled(dock):
    widget = dock()
    work = widget.core.workspace.current
    data = zarr.zeros((6, 64, 80), chunks=(1, 64, 80), dtype="uint8")
    layer = widget.viewer.add_labels(data, name="in a zarr")
    rows, columns = np.mgrid[3:9, 4:14].reshape(2, -1)
    painting.paint_pixels(layer, work.state.geometry, (2,), rows, columns, 2)
    assert (np.asarray(data[2, 3:9, 4:14]) == 2).all()
    assert np.count_nonzero(data[:]) == 60
