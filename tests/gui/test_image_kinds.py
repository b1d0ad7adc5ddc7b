"""Images of every kind get labels and predictions in exactly their place."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from numpy.testing import assert_allclose

from napari_regcon.types import Box
from napari_regcon.worker.protocol import (
    CloseImage,
    FileArray,
    OpenImage,
    Paint,
    Preview,
    PreviewDone,
    SharedArray,
)
from napari_regcon.worker.shared import SharedBuffer

from .conftest import stroke

pytestmark = pytest.mark.gui


def pixels(shape, dtype=np.uint8):
    return np.random.default_rng(1).integers(0, 200, shape).astype(dtype)


def received(widget):
    """Return the pixels as the engine sees them."""
    with SharedBuffer.attach(widget.client.last(OpenImage).source) as buffer:
        return buffer.array.copy()


def preview_everything(widget, value=2):
    """Answer the last preview with one class everywhere."""
    request = widget.client.last(Preview)
    shape = request.out.shape
    widget.client.write(request, value)
    whole = Box((0, 0), shape)
    event = PreviewDone(request.generation, request.image_id, request.prefix, whole, True, 0.0, 0.0)
    widget.client.say(event)
    return widget.core.workspace.current.prediction


def paint_two(widget, qtbot, *points):
    for value, point in enumerate(points, start=1):
        stroke(widget, value, [point])
    qtbot.waitUntil(lambda: widget.client.of(Preview) != [], timeout=30_000)


def test_scale_units_names_and_place_are_taken_along(dock, qtbot):
    widget = dock(
        pixels((6, 64, 80)),
        scale=(30, 8, 8),
        translate=(5, 10, -20),
        units=("nm", "nm", "nm"),
        axis_labels=("z", "y", "x"),
        rotate=10,
    )
    paint_two(widget, qtbot, (3, 5, 5), (3, 9, 9))
    image = widget.core.workspace.current.layer
    for layer in (widget.core.workspace.current.labels, preview_everything(widget)):
        assert_allclose(layer.scale, image.scale)
        assert_allclose(layer.translate, image.translate)
        assert_allclose(layer.rotate, image.rotate)
        assert layer.units == image.units
        assert layer.axis_labels == image.axis_labels
        assert_allclose(layer.extent.world, image.extent.world)
    request = widget.client.last(OpenImage)
    assert (request.axes, request.scale) == ("ZYX", (30.0, 8.0, 8.0))
    assert request.units == ("nanometer",) * 3
    assert request.translate == (5.0, 10.0, -20.0)
    assert np.array_equal(received(widget), image.data)


def test_single_images(dock, qtbot):
    widget = dock(pixels((64, 80), np.float32))
    paint_two(widget, qtbot, (5, 5), (9, 9))
    assert widget.client.last(Preview).prefix == ()
    assert (preview_everything(widget).data == 2).all()


def test_colours(dock, qtbot):
    widget = dock(pixels((64, 80, 3)))
    assert widget.core.workspace.current.layer.rgb
    paint_two(widget, qtbot, (5, 5), (9, 9))
    assert widget.client.last(OpenImage).axes == "YXC"
    assert received(widget).shape == (64, 80, 3)
    assert preview_everything(widget).data.shape == (64, 80)


def test_channels_share_one_label_layer(dock, qtbot):
    data = pixels((6, 3, 64, 80))
    widget = dock(data, scale=(2, 1, 1, 1), axis_labels=("z", "c", "y", "x"))
    paint_two(widget, qtbot, (4, 0, 5, 5), (4, 0, 9, 9))
    assert widget.client.last(OpenImage).axes == "ZYXC"
    assert np.array_equal(received(widget), np.moveaxis(data, 1, -1))
    assert widget.client.of(Paint)[-1].planes[0].prefix == (4,)
    layer = preview_everything(widget)
    assert layer.data.shape == (6, 1, 64, 80)
    z = widget.client.last(Preview).prefix[0]
    widget.viewer.dims.set_current_step(0, z)
    for channel in range(3):
        widget.viewer.dims.set_current_step(1, channel)
        assert np.asarray(layer._slice.image.raw).all(), channel
    assert_allclose(
        layer.extent.world[:, 0], widget.core.workspace.current.layer.extent.world[:, 0]
    )


def test_time_and_depth(dock, qtbot):
    widget = dock(pixels((2, 5, 64, 80)))
    assert widget.core.workspace.current.state.geometry.axes == "TZYX"
    widget.viewer.dims.set_point((0, 1), (1, 3))
    paint_two(widget, qtbot, (1, 3, 5, 5), (1, 3, 9, 9))
    assert widget.client.last(Preview).prefix == (1, 3)


def test_axes_can_be_corrected(dock, qtbot):
    data = pixels((3, 64, 80))
    widget = dock(data)
    assert widget.client.last(OpenImage).axes == "ZYX"
    first = widget.core.workspace.current
    widget.core.workspace.set_axes("CYX")
    work = widget.core.workspace.current
    assert work is not first
    assert widget.client.last(CloseImage).image_id == first.image_id
    qtbot.waitUntil(lambda: work.source is not None, timeout=30_000)
    assert widget.client.last(OpenImage).axes == "YXC"
    assert np.array_equal(received(widget), np.moveaxis(data, 0, -1))


def test_lazy_images(dock):
    data = pixels((6, 64, 80))
    widget = dock(da.from_array(data, chunks=(2, 32, 32)))
    assert np.array_equal(received(widget), data)


def test_several_resolutions_use_the_finest(dock, qtbot):
    data = pixels((6, 64, 80))
    widget = dock([data, data[:, ::2, ::2]], multiscale=True)
    assert np.array_equal(received(widget), data)
    paint_two(widget, qtbot, (3, 5, 5), (3, 9, 9))
    layer = preview_everything(widget)
    assert layer.data.shape == (6, 64, 80)
    assert not layer.multiscale


@pytest.mark.parametrize("kind", ["npy", "tif"])
def test_images_with_a_file_are_opened_by_path(dock, tmp_path, kind):
    data = pixels((6, 64, 80))
    path = tmp_path / f"cells.{kind}"
    if kind == "npy":
        np.save(path, data)
        layer_data = np.load(path, mmap_mode="r")
    else:
        import tifffile

        tifffile.imwrite(path, data, metadata={"axes": "ZYX"})
        layer_data = tifffile.memmap(path, mode="r")
    widget = dock(layer_data)
    source = widget.client.last(OpenImage).source
    assert isinstance(source, FileArray)
    assert source.path == path
    assert widget.core.workspace.current.source.buffer is None


def test_a_file_with_other_pixels_is_not_taken(dock, tmp_path):
    data = pixels((6, 64, 80))
    path = tmp_path / "cells.npy"
    np.save(path, data)
    changed = np.load(path, mmap_mode="c")
    changed[:] = 255 - changed
    widget = dock(changed)
    assert isinstance(widget.client.last(OpenImage).source, SharedArray)
    assert np.array_equal(received(widget), 255 - data)


def test_new_pixels_are_sent_again_with_what_is_painted(painted, qtbot):
    layer = painted.core.workspace.current.layer
    work = painted.core.workspace.current
    layer.data = 255 - layer.data
    qtbot.waitUntil(lambda: len(painted.client.of(OpenImage)) == 2, timeout=30_000)
    assert painted.core.workspace.current is work
    assert np.array_equal(received(painted), layer.data)
    qtbot.waitUntil(
        lambda: (
            isinstance(painted.client.sent[-1], Preview)
            and painted.client.last(Paint).planes[0].labels.array.any()
        ),
        timeout=30_000,
    )


def test_a_scale_that_is_set_later_counts_too(painted, qtbot):
    before = len(painted.client.sent)
    painted.core.workspace.current.layer.scale = (30, 8, 8)
    painted.core.live.request_once()
    opened, painted_planes, preview = painted.client.sent[before:]
    assert opened.scale == (30.0, 8.0, 8.0)
    assert np.array_equal(received(painted), painted.core.workspace.current.layer.data)
    assert isinstance(painted_planes, Paint)
    assert painted_planes.planes[0].labels.array.any()
    assert isinstance(preview, Preview)
    painted.core.live.request_once()
    assert len(painted.client.of(OpenImage)) == 2


def test_pixels_of_another_shape_start_anew(painted, qtbot):
    work = painted.core.workspace.current
    work.layer.data = pixels((4, 30, 40))
    assert painted.core.workspace.current is not work
    assert painted.core.workspace.current.state.geometry.label_shape == (4, 30, 40)


def test_images_with_too_many_axes_are_explained(dock):
    widget = dock(False)
    widget.viewer.add_image(pixels((2, 2, 2, 2, 30, 40)))
    assert widget.core.workspace.current is None
    assert "2 to 5" in widget.state_line.text
