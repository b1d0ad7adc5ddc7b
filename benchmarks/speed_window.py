"""How quickly the window answers: stroke to mask, the longest gap of the event loop, memory.

Run on a virtual screen: ``xvfb-run -a -s "-screen 0 1600x1000x24" python -m
benchmarks.speed_window``. Everything runs as for a user: a napari window, the dock, the real
engine process. Figures are printed as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
import psutil
from qtpy.QtCore import QEventLoop, Qt, QTimer
from qtpy.QtWidgets import QApplication

from napari_regcon._qt.widget import RegconWidget
from napari_regcon.config import FinetuneConfig
from napari_regcon.worker.protocol import PreviewDone

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


BEAT_MS = 2


class Heart:
    """Notes how much later than asked for the event loop comes round."""

    def __init__(self) -> None:
        self.gaps_s: list[float] = []
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(BEAT_MS)
        self._timer.timeout.connect(self._beat)
        self._timer.start()

    def _beat(self) -> None:
        now = time.perf_counter()
        self.gaps_s.append(max(0.0, now - self._last - BEAT_MS / 1000))
        self._last = now

    def take(self) -> list[float]:
        """Return the gaps since the last call."""
        gaps, self.gaps_s = self.gaps_s, []
        self._last = time.perf_counter()
        return gaps

    def stop(self) -> None:
        """Stop beating."""
        self._timer.stop()


class Bench:
    """A window with a noisy volume in it.

    Parameters
    ----------
    side_px, depth : int
        Size of the slices, and their number.
    """

    def __init__(self, side_px: int, depth: int) -> None:
        rng = np.random.default_rng(0)
        self.side = side_px
        coarse = rng.integers(60, 200, (depth, side_px // 64, side_px // 64))
        image = coarse.repeat(64, axis=1).repeat(64, axis=2) + rng.normal(
            0, 15, (1, side_px, side_px)
        )
        self.viewer = napari.Viewer(show=True)
        self.viewer.window.resize(1400, 900)
        self.viewer.add_image(np.clip(image, 0, 255).astype(np.uint8), name="bench")
        self.dock = RegconWidget(self.viewer)
        self.viewer.window.add_dock_widget(self.dock, area="right")
        self.viewer.dims.set_current_step(0, depth // 2)
        self.wait(lambda: self.dock.core.workspace.current.source is not None)
        self.layer = self.dock.core.labelling.new_layer()
        self.layer.brush_size = 5
        self.rng = rng
        self.engine_s: list[tuple[float, float]] = []
        self.first_s: list[float] = []
        canvas = self.viewer.window._qt_viewer.canvas.native  # noqa: SLF001
        canvas.frameSwapped.connect(self._on_drawn)
        self._stroke_s = 0.0
        self._received = False
        self.dock.core.link.event.connect(self._on_event)

    def wait(self, condition: Callable[[], object], timeout_s: float = 600.0) -> None:
        """Let the window work until something holds."""
        end = time.monotonic() + timeout_s
        # Without a time limit, this sleeps until there is an event; with one, Qt would go round
        # and round, and take a core from the engine.
        wait_for_more = QEventLoop.ProcessEventsFlag.WaitForMoreEvents
        waker = QTimer()
        waker.start(5)
        while not condition():
            QApplication.processEvents(wait_for_more)
            if time.monotonic() > end:
                raise TimeoutError

    def _on_event(self, event: object) -> None:
        self._received |= isinstance(event, PreviewDone) and self._stroke_s > 0

    def _on_drawn(self) -> None:
        if self._received:
            self.first_s.append(time.perf_counter() - self._stroke_s)
            self._received, self._stroke_s = False, 0.0

    def stroke(self, value: int, near_px: int | None = None) -> None:
        """Paint a stroke of 60 px on the visible slice, at most so far from its middle."""
        z = self.viewer.dims.current_step[0]
        reach = self.side // 2 - 80 if near_px is None else near_px
        y, x = self.side // 2 + self.rng.integers(-reach, reach, 2)
        rows, columns = np.mgrid[y : y + 4, x : x + 60].reshape(2, -1)
        self.layer.data_setitem((np.full_like(rows, z), rows, columns), value)

    def draw(self, n: int) -> None:
        """Let napari draw the layers anew, for comparison."""
        for _ in range(n):
            self.layer.refresh()
            for _ in range(10):
                QApplication.processEvents()

    def stroke_to_mask(self, n: int) -> list[float]:
        """Return the seconds from each stroke to the whole visible slice being new.

        How long until a new mask, perhaps a draft, was drawn is added to ``first_s``.
        """
        taken = []
        for index in range(n):
            done: list[Any] = []
            self.dock.core.live.shown.connect(done.append)
            self._received = False  # of the stroke before, where only its exact mask was drawn
            begin = self._stroke_s = time.perf_counter()
            self.stroke(1 + index % 2)
            self.wait(lambda done=done: done)
            taken.append(time.perf_counter() - begin)
            self.engine_s.append((done[-1].fit_s, done[-1].predict_s))
            self.dock.core.live.shown.disconnect(done.append)
        return taken

    def look_closely(self) -> None:
        """Look at the middle of the slice, with strokes in two of its corners."""
        camera = getattr(self.viewer, "scene", self.viewer).camera  # napari 0.9 has moved it
        camera.center, camera.zoom = (0, *[self.side / 2] * 2), 0.8
        z, end = self.viewer.dims.current_step[0], self.side - 100
        for value, place in ((1, 20), (2, end)):
            rows, columns = np.mgrid[place : place + 4, place : place + 60].reshape(2, -1)
            self.layer.data_setitem((np.full_like(rows, z), rows, columns), value)

    def stroke_in_view(self, n: int) -> tuple[list[float], list[float]]:
        """Return the seconds from strokes to a draft, and to the exact mask, of what is visible.

        The next stroke waits until the rest of the slice is done, too, which may take long.
        """
        core, first, exact = self.dock.core, [], []
        for index in range(n):
            before = core.link.next_generation()
            seen = core.workspace.sight.visible_box(core.workspace.current)
            inside: list[tuple[bool, float]] = []
            outside: list[Any] = []

            def listen(event: object, before: int = before, seen: Any = seen) -> None:
                if isinstance(event, PreviewDone) and event.generation > before:
                    if event.box.intersect(seen) == event.box:
                        inside.append((event.box == seen, time.perf_counter()))  # noqa: B023
                    else:
                        outside.append(event)  # noqa: B023 - of this stroke

            core.link.event.connect(listen)
            begin = time.perf_counter()
            self.stroke(1 + index % 2, 300)
            self.wait(lambda outside=outside: outside and outside[-1].final)
            core.link.event.disconnect(listen)
            first.append(inside[0][1] - begin)
            exact.append(max(at for is_all, at in inside if is_all) - begin)
        return first, exact

    def volume(self, *, cancel: bool) -> float:
        """Segment the volume, or begin to and cancel; return the seconds."""
        volume = self.dock.core.volume
        begin = time.perf_counter()
        volume.start()
        if cancel:
            self.wait(lambda: volume.progress is not None)
            begin = time.perf_counter()
            volume.cancel()
        self.wait(lambda: not volume.running)
        return time.perf_counter() - begin

    def add_layer(self) -> None:
        """Let napari add a label layer and draw it, for comparison."""
        layer = self.viewer.add_labels(np.zeros_like(self.layer.data))
        self.draw(1)
        self.viewer.layers.remove(layer)

    def accept(self) -> None:
        """Accept the whole prediction."""
        self.dock.core.correction.accept_volume()
        self.wait(lambda: not self.dock.core.correction.busy)

    def undo(self) -> None:
        """Take that back."""
        self.dock.core.correction.undo()
        self.wait(lambda: not self.dock.core.correction.busy)

    def train(self, n: int) -> dict[str, dict[str, float]]:
        """Fine-tune from the weights that ship; return gaps with and without strokes meanwhile."""
        training, heart = self.dock.core.training, Heart()
        training.start(FinetuneConfig(minutes=60), "regcon-em", "auto")
        steps: list[Any] = []
        training.stepped.connect(steps.append)
        self.wait(lambda: steps)
        heart.take()
        self.wait(lambda: len(steps) > n)
        found = {"gap_training": _row(heart.take())}
        self.first_s.clear()
        found["stroke_to_mask_training"] = _row(self.stroke_to_mask(n))
        found["stroke_to_draft_on_screen_training"] = _row(self.first_s)
        found["gap_training_and_previews"] = _row(heart.take())
        heart.stop()
        training.cancel()
        self.wait(lambda: not training.running)
        return found

    def memory_mb(self) -> tuple[float, float]:
        """Return the memory of window and engine."""
        own = psutil.Process()
        pid = self.dock.core.link._client.pid  # noqa: SLF001
        engine = psutil.Process(pid).memory_info().rss if pid else 0
        return own.memory_info().rss / 2**20, engine / 2**20


def _in_view(bench: Bench, n: int) -> dict[str, dict[str, float]]:
    """Measure strokes on a slice of which a part is visible, once its features are computed."""
    bench.look_closely()
    shown: list[Any] = []
    bench.dock.core.live.shown.connect(shown.append)
    bench.wait(lambda: shown)
    bench.stroke_in_view(2)
    heart = Heart()
    heart.take()
    first, exact = bench.stroke_in_view(n)
    found = {"stroke_to_draft_in_view": _row(first), "stroke_to_mask_in_view": _row(exact)}
    found["gap_preview"] = _row(heart.take())
    heart.stop()
    return found


def _row(values: Sequence[float]) -> dict[str, float]:
    ms = np.array(values) * 1000
    return {
        "n": len(ms),
        "median_ms": round(float(np.median(ms)), 1),
        "p95_ms": round(float(np.percentile(ms, 95)), 1),
        "max_ms": round(float(ms.max()), 1),
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=1024, help="pixels of a slice's side")
    parser.add_argument("--depth", type=int, default=16, help="slices")
    parser.add_argument("--strokes", type=int, default=40)
    parser.add_argument("--growth", type=int, default=0, help="strokes and a tenth as many volumes")
    parser.add_argument("--train", type=int, default=0, help="steps and strokes while training")
    parser.add_argument(
        "--in-view",
        type=int,
        default=0,
        help="only so many strokes in the middle of a slice, for slices of which a part is visible",
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAPARI_REGCON_SESSIONS_DIR"] = folder
        bench = Bench(options.side, options.depth)
        if options.in_view:
            print(json.dumps(_in_view(bench, options.in_view), indent=1))
            bench.viewer.close()
            return 0
        bench.stroke(2)
        (first,) = bench.stroke_to_mask(1)
        heart = Heart()
        found: dict[str, Any] = {"first_preview_s": round(first, 2)}
        heart.take()
        bench.draw(options.strokes)
        found["gap_drawing_alone"] = _row(heart.take())
        bench.first_s.clear()
        found["stroke_to_mask"] = _row(bench.stroke_to_mask(options.strokes))
        found["stroke_to_draft_on_screen"] = _row(bench.first_s)
        fits, predictions = zip(*bench.engine_s[1:], strict=True)
        found["of_this_fit"], found["of_this_predict"] = _row(fits), _row(predictions)
        found["gap_preview"] = _row(heart.take())
        found["volume_s"] = round(bench.volume(cancel=False), 2)
        found["gap_volume"] = _row(heart.take())
        found["cancel_s"] = round(bench.volume(cancel=True), 3)
        for name, work in (
            ("gap_adding_a_layer_alone", bench.add_layer),
            ("gap_first_accept", bench.accept),
            ("gap_undo", bench.undo),
            ("gap_accept", bench.accept),
        ):
            heart.take()
            work()
            found[name] = _row(heart.take())
        heart.stop()
        if options.train:
            found |= bench.train(options.train)
        if options.growth:
            found["memory_before_mb"] = bench.memory_mb()
            bench.stroke_to_mask(options.growth)
            cancels = [bench.volume(cancel=True) for _ in range(options.growth // 10)]
            found["cancel"] = _row(cancels)
            found["memory_after_mb"] = bench.memory_mb()
        bench.viewer.close()
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
