"""Copies finished blocks of a volume into its prediction layer, in the breaks of the event loop.

A block may hold hundreds of planes, and the window has to answer in between. Nothing here knows
where blocks come from.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal

from napari_regcon.session.predictions import planes_of
from napari_regcon.types import Box

if TYPE_CHECKING:
    import numpy as np

    from napari_regcon._qt.results import Results
    from napari_regcon._qt.workspace import ImageWork

SLICE_S = 0.008
"""How long one break of the event loop is used for copying planes."""


class BlockCopier(QObject):
    """Copies blocks plane by plane.

    Parameters
    ----------
    results : Results
        Receives the labels.
    parent : QObject, optional
        Owner.

    Attributes
    ----------
    finished : Signal
        Everything is copied after :meth:`finish`.
    """

    finished = Signal()

    def __init__(self, results: Results, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._results = results
        self._queue: deque[tuple[ImageWork, np.ndarray, int, tuple[int, ...], Box]] = deque()
        self._ending = False
        self._timer = QTimer(self)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._copy_some)

    def add(self, work: ImageWork, labels: np.ndarray, generation: int, box: Box) -> None:
        """Copy a block soon.

        Parameters
        ----------
        work : ImageWork
            The image.
        labels : numpy.ndarray
            Label volume that holds the block.
        generation : int
            Of the request; planes with something newer are left alone.
        box : Box
            The block, in label axes.
        """
        self._queue.extend((work, labels, generation, prefix, box) for prefix in planes_of(box))
        self._timer.start()

    def finish(self) -> None:
        """Tell when everything is copied."""
        self._ending = True
        self._timer.start()

    def stop(self) -> None:
        """Forget what is not copied yet."""
        self._timer.stop()
        self._queue.clear()
        self._ending = False

    def _copy_some(self) -> None:
        end = time.perf_counter() + SLICE_S
        while self._queue and time.perf_counter() < end:
            self._copy(*self._queue.popleft())
        if not self._queue:
            self._timer.stop()
            if self._ending:
                self._ending = False
                self.finished.emit()

    def _copy(
        self,
        work: ImageWork,
        labels: np.ndarray,
        generation: int,
        prefix: tuple[int, ...],
        box: Box,
    ) -> None:
        flat = Box(box.start[-2:], box.stop[-2:])
        self._results.write_plane(work, prefix, flat, labels[prefix][flat.slices], generation)
        last = tuple(i - 1 for i in box.stop[:-2])
        if prefix == last:  # all planes of this block are copied
            work.state.predictions.block_done(box)
