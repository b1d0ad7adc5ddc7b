"""One sitting in a real window, with real mouse and key events through xdotool.

Nothing is called inside the window: what a user can do with hands and eyes is done, in the order
in which a user might. The engine is the real one.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys

import numpy as np
import psutil
import pytest
import tifffile

from napari_regcon.data.phantom import make_phantom

from .hands import Hands

pytestmark = [
    pytest.mark.gui,
    pytest.mark.slow,
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="xdotool works with an X server alone"
    ),
    pytest.mark.skipif(shutil.which("xdotool") is None, reason="xdotool is not installed"),
]

DEPTH = 40
THING = 2
"""Label value of what is looked for; 1 is the background."""


class Scene:
    """A phantom as two images in a folder, and where on it strokes can be painted."""

    def __init__(self, folder):
        phantom = make_phantom((DEPTH, 160, 160), seed=1)
        self.pixels = np.asarray(phantom.volume.data)
        is_thing = phantom.labels == 1 + phantom.classes.index("mitochondrion")
        self.truth = np.where(is_thing, THING, 1)
        tifffile.imwrite(folder / "another.tif", np.tile(self.pixels, (1, 2, 2)))
        tifffile.imwrite(folder / "cells.tif", self.pixels)  # opened last, so it is chosen

    def row(self, z, value, nth=0):
        """Return a row of a slice, and columns along it, that lie in a class."""
        runs = []
        for y, line in enumerate(self.truth[z] == value):
            edges = np.flatnonzero(np.diff(np.pad(line, 1).astype(int)))
            for start, stop in edges.reshape(-1, 2):
                runs.append((min(stop - start, 40), y, start))
        runs.sort(reverse=True)
        rows = [runs[0]]
        for run in runs:  # the strokes of a class lie apart
            if all(abs(run[1] - other[1]) > 12 for other in rows):
                rows.append(run)
        length, y, start = rows[nth]
        return y, range(int(start) + 3, int(start + length) - 3, 4)


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path)


@pytest.fixture
def hands(scene, tmp_path):
    hands = Hands(tmp_path)
    yield hands
    hands.end()


def settled(seen):
    return seen["live"]["settled"]


def preview(seen):
    return seen["image"]["prediction"]["sum"]


def paint(hands, scene, value, nth):
    """Choose a class with its key and paint a stroke of it, and wait for the preview."""
    (z,) = hands.see()["image"]["prefix"]
    y, columns = scene.row(z, value, nth)
    hands.look_at(y, columns[0])
    hands.key(f"ctrl+{value}")
    hands.until(lambda s: s["image"]["tool"] == ["paint", value])
    hands.stroke(value, y, columns)


def paint_and_see(hands, scene, value, nth):
    """Paint, and return the status once a changed preview is there."""
    before = hands.see()["image"].get("prediction", {}).get("sum")
    paint(hands, scene, value, nth)
    return hands.until(lambda s: settled(s) and preview(s) != before)


def test_a_sitting(hands, scene):
    hands.until(lambda s: s["image"]["ready"] and s["image"]["name"] == "cells", 60)
    paint_see_undo(hands, scene)
    lock_and_accept(hands, scene)
    cancel_the_volume(hands)
    kill_the_engine_and_paint_on(hands, scene)
    delete_the_image_in_the_middle(hands)
    close_the_window_in_the_middle(hands, scene)


def paint_see_undo(hands, scene):
    """Two classes make a preview, a stroke changes it, undo changes it back."""
    hands.look_at(80, 80)
    paint(hands, scene, 1, 0)
    paint(hands, scene, THING, 0)
    first = hands.until(lambda s: settled(s) and s["live"]["n_shown"] and preview(s), 90)
    assert set(first["image"]["prediction"]["px"]) == {"1", str(THING)}
    assert first["state"][0] == "idle"
    assert first["engine"]

    second = paint_and_see(hands, scene, THING, 1)
    assert second["image"]["labels"] != first["image"]["labels"]
    hands.key("ctrl+z")
    third = hands.until(lambda s: settled(s) and preview(s) == preview(first))
    assert third["image"]["labels"] == first["image"]["labels"]
    hands.key("ctrl+shift+z")
    hands.until(lambda s: settled(s) and preview(s) == preview(second))


def lock_and_accept(hands, scene):
    """What is accepted comes into the final labels; what is locked stays as it is."""
    hands.click("Correct")
    hands.click("Accept slice")
    seen = hands.until(lambda s: s["image"]["final"]["px"] and not s["busy"])
    accepted = seen["image"]["final"]
    hands.click("Lock slice")
    hands.until(lambda s: s["image"]["locks"])
    paint_and_see(hands, scene, 1, 1)
    hands.click("Accept slice")
    seen = hands.until(lambda s: "locked" in s["said"][1])
    assert seen["image"]["final"] == accepted
    hands.click("Unlock slice")
    hands.until(lambda s: not s["image"]["locks"])
    hands.click("Accept slice")
    seen = hands.until(lambda s: s["image"]["final"] != accepted and not s["busy"])
    hands.click("Undo")
    hands.until(lambda s: s["image"]["final"] == accepted)
    hands.click("Correct")


def cancel_the_volume(hands):
    """Cancel keeps what is done."""
    hands.click("Whole volume")
    hands.until(lambda s: s["volume"]["running"] and 0 < len(s["image"]["missing"]) < DEPTH)
    hands.click("Cancel")
    seen = hands.until(lambda s: not s["volume"]["running"])
    assert 0 < len(seen["image"]["missing"]) < DEPTH
    assert "Missing" in seen["said"][0]


def kill_the_engine_and_paint_on(hands, scene):
    """A killed engine costs no stroke; the next one starts another engine."""
    before = hands.see()
    hands.click("Resume")
    hands.until(lambda s: s["volume"]["running"] and s["volume"]["done"])
    os.kill(before["engine"], signal.SIGKILL)
    seen = hands.until(lambda s: s["state"][0] == "failed" and not s["volume"]["running"])
    assert "Nothing painted is lost" in seen["state"][1]
    assert seen["image"]["labels"] == before["image"]["labels"]
    seen = paint_and_see(hands, scene, THING, 2)
    assert seen["engine"] not in (None, before["engine"])


def delete_the_image_in_the_middle(hands):
    """Its work stops, and the other image takes its place."""
    hands.click("Whole volume")
    hands.until(lambda s: s["volume"]["running"] and s["volume"]["done"])
    hands.do("mousemove", *hands.see()["layers"]["cells"], "click", 1)
    hands.key("Delete")
    seen = hands.until(lambda s: "cells" not in s["layers"])
    seen = hands.until(lambda s: not s["volume"]["running"] and s["image"]["name"] == "another")
    assert "cells" in seen["said"][0]


def close_the_window_in_the_middle(hands, scene):
    """Everything ends with the window, and nobody complains."""
    hands.until(lambda s: s["image"]["ready"])
    paint(hands, scene, 1, 0)
    paint_and_see(hands, scene, THING, 0)
    hands.click("Whole volume")
    seen = hands.until(lambda s: s["volume"]["running"] and s["volume"]["done"])
    hands.look_at(80, 80)
    hands.key("ctrl+w")
    hands.until(lambda s: "Close" in s["buttons"] and s["volume"]["running"])
    hands.send_click("Close")  # nobody is left to say that it arrived
    assert hands.process.wait(timeout=60) == 0
    assert not psutil.pid_exists(seen["engine"])
    assert seen["errors"] == []
    assert "Traceback" not in hands.output()
    assert "leaked" not in hands.output()  # shared memory, as Python would tell
