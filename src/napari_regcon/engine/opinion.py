"""What the pixel head thinks of the pixels around strokes: what a network in training adds to.

Which strokes the head is fitted on, and which it is asked about, is the caller's to say. Its
probabilities are kept in a byte each. Nothing here knows of networks or losses.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_regcon.data.support import SupportSet
from napari_regcon.engine.balance import class_power

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from napari_regcon.data.stroke_crops import Crop
    from napari_regcon.data.stroke_split import Stroke
    from napari_regcon.data.support import SupportExample
    from napari_regcon.data.views import ImageView
    from napari_regcon.engine.pixel_head import Classifier, PixelHead
    from napari_regcon.engine.segmenter import Predictor
    from napari_regcon.types import Box

_FULL = 255
"""The byte that stands for a probability of 1."""


FLOOR = 0.02
"""Probabilities below this count as this: the pixel head is never so sure that nothing can be
added to it."""


def log_prior(probabilities: np.ndarray) -> np.ndarray:
    """Return the logarithms that a network adds to, 0 for all classes where nothing is known.

    Parameters
    ----------
    probabilities : numpy.ndarray
        float32 ``(K, ...)``; their sum is 0 where nothing is known.
    """
    known = probabilities.sum(0) > 0.5  # else at the border of what is known, blended with 0
    logs = np.log(np.maximum(probabilities, FLOOR))
    found: np.ndarray = np.where(known, logs, np.float32(0)).astype(np.float32)
    return found


def prior_of(crops: Sequence[Crop]) -> np.ndarray:
    """Return :func:`log_prior` of what is thought of some crops, ``(B, K, H, W)``."""
    return np.stack([log_prior(crop.opinion) for crop in crops])


class PixelOpinion:
    """Probabilities of the pixel head around strokes.

    Parameters
    ----------
    head : PixelHead
        Is fitted anew whenever strokes come.
    n_classes : int
        Classes there are.
    reach_px : int
        How far around a stroke its opinion is asked for.
    """

    def __init__(self, head: PixelHead, n_classes: int, reach_px: int) -> None:
        self._head = head
        self._n_classes = n_classes
        self._reach = (reach_px, reach_px)
        self._tiles: dict[tuple[object, ...], dict[Box, np.ndarray]] = {}

    def learn(
        self, support: SupportSet, learnt: Sequence[Stroke], around: Sequence[Stroke]
    ) -> Generator[None, None, Classifier]:
        """Fit the head on some strokes and ask it of the surroundings of some, yielding in between.

        What was known before is answered until all is known anew.

        Parameters
        ----------
        support : SupportSet
            What is painted.
        learnt, around : sequence of Stroke
            Those it is fitted on, and those around which it is asked.

        Returns
        -------
        Classifier
            What was fitted.
        """
        power = class_power(support)
        predictor = yield from self._head.fit_in_steps(only(support, learnt), power)
        found: dict[tuple[object, ...], dict[Box, np.ndarray]] = {}
        for stroke in around:
            example = support.examples[stroke.example]
            view = example.view(2)
            tiles = found.setdefault(view.key, {})
            in_plane = stroke.box.shift(example.box.start[-2:])
            yield from self._ask(predictor, view, in_plane, tiles)
        self._tiles = found
        return predictor.classifier

    def __call__(self, example: SupportExample, window: Box) -> np.ndarray:
        """Return float32 probabilities ``(n_classes, y, x)`` in a window of a plane.

        They are 0 for all classes where nothing is known, also beyond the plane.
        """
        result = np.zeros((self._n_classes, *window.shape), np.float32)
        for tile, values in self._tiles.get(example.view(2).key, {}).items():
            common = tile.intersect(window)
            if common.size:
                here = common.shift(tuple(-i for i in tile.start)).slices
                there = common.shift(tuple(-i for i in window.start)).slices
                result[:, *there] = values[:, *here] / np.float32(_FULL)
        return result

    def _ask(
        self, predictor: Predictor, view: ImageView, box: Box, tiles: dict[Box, np.ndarray]
    ) -> Generator[None, None, None]:
        around = box.grow(self._reach).intersect(view.box)
        for tile in predictor.grid(view.shape).touching(around):
            if tile in tiles:
                continue
            for part in predictor.predict_parts(view, tile, [tile]):
                if part is not None:
                    tiles[tile] = np.rint(part[1] * _FULL).astype(np.uint8)
                yield


def only(support: SupportSet, strokes: Sequence[Stroke]) -> SupportSet:
    """Return a support set of some strokes alone; of a finished part there is all or nothing."""
    said = {i: np.zeros(e.labels.shape, bool) for i, e in enumerate(support.examples)}
    for stroke in strokes:
        said[stroke.example][stroke.box.slices] |= stroke.mask
    result = SupportSet(support.classes)
    result.examples = [
        replace(example, labels=np.where(said[i], example.labels, 0))
        for i, example in enumerate(support.examples)
        if said[i].any()
    ]
    return result
