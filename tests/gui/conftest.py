"""A viewer with the dock in it, and an engine that does what a test tells it."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field

import numpy as np
import pytest

from napari_regcon._qt.sources import make_source
from napari_regcon._qt.widget import RegconWidget
from napari_regcon.worker.protocol import EngineReady, Preview, SegmentVolume
from napari_regcon.worker.shared import SharedBuffer


@dataclass
class FakeClient:
    """Stands in for the engine: keeps what it is sent, and says what a test wants."""

    on_event: object
    sent: list = field(default_factory=list)
    cancelled: list = field(default_factory=list)
    closed: bool = False

    def __post_init__(self):
        self._generations = itertools.count(1)

    def send(self, request):
        self.sent.append(request)

    def next_generation(self):
        return next(self._generations)

    def cancel(self, generation):
        self.cancelled.append(generation)

    def close(self):
        self.closed = True

    def say(self, event):
        self.on_event(event)

    def ready(self):
        self.say(EngineReady("CPU", "No GPU was found.", 1))

    def of(self, kind):
        """Return the requests of a kind, oldest first."""
        return [r for r in self.sent if isinstance(r, kind)]

    def last(self, kind):
        return self.of(kind)[-1]

    @staticmethod
    def write(request: Preview | SegmentVolume, pixels, where=...):
        """Write into the array that a request wants filled."""
        with SharedBuffer.attach(request.out) as buffer:
            buffer.array[where] = pixels


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """Keep saved sessions and cached features out of the user's folders."""
    monkeypatch.setenv("NAPARI_REGCON_SESSIONS_DIR", str(tmp_path / "sessions"))
    monkeypatch.setenv("NAPARI_REGCON_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def reading(monkeypatch):
    """Return an event without which no image is read to its end, as if it were very large."""
    go = threading.Event()

    def slowly(*args):
        steps = make_source(*args)
        yield next(steps)
        while not go.wait(0.01):
            yield None
        return (yield from steps)

    monkeypatch.setattr("napari_regcon._qt.supply.make_source", slowly)
    return go


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return an empty folder for weights."""
    path = tmp_path / "weights"
    path.mkdir()
    monkeypatch.setenv("NAPARI_REGCON_WEIGHTS_DIR", str(path))
    return path


@pytest.fixture
def dock(make_napari_viewer, qtbot):
    """Return a function that makes a viewer with an image and the dock, on a fake engine."""
    pytest.importorskip("napari")

    def make(data=None, *, show=False, real=False, wake=True, **options):
        viewer = make_napari_viewer(show=show)
        if data is None:
            data = np.random.default_rng(0).integers(0, 255, (6, 64, 80), dtype=np.uint8)
        if data is not False:
            viewer.add_image(data, name=options.pop("name", "cells"), **options)
        clients = []

        def client(on_event):
            clients.append(FakeClient(on_event))
            return clients[-1]

        widget = RegconWidget(viewer) if real else RegconWidget(viewer, make_client=client)
        viewer.window.add_dock_widget(widget, name="Regcon", area="right")
        if not real:
            widget.client = clients[0]
            if wake:
                widget.core.link.wake()
                clients[0].ready()
        work = widget.core.workspace.current
        if work is not None:
            qtbot.waitUntil(lambda: work.source is not None, timeout=30_000)
        return widget

    return make


@pytest.fixture
def painted(dock, qtbot):
    """Return a dock with one stroke of each class on slice 2, previewed once."""
    widget = dock()
    stroke(widget, 1, [(2, 10, x) for x in range(5, 30)])
    widget.viewer.dims.set_current_step(0, 2)
    with qtbot.waitSignal(widget.core.live.busy, timeout=30_000):
        stroke(widget, 2, [(2, 40, x) for x in range(5, 30)])
    qtbot.waitUntil(lambda: widget.client.of(Preview) != [], timeout=30_000)
    return widget


def stroke(widget, value, points):
    """Paint as napari's brush does, as one stroke."""
    layer = widget.core.workspace.current.labels or widget.core.labelling.new_layer()
    layer.brush_size = 1
    with layer.block_history():
        for point in points:
            layer.paint(point, value)
    return layer
