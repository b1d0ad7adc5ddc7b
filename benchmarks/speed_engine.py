"""What a user waits for: start-up, and a stroke until its mask has come back."""

from __future__ import annotations

import queue
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.timing import Row
from napari_regcon.data.phantom import make_phantom
from napari_regcon.data.strokes import draw_stroke, first_strokes
from napari_regcon.types import Box
from napari_regcon.worker.client import EngineClient
from napari_regcon.worker.protocol import (
    Configure,
    EngineDied,
    EngineReady,
    JobFailed,
    OpenImage,
    PackedArray,
    Paint,
    PaintedPlane,
    Preview,
    PreviewDone,
    SetClasses,
)
from napari_regcon.worker.shared import SharedBuffer

if TYPE_CHECKING:
    import argparse

    from napari_regcon.worker.protocol import EngineEvent

PLANE_PX = 1024
N_STROKES = 50
TIMEOUT_S = 120

STATEMENTS = {
    "import napari_regcon": "import napari_regcon",
    "command line ready": "import napari_regcon._cli.app",
    "dock imported (without napari's own imports)": (
        "import napari, napari.layers, magicgui, superqt, qtpy.QtWidgets\n"
        "import time; start = time.perf_counter()\n"
        "import napari_regcon._qt.widget; print(1000 * (time.perf_counter() - start))"
    ),
    "torch imported (what the dock does not pay)": "import torch",
}


def start_up(options: argparse.Namespace) -> list[Row]:
    """Measure imports in fresh interpreters, and the start of the engine process."""
    rows = []
    for what, statement in STATEMENTS.items():
        code = statement
        if "print(" not in statement:
            code = f"import time; s = time.perf_counter()\n{statement}\n"
            code += "print(1000 * (time.perf_counter() - s))"
        times = [_printed(code) for _ in range(options.repeats)]
        rows.append(Row(what, "ms", tuple(times)))
    times = []
    for _ in range(options.repeats):
        events: queue.SimpleQueue[EngineEvent] = queue.SimpleQueue()
        client = EngineClient(events.put)
        start = time.perf_counter()
        client.send(Configure(options.device))
        _wait(events, EngineReady)
        times.append(1000 * (time.perf_counter() - start))
        client.close()
    rows.append(Row("engine process started", "ms", tuple(times)))
    return rows


def _printed(code: str) -> float:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def preview(options: argparse.Namespace) -> list[Row]:
    """Measure a stroke until the new mask of the whole plane is in shared memory."""
    phantom = make_phantom((2, PLANE_PX, PLANE_PX), seed=1)
    image, truth = np.asarray(phantom.volume.data), phantom.labels
    events: queue.SimpleQueue[EngineEvent] = queue.SimpleQueue()
    client = EngineClient(events.put)
    pixels = SharedBuffer.from_array(image)
    out = SharedBuffer.create((PLANE_PX, PLANE_PX), np.uint8)
    rng = np.random.default_rng(0)
    painted = first_strokes(truth[0], phantom.classes, 2, rng)
    try:
        client.send(Configure(options.device))
        client.send(SetClasses(phantom.classes))
        client.send(OpenImage("phantom", pixels.handle, "ZYX", "phantom"))
        fresh = [_stroke_to_mask(client, events, painted, out, plane) for plane in (0, 1)]
        warm = []
        for _ in range(N_STROKES):
            index = int(rng.integers(len(phantom.classes)))
            stroke = draw_stroke(truth[0] == index + 1, rng)
            if stroke is not None:
                painted[stroke] = index + 1
                warm.append(_stroke_to_mask(client, events, painted, out, 0))
    finally:
        client.close()
        pixels.close()
        out.close()
    tail = {"95th percentile ms": round(float(np.percentile(warm, 95)), 1)}
    size = f"{PLANE_PX} x {PLANE_PX}"
    return [
        Row(f"stroke to mask, {size}, fresh plane", "ms", tuple(fresh[1:])),
        Row(f"stroke to mask, {size}, features cached", "ms", tuple(warm), extra=tail),
    ]


def _stroke_to_mask(
    client: EngineClient,
    events: queue.SimpleQueue[EngineEvent],
    painted: np.ndarray,
    out: SharedBuffer,
    plane: int,
) -> float:
    generation = client.next_generation()
    box = Box.of_shape(painted.shape)
    start = time.perf_counter()
    painting = PaintedPlane((0,), (0, 0), PackedArray(painted.copy()))
    client.send(Paint("phantom", (painting,)))
    client.send(Preview(generation, "phantom", (plane,), box, out.handle))
    while True:
        event = _wait(events, PreviewDone)
        if event.final and event.generation == generation:
            return 1000 * (time.perf_counter() - start)


def _wait(events: queue.SimpleQueue[EngineEvent], kind: type) -> EngineEvent:
    """Return the next event of a kind; fail where the engine says it failed."""
    while True:
        match events.get(timeout=TIMEOUT_S):
            case JobFailed(message=message) | EngineDied(message=message):
                raise RuntimeError(message)
            case event if isinstance(event, kind):
                return event
