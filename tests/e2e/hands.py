"""A user's hands and eyes: works in a :mod:`driven_napari` window with real mouse and keys."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SCRIPT = Path(__file__).with_name("driven_napari.py")
LOOK_EVERY_S = 0.01
N_LOOKS = 3
"""How many looks a button has to rest for: a new text above it moves it a moment later."""
STILL_S = 0.05
"""How long a mouse move has to arrive before the hand moves a little more."""


class Hands:
    """A running window, and what a user does to it.

    Parameters
    ----------
    folder : pathlib.Path
        With the images to open; receives the status and what the window prints.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.printed = (folder / "printed.txt").open("w+")
        env = os.environ | {
            "NAPARI_REGCON_SESSIONS_DIR": str(folder / "sessions"),
            "NAPARI_REGCON_CACHE_DIR": str(folder / "cache"),
            "NAPARI_CONFIG": str(folder / "napari.yaml"),
            "PYTHONUNBUFFERED": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(folder)],
            env=env, stdout=self.printed, stderr=subprocess.STDOUT,
        )  # fmt: skip

    # ------------------------------------------------------------------ eyes

    def see(self) -> dict[str, Any]:
        """Return the newest status; empty before there is one."""
        try:
            return json.loads((self.folder / "status.json").read_text())
        except FileNotFoundError:
            return {}

    def until(self, condition: Callable[[dict[str, Any]], Any], timeout_s: float = 60.0) -> dict:
        """Wait until something is seen, and return the status that shows it."""
        end = time.monotonic() + timeout_s
        while True:
            seen = self.see()
            try:
                if condition(seen):
                    return seen
            except (KeyError, TypeError):
                pass  # not to be seen yet
            if self.process.poll() is not None:
                raise AssertionError(f"the window ended:\n{self.output()}")
            if time.monotonic() > end:
                raise AssertionError(f"not seen in {timeout_s} s: {seen}\n{self.output()}")
            time.sleep(LOOK_EVERY_S)

    def output(self) -> str:
        """Return what the window printed."""
        return (self.folder / "printed.txt").read_text()[-4000:]

    # ------------------------------------------------------------------ hands

    def do(self, *words: object) -> None:
        """Let xdotool do something."""
        subprocess.run(["xdotool", *map(str, words)], check=True, timeout=60)

    def key(self, keys: str) -> None:
        """Press keys together, with the mouse over the canvas."""
        self.do("key", "--clearmodifiers", keys)

    def point(self, y: float, x: float) -> tuple[int, int]:
        """Return where on the screen a pixel of the image is."""
        canvas = self.see()["canvas"]
        left, top, width, height = canvas["rect"]
        cy, cx = canvas["center"]
        return (
            round(left + width / 2 + (x - cx) * canvas["zoom"]),
            round(top + height / 2 + (y - cy) * canvas["zoom"]),
        )

    def look_at(self, y: float, x: float) -> None:
        """Put the mouse on a pixel."""
        self.do("mousemove", *self.point(y, x))

    def stroke(self, value: int, y: int, columns: Sequence[int]) -> None:
        """Drag the mouse along a row, so slowly that every point of it is painted."""

        def painted(seen: dict) -> int:
            return seen["image"]["labels"]["px"].get(str(value), 0)

        seen = self.see()
        n_before = painted(seen) if "labels" in seen["image"] else 0
        self.look_at(y, columns[0])
        self.do("mousedown", 1)
        for x in columns[1:]:
            self._drag(lambda seen, n=n_before: painted(seen) > n, *self.point(y, x))
            n_before = painted(self.see())
        self.do("mouseup", 1)

    def _drag(self, arrived: Callable[[dict], Any], x: int, y: int) -> None:
        """Move the mouse, and a little more each time until that is noticed."""
        for attempt in range(100):
            self.do("mousemove", x + attempt % 2, y)
            end = time.monotonic() + STILL_S
            while time.monotonic() < end:
                if arrived(self.see()):
                    return
                time.sleep(LOOK_EVERY_S)
        raise AssertionError(f"the window does not follow the mouse: {self.see()}")

    def click(self, words: str) -> None:
        """Click a button by the words on it, and see that the click has arrived."""
        n_before = self.send_click(words)
        self.until(lambda s: s["presses"].get(words, 0) > n_before)

    def send_click(self, words: str) -> int:
        """Click a button, after scrolling the dock to where it is; return its earlier clicks."""
        for _ in range(60):
            seen = self._resting(words)
            x, y, reachable, _ = seen["buttons"][words]
            if reachable:
                self.do("mousemove", x, y, "click", 1)
                return seen["presses"].get(words, 0)
            inside = [b[1] for b in seen["buttons"].values() if b[2]]
            wheel = 5 if y > sum(inside) / len(inside) else 4
            self.do("mousemove", x, sorted(inside)[len(inside) // 2], "click", wheel)
            self.until(lambda s, y=y: s["buttons"][words][1] != y)
        raise AssertionError(f"{words!r} cannot be reached: {self.see()['buttons']}")

    def _resting(self, words: str) -> dict[str, Any]:
        """Wait until a button can be clicked and stays where it is."""
        place, since = None, 0
        while True:
            seen = self.until(lambda s: words in s["buttons"] and s["buttons"][words][3])
            if seen["buttons"][words] != place:
                place, since = seen["buttons"][words], seen["tick"]
            elif seen["tick"] >= since + N_LOOKS:
                return seen
            self.until(lambda s, t=seen["tick"]: s["tick"] > t)

    def end(self) -> None:
        """End the window if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(timeout=60)
        self.printed.close()
