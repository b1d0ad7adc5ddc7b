"""The dock on the real engine process: paint, preview, undo, volume, cancel, kill."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time

import numpy as np
import psutil
import pytest
from qtpy.QtCore import QTimer

from .conftest import stroke

pytestmark = [pytest.mark.gui, pytest.mark.slow]

START_MS = 90_000


def two_tone(shape=(8, 128, 128)):
    """Return an image with a bright left and a dark right half, and noise."""
    rng = np.random.default_rng(3)
    image = np.full(shape, 60, dtype=np.float32)
    image[..., : shape[-1] // 2] = 160
    return np.clip(image + rng.normal(0, 12, shape), 0, 255).astype(np.uint8)


@pytest.fixture
def live(dock, qtbot):
    """Return a dock with two strokes on slice 3, and the preview that followed."""
    widget = dock(two_tone(), real=True)
    widget.viewer.dims.set_current_step(0, 3)
    stroke(widget, 2, [(3, 20, x) for x in range(10, 40)])
    with qtbot.waitSignal(widget.core.live.shown, timeout=START_MS):
        stroke(widget, 1, [(3, 20, x) for x in range(80, 110)])
    return widget


def prediction(widget):
    return np.asarray(widget.core.workspace.current.prediction.data)


def engine_pid(widget):
    return widget.core.link._client.pid


def test_a_stroke_becomes_a_segmentation_and_undo_takes_it_back(live, qtbot):
    plane = prediction(live)[3].copy()
    assert (plane[:, :60] == 2).mean() > 0.8
    assert (plane[:, 68:] == 1).mean() > 0.8
    assert live.state_line.kind == "idle"
    assert live.state_line.text.startswith("Ready · CPU")

    with qtbot.waitSignal(live.core.live.shown, timeout=30_000):
        stroke(live, 2, [(3, y, 100) for y in range(30, 120)])
    changed = prediction(live)[3].copy()
    assert (changed != plane).any()
    with qtbot.waitSignal(live.core.live.shown, timeout=30_000):
        live.core.workspace.current.labels.undo()
    assert np.array_equal(prediction(live)[3], plane)


def test_the_whole_volume_is_segmented(live, qtbot):
    with qtbot.waitSignal(live.core.volume.finished, timeout=60_000):
        live.panels.segment._volume.click()
    volume = prediction(live)
    assert (volume[..., :60] == 2).mean() > 0.8
    assert (volume[..., 68:] == 1).mean() > 0.8
    assert live.core.workspace.current.state.predictions.missing() == []


def test_cancel_keeps_what_is_done_and_resume_goes_on(dock, qtbot):
    widget = dock(two_tone((64, 512, 512)), real=True)
    stroke(widget, 2, [(3, 20, x) for x in range(10, 40)])
    stroke(widget, 1, [(3, 20, x) for x in range(380, 410)])
    widget.core.volume.start()
    book = widget.core.workspace.current.state.predictions
    qtbot.waitUntil(lambda: 0 < len(book.missing()) < 64, timeout=START_MS)
    with qtbot.waitSignal(widget.core.volume.finished, timeout=30_000):
        widget.panels.segment._cancel.click()
    assert 0 < len(book.missing()) < 64
    assert "Missing" in widget.panels.segment._note.text()
    done = [z for z in range(64) if (z,) not in book.missing()]
    assert all(prediction(widget)[z].all() for z in done)
    with qtbot.waitSignal(widget.core.volume.finished, timeout=60_000):
        widget.panels.segment._resume.click()
    assert prediction(widget).all()


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
def test_a_killed_engine_is_told_in_words_and_the_next_stroke_works(live, qtbot):
    labels = live.core.workspace.current.labels.data.copy()
    first = engine_pid(live)
    os.kill(first, signal.SIGKILL)
    qtbot.waitUntil(lambda: live.state_line.kind == "failed", timeout=30_000)
    assert "Nothing painted is lost" in live.state_line.text
    assert np.array_equal(live.core.workspace.current.labels.data, labels)
    live.core.workspace.current.prediction.data[:] = 0
    with qtbot.waitSignal(live.core.live.shown, timeout=START_MS):
        stroke(live, 1, [(3, 30, x) for x in range(80, 110)])
    assert (prediction(live)[3][:, :60] == 2).mean() > 0.8
    assert engine_pid(live) != first


def test_closing_the_window_in_the_middle_ends_the_process(dock, qtbot):
    widget = dock(two_tone((64, 512, 512)), real=True)
    stroke(widget, 2, [(3, 20, x) for x in range(10, 40)])
    stroke(widget, 1, [(3, 20, x) for x in range(380, 410)])
    widget.core.volume.start()
    qtbot.waitUntil(lambda: widget.core.volume.progress is not None, timeout=START_MS)
    pid = engine_pid(widget)
    widget.viewer.close()
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_the_window_answers_while_the_engine_works(dock, qtbot):
    widget = dock(two_tone((24, 512, 512)), real=True)
    widget.viewer.dims.set_current_step(0, 3)
    stroke(widget, 2, [(3, 20, x) for x in range(10, 140)])
    with qtbot.waitSignal(widget.core.live.shown, timeout=START_MS):
        stroke(widget, 1, [(3, 20, x) for x in range(300, 410)])
    for y in (30, 34):  # adding a layer and drawing it for the first time takes napari longer
        with qtbot.waitSignal(widget.core.live.shown, timeout=30_000):
            widget.core.live.show_uncertainty(True)
            stroke(widget, 1, [(3, y, x) for x in range(300, 410)])
    widget.viewer.screenshot(flash=False)
    # A machine that does other work, too, makes everything slower: the best of three counts.
    for turn in range(3):
        gaps = gaps_while_working(widget, qtbot, first_y=40 + 3 * turn)
        if max(gaps.computed) <= 0.05:
            break
    # Generous, as the processors of a test machine are shared.
    assert np.percentile(gaps.seconds, 99) < 0.3
    # The aim itself, in time that the window's own thread computed: waiting for a processor that
    # others have does not count.
    assert max(gaps.computed) <= 0.05, str(gaps)


def gaps_while_working(widget, qtbot, first_y):
    """Measure gaps during six previews and a whole volume."""
    gaps = Gaps()
    for y in range(first_y, first_y + 60, 10):
        with qtbot.waitSignal(widget.core.live.shown, timeout=30_000):
            stroke(widget, 1, [(3, y, x) for x in range(300, 410)])
            gaps.skip()  # a hand does not paint a hundred points between two frames
    with qtbot.waitSignal(widget.core.volume.finished, timeout=120_000):
        widget.core.volume.start()
    gaps.stop()
    return gaps


class Gaps:
    """Measures how long the event loop does not answer, and how long it computes meanwhile."""

    def __init__(self):
        self.seconds = []
        self.computed = []
        gc.collect()
        gc.freeze()  # looking through what other tests left behind takes long, too
        self._last = time.perf_counter(), time.thread_time()
        self._timer = QTimer()
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._beat)
        self._timer.start()

    def _beat(self):
        now = time.perf_counter(), time.thread_time()
        self.seconds.append(now[0] - self._last[0])
        self.computed.append(now[1] - self._last[1])
        self._last = now

    def skip(self):
        """Do not count what happened since the last beat."""
        self._last = time.perf_counter(), time.thread_time()

    def stop(self):
        self._timer.stop()
        gc.unfreeze()

    def __str__(self):
        longest = ", ".join(f"{1000 * s:.0f}" for s in sorted(self.computed)[-5:])
        return f"the longest times the window computed, in ms: {longest}"
