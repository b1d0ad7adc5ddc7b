"""The two protocols: strokes as a person paints them, and fully labelled slices.

Strokes: three first strokes per class on one training plane, then one corrective stroke at a
time inside the largest wrong component of a training plane. Every method sees the same strokes;
the errors that lead to the corrections are those of a reference method, by default the random
forest, which favours the rival. Nothing is ever painted on a test plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.methods import Method, Painted, Timer
from napari_regcon.data.metrics import Confusion
from napari_regcon.data.strokes import corrective_stroke, draw_stroke

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.datasets import Dataset, Unit

FIRST_PER_CLASS = 3
PLANES_LOOKED_AT = 4
"""Training planes a simulated person looks at while correcting."""


@dataclass(frozen=True)
class Stroke:
    """One stroke: where, which pixels, which class (0 = background)."""

    unit: Unit
    mask: np.ndarray
    class_index: int


@dataclass(frozen=True)
class Score:
    """Dice per class (without background) on the test planes, and the time it took."""

    dice: dict[str, float]
    fit_s: float
    predict_s: float


def simulate_strokes(
    dataset: Dataset, reference: Method, *, n_strokes: int, seed: int
) -> list[Stroke]:
    """Simulate a person who paints and corrects.

    Parameters
    ----------
    dataset : Dataset
        Only its training planes are painted.
    reference : Method
        Whose errors are corrected.
    n_strokes : int
        How many strokes in all.
    seed : int
        Same seed, same strokes.

    Returns
    -------
    list of Stroke
        In the order they were painted; classes take turns in the first strokes.
    """
    rng = np.random.default_rng(seed)
    planes = _planes_looked_at(dataset, rng)
    painted = Painted(dataset)
    strokes: list[Stroke] = []
    for _ in range(FIRST_PER_CLASS):
        for index in range(len(dataset.classes)):
            unit = _plane_with(dataset, planes, index)
            if unit is not None:
                mask = draw_stroke(dataset.truth(unit) == index, rng)
                _append(strokes, painted, unit, mask, index)
    turn = 0
    misses = 0
    while len(strokes) < n_strokes and misses < len(planes):
        unit = planes[turn % len(planes)]
        turn += 1
        reference.fit(painted, seed)
        predicted = reference.predict(dataset, unit)
        # Labels have 0 = not said, so class i is i + 1 there.
        stroke = corrective_stroke(dataset.truth(unit) + 1, predicted + 1, rng)
        if stroke is None:
            misses += 1
            continue
        misses = 0
        _append(strokes, painted, unit, stroke > 0, int(stroke.max()) - 1)
    return strokes[:n_strokes]


def _append(
    strokes: list[Stroke], painted: Painted, unit: Unit, mask: np.ndarray | None, index: int
) -> None:
    if mask is not None and mask.any():
        painted.add(unit, mask, index)
        strokes.append(Stroke(unit, mask, index))


def _planes_looked_at(dataset: Dataset, rng: np.random.Generator) -> list[Unit]:
    """Pick training planes; the first is one with as many classes as there are."""
    order = [dataset.train[i] for i in rng.permutation(len(dataset.train))]
    richest = max(order, key=lambda unit: len(np.unique(dataset.truth(unit))))
    order.remove(richest)
    return [richest, *order][:PLANES_LOOKED_AT]


def _plane_with(dataset: Dataset, planes: Sequence[Unit], index: int) -> Unit | None:
    return next((u for u in planes if (dataset.truth(u) == index).any()), None)


def strokes_protocol(
    dataset: Dataset,
    method: Method,
    strokes: Sequence[Stroke],
    budgets: Sequence[int],
    *,
    seed: int,
    n_test: int | None = None,
) -> Iterator[tuple[int, Score]]:
    """Yield the score of a method after each budget of strokes."""
    for budget in budgets:
        if budget < len(dataset.classes) or budget > len(strokes):
            continue
        painted = Painted(dataset)
        for stroke in strokes[:budget]:
            painted.add(stroke.unit, stroke.mask, stroke.class_index)
        yield budget, score(dataset, method, painted, seed=seed, n_test=n_test)


def slices_protocol(
    dataset: Dataset,
    method: Method,
    budgets: Sequence[int],
    *,
    seed: int,
    n_test: int | None = None,
) -> Iterator[tuple[int, Score]]:
    """Yield the score of a method after each number of fully labelled planes."""
    rng = np.random.default_rng(seed)
    order = [dataset.train[i] for i in rng.permutation(len(dataset.train))]
    richest = max(order, key=lambda unit: len(np.unique(dataset.truth(unit))))
    order.remove(richest)
    order.insert(0, richest)
    for budget in budgets:
        if budget > len(order):
            continue
        planes = {unit: dataset.truth(unit).astype(np.uint8) + 1 for unit in order[:budget]}
        painted = Painted(dataset, planes, complete=True)
        yield budget, score(dataset, method, painted, seed=seed, n_test=n_test)


def score(
    dataset: Dataset, method: Method, painted: Painted, *, seed: int, n_test: int | None
) -> Score:
    """Fit a method and measure it on the test planes (``n_test`` of them, evenly spaced)."""
    fitting, predicting = Timer(), Timer()
    with fitting:
        method.fit(painted, seed)
    confusion = Confusion(dataset.classes)
    units = test_units(dataset, n_test)
    for unit in units:
        with predicting:
            predicted = method.predict(dataset, unit)
        confusion.add(dataset.truth(unit) + 1, predicted + 1)
    dice = confusion.dice()
    # A class that is in none of the test planes and was not predicted there has no Dice.
    named = {n: float(d) for n, d in zip(dataset.classes[1:], dice[1:], strict=True) if d == d}
    return Score(named, fitting.seconds, predicting.seconds / len(units))


def test_units(dataset: Dataset, n_test: int | None) -> list[Unit]:
    """Return the planes that are measured."""
    if n_test is None or n_test >= len(dataset.test):
        return list(dataset.test)
    index = np.linspace(0, len(dataset.test) - 1, n_test).round().astype(int)
    return [dataset.test[i] for i in index]


def score_supervised(dataset: Dataset, steps: int, n_test: int | None) -> Score:
    """Return the score of a U-Net trained on every training plane, the supervised ceiling."""
    from benchmarks.unet import UNetFromScratch

    planes = {unit: dataset.truth(unit).astype(np.uint8) + 1 for unit in dataset.train}
    painted = Painted(dataset, planes, complete=True)
    return score(dataset, UNetFromScratch(steps), painted, seed=0, n_test=n_test)
