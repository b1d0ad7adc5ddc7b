"""Training from the dock on the real engine process: accept, roll back, cancel, kill."""

from __future__ import annotations

import os
import signal
import sys

import numpy as np
import pytest

from napari_regcon.config import FinetuneConfig
from napari_regcon.engine.checkpoint import read_checkpoint

from .conftest import stroke

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("folder")]

START_MS = 90_000
CHECK_EVERY = 5
QUICK = {"crop_px": 64, "crops_per_step": 2, "width": 4, "levels": 2, "check_every": CHECK_EVERY}
ENDLESS = {"steps": 10**6}


@pytest.fixture
def live(dock, qtbot):
    """Return a dock on a real engine with five strokes of each class, previewed."""
    image = np.random.default_rng(0).normal(60, 8, (2, 96, 120))
    image[..., 60:] += 100
    widget = dock(image.clip(0, 255).astype(np.uint8), real=True)
    for i in range(5):
        stroke(widget, 1, [(0, 10 + 15 * i, x) for x in range(5, 25)])
    widget.core.classes.add()

    def paint():
        for i in range(5):
            stroke(widget, 2, [(0, 10 + 15 * i, x) for x in range(80, 100)])

    shown(widget, qtbot, paint)
    qtbot.waitUntil(widget.panels.train._train.isEnabled, timeout=30_000)
    widget.panels.train._take_over.click()
    return widget


def begin(widget, **values):
    """Press Train, beginning from random weights, which are small here."""
    panel = widget.panels.train
    panel._form.set_values(QUICK | values)
    panel._start.setCurrentIndex(panel._start.findData(""))
    panel._train.click()


def train(widget, qtbot, **values):
    """Train to the end; return the name of what was made."""
    with qtbot.waitSignal(widget.core.training.made, timeout=START_MS) as made:
        begin(widget, **values)
    qtbot.waitUntil(lambda: not widget.core.training.running, timeout=30_000)
    return made.args[0]


def first_step(widget, qtbot, click):
    """Click on something; return the number of the first step that is told."""
    with qtbot.waitSignal(widget.core.training.stepped, timeout=START_MS) as stepped:
        click()
    return stepped.args[0].step


def shown(widget, qtbot, click):
    """Do something that changes the preview; return the slice once all of it is answered."""
    preview = widget.core.live
    with qtbot.waitSignal(preview.shown, timeout=START_MS):
        click()
    qtbot.waitUntil(
        lambda: preview._asked is None and not preview._timer.isActive(), timeout=30_000
    )
    return np.asarray(widget.core.workspace.current.prediction.data)[0].copy()


def pick_weights(widget, name):
    """Choose weights under Model, as the user does."""
    choice = widget.panels.model._weights
    choice.setCurrentIndex(choice.findData(name))


def test_a_network_is_accepted_and_there_is_a_way_back_to_an_earlier_one(live, qtbot):
    panel = live.panels.train
    first = train(live, qtbot, steps=6)
    assert len(panel._curves.points("loss")) == 6
    by_first = shown(live, qtbot, panel._use.click)

    def contradict():
        for i in range(6):
            stroke(live, 1, [(0, 5 + 15 * i, x) for x in range(62, 118)])

    shown(live, qtbot, contradict)
    second = train(live, qtbot, steps=6, seed=1)
    by_second = shown(live, qtbot, panel._use.click)
    assert second != first
    assert (by_second != by_first).any()

    np.testing.assert_array_equal(shown(live, qtbot, lambda: pick_weights(live, first)), by_first)
    np.testing.assert_array_equal(shown(live, qtbot, lambda: pick_weights(live, second)), by_second)
    shown(live, qtbot, lambda: live.panels.model.use_method("pixel-head"))
    assert live.state_line.kind != "failed"


def test_a_training_is_cancelled_and_nothing_has_changed(live, folder, qtbot):
    work = live.core.workspace.current
    labels, prediction = work.labels.data.copy(), np.asarray(work.prediction.data).copy()
    first_step(live, qtbot, lambda: begin(live, **ENDLESS))
    panel = live.panels.train
    panel._cancel.click()
    qtbot.waitUntil(lambda: not live.core.training.running, timeout=30_000)
    assert "nothing has changed" in panel._note.text()
    assert panel._go_on.isHidden()
    assert not list(folder.iterdir())
    np.testing.assert_array_equal(work.labels.data, labels)
    np.testing.assert_array_equal(work.prediction.data, prediction)
    assert live.panels.model.method == "pixel-head"
    assert first_step(live, qtbot, lambda: begin(live, **ENDLESS)) == 1
    panel._cancel.click()
    qtbot.waitUntil(lambda: not live.core.training.running, timeout=30_000)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
def test_a_killed_engine_goes_on_from_where_the_network_was_last_judged(live, qtbot):
    training, panel = live.core.training, live.panels.train
    labels = live.core.workspace.current.labels.data.copy()
    begin(live, **ENDLESS)
    qtbot.waitUntil(training._kept.exists, timeout=START_MS)
    os.kill(live.core.link._client.pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: live.state_line.kind == "failed", timeout=30_000)
    assert "Nothing painted is lost" in live.state_line.text
    np.testing.assert_array_equal(live.core.workspace.current.labels.data, labels)

    kept = read_checkpoint(training._kept, FinetuneConfig(**QUICK | ENDLESS))
    assert kept["step"] >= CHECK_EVERY
    assert kept["step"] % CHECK_EVERY == 0
    assert first_step(live, qtbot, panel._go_on.click) == kept["step"] + 1
    with qtbot.waitSignal(training.made, timeout=30_000):
        panel._finish.click()
    qtbot.waitUntil(lambda: not training.running, timeout=30_000)
    assert not training._kept.exists()
    np.testing.assert_array_equal(live.core.workspace.current.labels.data, labels)
