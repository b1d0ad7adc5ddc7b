"""The disk level of the feature cache: what was computed is written when nobody is waiting.

A thread writes tiles one after the other and pauses while a preview is under way. Tiles that
the memory gives up before they are written are held only up to a bound. If the folder cannot
be written to, that is said once in words and computing goes on without it. Nothing here
imports torch, knows what a tile shows, or how files look inside.
"""

from __future__ import annotations

import errno
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from napari_regcon.engine.feature_folder import FeatureFolder

HELD_BYTES = 256 * 2**20
"""Memory for tiles that are no longer kept elsewhere and wait to be written."""
CLOSE_S = 0.5
"""Seconds that the tile being written has at the end."""


class FeatureDisk:
    """Tiles in a folder, written in the background.

    Parameters
    ----------
    folder : FeatureFolder
        Where they are kept.
    held_bytes : int
        Bound on the memory for tiles that wait and are kept nowhere else.

    Attributes
    ----------
    problem : str
        For people: why nothing is written any more; empty while all is well.
    """

    def __init__(self, folder: FeatureFolder, *, held_bytes: int = HELD_BYTES) -> None:
        self.folder = folder
        self.problem = ""
        self._held_bytes = held_bytes
        self._waiting: OrderedDict[str, np.ndarray] = OrderedDict()
        self._held: dict[str, int] = {}
        self._is_new = True
        self._is_paused = False
        self._is_closed = False
        self._changed = threading.Condition()  # guards what is above
        self._files = threading.Lock()  # held while files are written or cleared
        self._writer = threading.Thread(
            target=self._write_all, name="regcon-feature-writer", daemon=True
        )
        self._writer.start()

    @property
    def usage_bytes(self) -> int:
        """Bytes on disk."""
        return self.folder.usage_bytes

    @property
    def is_busy(self) -> bool:
        """Whether something waits to be written, or the folder has not been looked at yet."""
        with self._changed:
            return self._is_new or bool(self._waiting)

    def settle(self, timeout_s: float) -> bool:
        """Wait until everything is written; False if that takes longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._is_new or self._waiting), timeout_s)

    def get(self, name: str) -> np.ndarray | None:
        """Return a tile that is written or waits for it, else None."""
        with self._changed:
            values = self._waiting.get(name)
        return self.folder.read(name) if values is None else values

    def put(self, name: str, values: np.ndarray) -> None:
        """Have a tile written soon; it must not be changed any more."""
        with self._changed:
            if self.problem or self._is_closed or values.nbytes > self.folder.limit_bytes:
                return
            self._waiting[name] = values
            self._changed.notify_all()

    def let_go(self, name: str) -> None:
        """Take note that nobody else keeps a tile: where many wait, it is not written any more."""
        with self._changed:
            if name not in self._waiting:
                return
            self._held[name] = self._waiting[name].nbytes
            if sum(self._held.values()) > self._held_bytes:
                self._forget(name)

    def forget_waiting(self) -> None:
        """Give the memory of all tiles back that wait to be written."""
        with self._changed:
            self._waiting.clear()
            self._held.clear()

    def pause(self, on: bool) -> None:
        """Write nothing while somebody waits for a result."""
        with self._changed:
            if on != self._is_paused:
                self._is_paused = on
                self._changed.notify_all()

    def clear(self) -> None:
        """Remove all tiles, also those that wait; try to write again if that failed before."""
        self.forget_waiting()
        with self._files:
            self.folder.clear()
        self.problem = ""

    def close(self) -> None:
        """Write nothing more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._writer.join(CLOSE_S)

    def _write_all(self) -> None:
        with self._files:
            self.folder.look()
        with self._changed:
            self._is_new = False
            self._changed.notify_all()
        while (found := self._next()) is not None:
            self._write(*found)

    def _next(self) -> tuple[str, np.ndarray] | None:
        """Wait for a tile to write; None at the end."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_closed or (self._waiting and not self._is_paused)
            )
            return None if self._is_closed else next(iter(self._waiting.items()))

    def _write(self, name: str, values: np.ndarray) -> None:
        try:
            with self._files:
                if not self.folder.has(name) and name in self._waiting:
                    self.folder.write(name, values)
        except Exception as error:  # noqa: BLE001 - told to the user; computing goes on without
            self._give_up(error)
        with self._changed:
            self._forget(name)
            self._changed.notify_all()

    def _forget(self, name: str) -> None:
        self._waiting.pop(name, None)
        self._held.pop(name, None)

    def _give_up(self, error: Exception) -> None:
        reason = getattr(error, "strerror", None) or str(error) or repr(error)
        is_full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        what = "The disk is too full" if is_full else "The folder cannot be written to"
        with self._changed:
            self.problem = (
                f"{what} to keep features ({self.folder.path}: {reason}). All works without; "
                "features are computed again where they no longer fit in memory. Free some space "
                "or choose another folder under File > Preferences > Plugins > Regcon."
            )
            self._waiting.clear()
            self._held.clear()


class Pace:
    """Tells whether reading is quicker than computing, as it may not be over a network."""

    _FIRST = 8
    _AGAIN = 50

    def __init__(self) -> None:
        self._read_s = self._computed_s = 0.0  # per element, of late
        self._n_read = self._n_computed = self._n_skipped = 0

    def was_read(self, seconds: float, n: int) -> None:
        """Take note of a tile that was read."""
        self._n_read += 1
        self._read_s += (seconds / n - self._read_s) / min(self._n_read, self._FIRST)

    def was_computed(self, seconds: float, n: int) -> None:
        """Take note of a tile that was computed."""
        self._n_computed += 1
        self._computed_s += (seconds / n - self._computed_s) / min(self._n_computed, self._FIRST)

    def reading_pays(self) -> bool:
        """Return whether to read; where it does not pay, it is tried again now and then."""
        if min(self._n_read, self._n_computed) < self._FIRST or self._read_s < self._computed_s:
            return True
        self._n_skipped += 1
        return self._n_skipped % self._AGAIN == 0
