"""A second method is shown to the right of the image, and goes when the switch is turned off."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtWidgets import QCheckBox, QComboBox

from napari_regcon.types import Box
from napari_regcon.worker.protocol import JobFailed, Preview, PreviewDone

from .conftest import stroke

pytestmark = pytest.mark.gui

WHOLE = Box((0, 0), (64, 80))


def answer(widget, request, pixels):
    """Draw and answer as the engine does."""
    widget.client.write(request, pixels)
    whole = Box.of_shape(request.out.shape)
    done = PreviewDone(request.generation, request.image_id, request.prefix, whole, True, 0.1, 0.1)
    widget.client.say(done)


def of_kind(widget, kind):
    return [r for r in widget.client.of(Preview) if r.kind == kind]


def box(widget):
    return widget.panels.model.compare


def switch(widget):
    box(widget).findChild(QCheckBox).click()


def hint(widget):
    return box(widget).text


def made_for_it(widget):
    return [x for x in widget.viewer.layers if x.name.startswith("comparison")]


def preview(widget, qtbot, pixels=1):
    """Let the first method answer; return what the second is asked."""
    qtbot.waitUntil(lambda: of_kind(widget, "prediction") != [], timeout=5000)
    n_before = len(of_kind(widget, "comparison"))
    answer(widget, of_kind(widget, "prediction")[-1], pixels)
    qtbot.waitUntil(lambda: len(of_kind(widget, "comparison")) > n_before, timeout=5000)
    return of_kind(widget, "comparison")[-1]


@pytest.fixture
def compared(painted, qtbot):
    """Return a dock that compares with the in-context network, which found a column more."""
    switch(painted)
    request = preview(painted, qtbot)
    assert (request.prefix, request.box, request.model.method) == ((2,), WHOLE, "in-context")
    assert hint(painted) == "Comparing …"
    pixels = np.ones((64, 80), np.uint8)
    pixels[:, 10:12] = 2
    answer(painted, request, pixels)
    return painted


def test_nothing_is_compared_until_it_is_wanted(painted, qtbot):
    answer(painted, of_kind(painted, "prediction")[-1], 1)
    assert not of_kind(painted, "comparison")
    assert not made_for_it(painted)


def test_both_are_seen_side_by_side(compared):
    work = compared.core.workspace.current
    copy, labels = made_for_it(compared)
    assert copy.data is work.layer.data
    np.testing.assert_array_equal(copy.scale, work.layer.scale)
    assert copy.units == work.layer.units
    np.testing.assert_array_equal(copy.translate, labels.translate)
    shift = copy.translate - work.layer.translate
    assert (shift[:2] == 0).all()
    assert shift[2] == 83
    assert (labels.data[2, :, 10:12] == 2).all()
    assert np.count_nonzero(labels.data == 2) == 128
    assert hint(compared) == "128 of 5,120 pixels differ (2.5%)."
    left, right = compared.viewer.layers.extent.world[:, 2]
    assert right - left > 160
    assert len(compared.panels.image._listed) == 1  # the copy cannot be chosen


def test_nothing_of_the_user_is_touched(compared):
    work = compared.core.workspace.current
    assert (work.labels.data > 0).sum() == 50
    assert (work.prediction.data[2] == 1).all()
    assert not {work.labels, work.prediction} & set(made_for_it(compared))


def test_it_follows_strokes_and_slices(compared, qtbot):
    n_asked = len(of_kind(compared, "prediction"))
    stroke(compared, 1, [(2, 50, 5)])
    qtbot.waitUntil(lambda: len(of_kind(compared, "prediction")) > n_asked, timeout=5000)
    assert preview(compared, qtbot).prefix == (2,)
    n_asked = len(of_kind(compared, "prediction"))
    compared.viewer.dims.set_current_step(0, 4)
    qtbot.waitUntil(lambda: len(of_kind(compared, "prediction")) > n_asked, timeout=5000)
    request = preview(compared, qtbot)
    assert request.prefix == (4,)
    answer(compared, request, 2)
    assert (made_for_it(compared)[1].data[4] == 2).all()
    assert hint(compared) == "5,120 of 5,120 pixels differ (100.0%)."


def test_switching_off_removes_what_it_made(compared):
    camera = compared.core.comparison._camera_of()
    before = compared.core.comparison._camera[0]
    switch(compared)
    assert not made_for_it(compared)
    assert hint(compared) == ""
    assert (camera.center, camera.zoom) == before
    assert compared.core.workspace.current.prediction in compared.viewer.layers


def test_an_error_of_the_second_leaves_the_first_alone(painted, qtbot):
    switch(painted)
    request = preview(painted, qtbot)
    painted.client.say(JobFailed(request.generation, "Only strokes are painted."))
    assert "Only strokes are painted." in hint(painted)
    assert painted.state_line.kind != "failed"
    assert (painted.core.workspace.current.prediction.data[2] == 1).all()
    assert not made_for_it(painted)


def test_a_method_is_not_compared_with_itself(painted, qtbot):
    methods = box(painted).findChild(QComboBox)
    switch(painted)
    methods.setCurrentIndex(methods.findData("pixel-head"))
    assert "chosen above" in hint(painted)
    methods.setCurrentIndex(methods.findData("fine-tuned"))
    assert hint(painted)
    assert painted.core.comparison.model is None
    methods.setCurrentIndex(methods.findData("in-context"))
    assert painted.core.comparison.model.weights == "universeg-em-light"


def test_an_image_with_channels_in_nanometres(dock, qtbot):
    data = np.random.default_rng(0).integers(0, 255, (4, 64, 80, 3), dtype=np.uint8)
    widget = dock(data, rgb=True, scale=(40, 4, 4), translate=(0, 100, 200), units="nm")
    widget.viewer.dims.set_current_step(0, 2)
    stroke(widget, 1, [(2, 10, x) for x in range(5, 30)])
    stroke(widget, 2, [(2, 40, x) for x in range(5, 30)])
    switch(widget)
    answer(widget, preview(widget, qtbot), 2)
    copy, labels = made_for_it(widget)
    assert copy.rgb
    np.testing.assert_array_equal(copy.translate, [0, 100, 200 + 83 * 4])
    np.testing.assert_array_equal(labels.translate, copy.translate)
    np.testing.assert_array_equal(labels.scale, (40, 4, 4))
