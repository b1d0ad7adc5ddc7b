"""How right slices are that strokes were spread over, beside the pixel head alone.

``python -m benchmarks.spread --data DIR`` paints the first strokes of each class on training
planes, fills these planes, and prints the mean Dice over all classes of the plane, background too.
After the first strokes a person corrects what was filled, one stroke at a time, as in the dock; the
pixel head gets corrections of its own mistakes. Pixels that are painted count as painted for both.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.datasets import Dataset, Unit, load_dataset
from benchmarks.environment import environment
from benchmarks.methods import Painted, support_of
from napari_regcon.data.metrics import Confusion
from napari_regcon.data.strokes import corrective_stroke, first_strokes
from napari_regcon.data.views import ImageView
from napari_regcon.engine.registry import load_segmenter
from napari_regcon.engine.segmenter import Segmenter, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BUDGETS = (6, 10, 20)
METHODS = {"spread": {}, "pixel-head": {"features": "filters"}}
"""Names of segmenters, and their parameters."""


def filled(dataset: Dataset, unit: Unit, strokes: np.ndarray, segmenter: Segmenter) -> np.ndarray:
    """Return the labels 1..n of a plane with strokes."""
    image = dataset.images[unit.image]
    view = ImageView(image.volume, image.normalization, unit.prefix, 2)
    predictor = segmenter.fit(support_of(Painted(dataset, {unit: strokes})))
    found = run(predictor.predict_box(view, view.box)).argmax(axis=0) + 1
    return np.where(strokes > 0, strokes, found)


def measure(dataset: Dataset, unit: Unit, method: str, seed: int) -> Iterator[tuple[int, float]]:
    """Yield the mean Dice of a plane after each budget of strokes."""
    rng = np.random.default_rng(seed)
    truth = dataset.truth(unit).astype(int) + 1
    n_classes = len(np.unique(truth))
    per_class = max(1, round(BUDGETS[0] / n_classes))
    strokes = first_strokes(truth, dataset.classes, per_class, rng)
    segmenter = load_segmenter(method, **METHODS[method])
    for budget in range(per_class * n_classes, BUDGETS[-1] + 1):
        labels = filled(dataset, unit, strokes, segmenter)
        if budget in BUDGETS:
            confusion = Confusion(dataset.classes)
            confusion.add(truth, labels)
            yield budget, float(np.nanmean(confusion.dice()))
        correction = corrective_stroke(truth, labels, rng)
        if correction is not None:
            strokes = np.where(correction > 0, correction, strokes).astype(np.uint8)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spread", description=__doc__)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder of data sets")
    add("--dataset", nargs="+", default=["isbi2012_membrane", "wbc", "cdeep3m_mito"])
    add("--planes", type=int, default=3, help="planes of each data set")
    add("--crop", type=int, default=256, help="cut planes to a central square of this side")
    add("--out", type=Path, default=Path("benchmarks/results/spread.json"))
    options = parser.parse_args(arguments)
    records = []
    print(f"| data set | method | {' | '.join(f'{n} strokes' for n in BUDGETS)} |")
    print("|" + " --- |" * (2 + len(BUDGETS)))
    for name in options.dataset:
        dataset = load_dataset(options.data / name, crop_px=options.crop)
        units = [u for u in dataset.train if len(np.unique(dataset.truth(u))) > 1]
        units = units[: options.planes]
        for method in METHODS:
            rows = [dict(measure(dataset, u, method, seed)) for seed, u in enumerate(units)]
            means = [float(np.mean([row[n] for row in rows if n in row])) for n in BUDGETS]
            records.append({"dataset": name, "method": method, "dice": means})
            print(f"| {name} | {method} | {' | '.join(f'{m:.3f}' for m in means)} |", flush=True)
    result = {"environment": environment(), "records": records}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
