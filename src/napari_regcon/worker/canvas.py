"""The plane on which a preview is drawn: shared arrays for labels and uncertainty.

Nothing here knows where the probabilities come from.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

import numpy as np

from napari_regcon.errors import InputError
from napari_regcon.types import Box
from napari_regcon.worker.shared import SharedBuffer

if TYPE_CHECKING:
    from types import TracebackType

    from napari_regcon.types import Volume
    from napari_regcon.worker.protocol import Preview, SharedArray

MAX_CLASSES = 255
"""As many labels as fit beside 0 into the uint8 that previews are drawn in."""


class Canvas:
    """The shared arrays of one preview; a context manager that lets go of them.

    Parameters
    ----------
    request : Preview
        Names the arrays, the plane and the box.
    volume : Volume
        The image that is previewed.

    Attributes
    ----------
    plane, box : Box
        The whole plane, and the part of it that was asked for.

    Raises
    ------
    InputError
        If plane, box or arrays do not fit the image.
    """

    def __init__(self, request: Preview, volume: Volume) -> None:
        self.plane = Box.of_shape(volume.label_shape[-2:])
        outer = volume.label_shape[:-2]
        if len(request.prefix) != len(outer) or not all(
            0 <= i < n for i, n in zip(request.prefix, outer, strict=True)
        ):
            raise InputError(
                f"There is no plane {list(request.prefix)} in {volume.name!r}, whose labels have "
                f"the shape {volume.label_shape}."
            )
        if len(request.box.start) != 2 or not request.box.intersect(self.plane).size:
            raise InputError(
                f"The box {request.box.start} to {request.box.stop} does not lie on a plane of "
                f"{volume.name!r}, which is {self.plane.shape} pixels large."
            )
        self.box = request.box.intersect(self.plane)
        with ExitStack() as stack:
            self._labels = self._attach(request.out, stack)
            self._uncertainty = None
            if request.uncertainty is not None:
                self._uncertainty = self._attach(request.uncertainty, stack)
            self._stack = stack.pop_all()

    def write(self, box: Box, probabilities: np.ndarray, step: int = 1) -> None:
        """Draw a part of the plane.

        Parameters
        ----------
        box : Box
            Which part.
        probabilities : numpy.ndarray
            ``(n_classes, *box.shape)``, or those of every ``step``-th pixel only.
        step : int
            Side of the squares that each of the probabilities is drawn as.
        """
        labels, margin = most_likely(probabilities, with_margin=self._uncertainty is not None)
        self._labels[box.slices] = _enlarge(labels, step, box)
        if self._uncertainty is not None and margin is not None:
            unsure = np.rint(255 * (1 - margin)).clip(0, 255)
            self._uncertainty[box.slices] = _enlarge(unsure, step, box)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        del self._labels, self._uncertainty
        self._stack.close()

    def _attach(self, handle: SharedArray, stack: ExitStack) -> np.ndarray:
        array = stack.enter_context(SharedBuffer.attach(handle)).array
        if array.shape != self.plane.shape or array.dtype != np.uint8:
            raise InputError(
                f"The preview array has shape {array.shape} and type {array.dtype}.",
                expected=f"Expected {self.plane.shape} and uint8.",
            )
        return array


def _enlarge(values: np.ndarray, step: int, box: Box) -> np.ndarray:
    if step == 1:
        return values
    rows, columns = box.shape
    return values.repeat(step, 0)[:rows].repeat(step, 1)[:, :columns]


def most_likely(
    probabilities: np.ndarray, *, with_margin: bool = False
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the label of the most likely class of each pixel.

    Parameters
    ----------
    probabilities : numpy.ndarray
        ``(n_classes, y, x)``.
    with_margin : bool
        Whether the margin is wanted.

    Returns
    -------
    labels : numpy.ndarray
        ``(y, x)`` uint8, 1 for the first class; the first of equals wins, as with ``argmax``.
    margin : numpy.ndarray or None
        Probability of the best class minus that of the second best.

    Raises
    ------
    InputError
        If there are more classes than uint8 has values.
    """
    if len(probabilities) > MAX_CLASSES:
        raise InputError(
            f"There are {len(probabilities)} classes.", expected=f"Expected at most {MAX_CLASSES}."
        )
    # A pass per class over the plane is several times faster than argmax along the first axis.
    best = probabilities[0].copy()
    second = np.zeros_like(best) if with_margin else None
    labels = np.ones(best.shape, dtype=np.uint8)
    for label, values in enumerate(probabilities[1:], start=2):
        if second is not None:
            np.maximum(second, np.minimum(best, values), out=second)
        # Labels only grow, so that their maximum will do, ten times quicker than a mask.
        better = (values > best).view(np.uint8)
        np.maximum(labels, better * np.uint8(label), out=labels)
        np.maximum(best, values, out=best)
    return labels, None if second is None else best - second
