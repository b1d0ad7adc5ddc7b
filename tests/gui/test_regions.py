"""Regions in the window: found for the visible slice, shown, and painted with the mouse."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPointF, Qt, QTimer
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication, QCheckBox, QSlider

from napari_regcon._qt.regions_layer import COLOR_BY
from napari_regcon.data import region_tree
from napari_regcon.data.normalize import estimate_normalization
from napari_regcon.data.views import ImageView
from napari_regcon.engine.regions import RegionFinder
from napari_regcon.engine.segmenter import run
from napari_regcon.types import Box, Volume
from napari_regcon.worker.protocol import (
    Configure,
    EngineDied,
    FindRegions,
    JobDone,
    JobFailed,
    RegionsFound,
)
from napari_regcon.worker.shared import SharedBuffer

from .conftest import stroke
from .test_dock import canvas_of, on_canvas

pytestmark = pytest.mark.gui

BLOCK_PX = 16
GREYS = np.array([[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [0, 4, 8, 2, 6], [9, 3, 0, 7, 5]])
LEFT, NO_BUTTON = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
PRESS, MOVE, RELEASE = (
    QMouseEvent.Type.MouseButtonPress,
    QMouseEvent.Type.MouseMove,
    QMouseEvent.Type.MouseButtonRelease,
)


def blocks():
    """Three slices of 4 x 5 blocks, each block of one grey."""
    plane = np.kron(GREYS, np.ones((BLOCK_PX, BLOCK_PX), int)) * 25 + 10
    return np.stack([plane, plane[::-1], plane]).astype(np.uint8)


def block(row, column):
    """Return the index of a block, without the rim where it meets others."""
    return np.s_[
        row * BLOCK_PX + 3 : (row + 1) * BLOCK_PX - 3,
        column * BLOCK_PX + 3 : (column + 1) * BLOCK_PX - 3,
    ]


def middle(row, column):
    return row * BLOCK_PX + BLOCK_PX // 2, column * BLOCK_PX + BLOCK_PX // 2


def answer(widget, request):
    """Do what the engine does."""
    layer = widget.core.workspace.current.layer
    volume = Volume(np.asarray(layer.data), "ZYX"[3 - layer.ndim :])
    view = ImageView(volume, estimate_normalization(volume), request.prefix, 2)
    tree = run(RegionFinder(request.config).tree_in_steps(view, request.box))
    with SharedBuffer.attach(request.leaves) as buffer:
        buffer.array[...] = tree.leaves
    found = RegionsFound(request.generation, tree.merges, tree.sizes, tree.features)
    widget.client.say(found)


def checkbox(widget, text):
    return next(b for b in widget.panels.regions.findChildren(QCheckBox) if b.text() == text)


def next_request(widget, qtbot, n_before=0):
    qtbot.waitUntil(lambda: len(widget.client.of(FindRegions)) > n_before, timeout=5000)
    return widget.client.last(FindRegions)


@pytest.fixture
def shown(dock, qtbot):
    """Return a dock that shows the finest regions of slice 0 in a real window."""
    widget = dock(blocks(), show=True)
    widget.viewer.dims.set_current_step(0, 0)
    checkbox(widget, "Show regions").click()
    widget.core.regions.set_granularity(1.0)
    answer(widget, next_request(widget, qtbot))
    qtbot.waitUntil(lambda: widget.core.regions.partition is not None, timeout=5000)
    assert len(widget.core.regions.partition.sizes) == GREYS.size
    return widget


def mouse(widget, kind, place, buttons=LEFT, modifiers=Qt.KeyboardModifier.NoModifier):
    canvas, point = canvas_of(widget.viewer), on_canvas(widget.viewer, *place)
    button = NO_BUTTON if kind == MOVE else LEFT
    where, globally = QPointF(point), QPointF(canvas.mapToGlobal(point))
    event = QMouseEvent(kind, where, globally, button, buttons, modifiers)
    QApplication.sendEvent(canvas, event)


def click(widget, row, column, modifiers=Qt.KeyboardModifier.NoModifier):
    place = middle(row, column)
    mouse(widget, MOVE, place, NO_BUTTON, modifiers)
    mouse(widget, PRESS, place, modifiers=modifiers)
    mouse(widget, RELEASE, place, NO_BUTTON, modifiers)


@pytest.fixture
def brush(shown):
    """Return a dock with the region brush in hand and class 1 picked."""
    shown.core.labelling.pick_class(1)
    checkbox(shown, "Region brush").click()
    return shown


def plane_of(widget):
    return np.asarray(widget.core.workspace.current.labels.data)[widget.viewer.dims.current_step[0]]


def painted_blocks(widget, value):
    plane = plane_of(widget)
    return {
        (row, column)
        for row, column in np.ndindex(GREYS.shape)
        if (plane[block(row, column)] == value).all()
    }


# ------------------------------------------------------------------ showing


def test_nothing_is_asked_for_until_regions_are_wanted(dock, qtbot):
    widget = dock(blocks())
    widget.viewer.dims.set_current_step(0, 2)
    timers = widget.core.regions.findChildren(QTimer)
    qtbot.waitUntil(lambda: not any(timer.isActive() for timer in timers))
    assert not widget.client.of(FindRegions)


def test_borders_are_drawn_over_the_image(shown):
    layer = shown.core.workspace.current.regions
    assert layer.visible
    assert layer.data.shape == (3, 64, 80, 4)
    drawn = layer.data[0, ..., 3] > 0
    assert not any(drawn[block(row, column)].any() for row, column in np.ndindex(GREYS.shape))
    assert drawn.sum() > 4 * 64
    checkbox(shown, "Filled").click()
    assert (layer.data[0, ..., 3] > 0).all()
    checkbox(shown, "Show regions").click()
    assert not layer.visible
    assert shown.core.regions.partition is None


def test_the_slider_needs_no_answer_from_the_engine(shown):
    slider = shown.panels.regions.findChildren(QSlider)[0]
    counts = []
    for value in (100, 60, 0):
        slider.setValue(value)
        counts.append(len(shown.core.regions.partition.sizes))
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 1
    assert len(shown.client.of(FindRegions)) == 1


def test_another_slice_has_its_own_regions(shown, qtbot):
    shown.viewer.dims.set_current_step(0, 1)
    request = next_request(shown, qtbot, 1)
    assert request.prefix == (1,)
    assert not shown.core.workspace.current.regions.visible
    shown.viewer.dims.set_current_step(0, 2)
    later = next_request(shown, qtbot, 2)
    answer(shown, request)  # too late
    assert shown.core.regions.partition is None
    answer(shown, later)
    qtbot.waitUntil(lambda: shown.core.regions.partition is not None, timeout=5000)
    assert shown.core.workspace.current.regions.visible


def test_failures_are_told_and_the_memory_comes_back(shown, qtbot):
    shown.viewer.dims.set_current_step(0, 1)
    shown.client.say(JobFailed(next_request(shown, qtbot, 1).generation, "It is too dark."))
    qtbot.waitUntil(lambda: "too dark" in shown.state_line.text, timeout=5000)
    shown.viewer.dims.set_current_step(0, 2)
    shown.client.say(JobDone(next_request(shown, qtbot, 2).generation, True, 0.1))
    shown.viewer.dims.set_current_step(0, 1)
    generation = next_request(shown, qtbot, 3).generation
    shown.client.say(EngineDied("It died.", (generation,)))
    qtbot.waitUntil(lambda: not shown.core.regions._asked, timeout=5000)


def test_large_planes_are_cut_around_the_middle_of_the_view(dock, qtbot, monkeypatch):
    monkeypatch.setattr(region_tree, "LARGEST_PX", 40)
    widget = dock(blocks(), scale=(4, 2, 2), translate=(0, 10, 20), show=True)
    checkbox(widget, "Show regions").click()
    request = next_request(widget, qtbot)
    assert request.box == Box((32, 40), (64, 80))
    answer(widget, request)
    qtbot.waitUntil(lambda: widget.core.regions.partition is not None, timeout=5000)
    layer = widget.core.workspace.current.regions
    np.testing.assert_allclose(layer.translate, (0, 10 + 64, 20 + 80))
    assert layer.data.shape == (3, 32, 40, 4)
    assert widget.core.regions.region_at((0, 10 + 66, 20 + 84))
    assert not widget.core.regions.region_at((0, 10 + 60, 20 + 84))


def test_the_network_of_the_method_takes_part(dock, qtbot):
    widget = dock(blocks())
    widget.core.snapshot.model = Configure(
        "cpu", "pixel-head", (("features", "both"),), "tiny.safetensors"
    )
    checkbox(widget, "Show regions").click()
    request = next_request(widget, qtbot)
    assert (request.weights, request.device) == ("tiny.safetensors", "cpu")


# ------------------------------------------------------------------ colours


def color_at(widget, row, column):
    layer = widget.core.workspace.current.regions
    return tuple(int(c) for c in layer.data[(0, *middle(row, column))])


def test_regions_take_the_colour_of_their_class(shown, qtbot):
    checkbox(shown, "Filled").click()
    shown.core.regions_layer.set_color_by("class")
    stroke(shown, 2, [(0, *middle(1, 1))])
    expected = shown.core.classes.table.colors()[2]
    wanted = tuple(int(expected[i : i + 2], 16) for i in (1, 3, 5))
    qtbot.waitUntil(lambda: color_at(shown, 1, 1)[:3] == wanted, timeout=5000)
    assert color_at(shown, 0, 0)[:3] == (170, 170, 170)


def test_regions_show_how_sure_the_prediction_is(shown):
    checkbox(shown, "Filled").click()
    work = shown.core.workspace.current
    unsure = np.zeros((64, 80), np.uint8)
    unsure[:, 40:] = 255
    shown.core.results.show_uncertainty(work, (0,), Box((0, 0), (64, 80)), unsure)
    shown.core.regions_layer.set_color_by("confidence")
    sure, doubtful = color_at(shown, 0, 0), color_at(shown, 0, 4)
    assert sum(sure) > sum(doubtful)
    assert doubtful[:3] == color_at(shown, 3, 4)[:3]


def test_regions_show_what_is_like_the_one_pointed_at(shown, qtbot):
    checkbox(shown, "Filled").click()
    shown.core.regions_layer.set_color_by("similarity")
    mouse(shown, MOVE, middle(0, 0), NO_BUTTON)

    def alike():
        mouse(shown, MOVE, middle(0, 0), NO_BUTTON)
        same, other = color_at(shown, 2, 0), color_at(shown, 3, 0)
        return same == color_at(shown, 0, 0) != other

    qtbot.waitUntil(alike, timeout=5000)


def test_every_way_to_colour_can_be_chosen(shown):
    choice = shown.panels.regions._color_by
    for index, name in enumerate(COLOR_BY):
        choice.setCurrentIndex(index)
        assert shown.core.regions_layer._color_by == name
        assert shown.core.workspace.current.regions.visible


# ------------------------------------------------------------------ painting


def test_a_click_paints_a_region_and_one_undo_takes_it_back(brush, qtbot):
    click(brush, 1, 2)
    assert painted_blocks(brush, 1) == {(1, 2)}
    known = brush.core.workspace.current.state.painted
    n_painted = int((plane_of(brush) == 1).sum())
    qtbot.waitUntil(lambda: known.counts() == {1: n_painted}, timeout=5000)
    qtbot.keyClick(canvas_of(brush.viewer), Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert not plane_of(brush).any()


def test_a_drag_paints_what_it_passes_as_one_step(brush, qtbot):
    before = tuple(brush.viewer.scene.camera.center)
    mouse(brush, MOVE, middle(2, 0), NO_BUTTON)
    mouse(brush, PRESS, middle(2, 0))
    for column in (1, 2):

        def passed(column=column):
            mouse(brush, MOVE, middle(2, column))
            return (2, column) in painted_blocks(brush, 1)

        qtbot.waitUntil(passed, timeout=5000)
    mouse(brush, RELEASE, middle(2, 2), NO_BUTTON)
    assert painted_blocks(brush, 1) == {(2, 0), (2, 1), (2, 2)}
    assert tuple(brush.viewer.scene.camera.center) == before
    brush.core.workspace.current.labels.undo()
    assert not plane_of(brush).any()


def test_a_shift_click_paints_what_is_alike(brush):
    brush.core.region_brush.set_least_similarity(0.999)
    click(brush, 0, 0, Qt.KeyboardModifier.ShiftModifier)
    same = {tuple(int(i) for i in at) for at in np.argwhere(GREYS[0, 0] == GREYS)}
    assert painted_blocks(brush, 1) == same
    brush.core.workspace.current.labels.undo()
    assert not plane_of(brush).any()
    brush.core.region_brush.set_least_similarity(0.0)
    click(brush, 0, 0, Qt.KeyboardModifier.ShiftModifier)
    assert (plane_of(brush) == 1).all()


def test_picking_a_class_keeps_the_brush_and_other_tools_take_it_away(brush):
    brush.core.labelling.pick_class(2)
    click(brush, 3, 3)
    assert painted_blocks(brush, 2) == {(3, 3)}
    layer = brush.core.workspace.current.labels
    layer.mode = "paint"
    assert not checkbox(brush, "Region brush").isChecked()
    assert layer.mouse_drag_callbacks  # napari's own
    click(brush, 0, 0)
    assert (0, 0) not in painted_blocks(brush, 2)


def test_the_pan_mode_pans_again_once_the_brush_is_down(brush):
    layer = brush.core.workspace.current.labels
    assert not layer.mouse_pan
    checkbox(brush, "Region brush").click()
    assert layer.mouse_pan
    click(brush, 1, 1)
    assert not plane_of(brush).any()


def test_locked_labels_stay(brush):
    click(brush, 1, 2)
    brush.core.locking.toggle_class(1)
    brush.core.labelling.pick_class(2)
    click(brush, 1, 2)
    assert painted_blocks(brush, 1) == {(1, 2)}
    brush.core.locking.unlock_all()
    brush.core.workspace.current.labels.preserve_labels = True
    click(brush, 1, 2)
    assert painted_blocks(brush, 1) == {(1, 2)}
    brush.core.workspace.current.labels.preserve_labels = False
    click(brush, 1, 2)
    assert painted_blocks(brush, 2) == {(1, 2)}
    brush.core.locking.toggle_slice()
    click(brush, 0, 0)
    assert painted_blocks(brush, 2) == {(1, 2)}


def test_the_brush_shows_regions_and_is_put_down_with_them(dock, qtbot):
    widget = dock(blocks(), show=True)
    checkbox(widget, "Region brush").click()
    assert checkbox(widget, "Show regions").isChecked()
    assert widget.core.workspace.current.labels is not None
    click(widget, 0, 0)  # before there are any
    assert not plane_of(widget).any()
    answer(widget, next_request(widget, qtbot))
    checkbox(widget, "Show regions").click()
    assert not checkbox(widget, "Region brush").isChecked()


def test_without_an_image_the_brush_stays_down(dock):
    widget = dock(False)
    checkbox(widget, "Region brush").click()
    assert not checkbox(widget, "Region brush").isChecked()


def test_the_real_engine_finds_them(dock, qtbot):
    widget = dock(blocks(), real=True)
    checkbox(widget, "Show regions").click()
    qtbot.waitUntil(lambda: widget.core.regions.partition is not None, timeout=60_000)
    assert widget.core.workspace.current.regions.visible
    assert not widget.core.regions._asked
