"""Which classifier for the pixel head: same strokes, same filter bank, different classifiers.

``python -m benchmarks.classifiers --data DIR [--dataset NAME ...]`` prints the mean Dice over
classes and repeats after each budget of strokes, and the seconds to fit and to predict a plane
with features at hand. The corrections are those the random forest on scikit-image's features
called for.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.datasets import Dataset, load_dataset
from benchmarks.methods import Recipe, random_forest, skimage_features
from benchmarks.protocols import Stroke, simulate_strokes, strokes_protocol
from napari_regcon.config import PixelHeadConfig
from napari_regcon.data.corpus import corpus_folders
from napari_regcon.data.normalize import Normalization
from napari_regcon.data.views import ImageView
from napari_regcon.engine.classifier import FittedClassifier, fit_classifier
from napari_regcon.engine.feature_store import FeatureStore
from napari_regcon.engine.features import FilterBankExtractor
from napari_regcon.nn.filter_bank import geometric_sigmas
from napari_regcon.types import Volume

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BUDGETS = (6, 10, 20, 50)


class Ours:
    """The pixel head's own classifier behind the interface of scikit-learn."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def fit(self, features: np.ndarray, targets: np.ndarray) -> Ours:
        """Fit on painted pixels."""
        self._classes, index = np.unique(targets, return_inverse=True)
        device = torch.device("cpu")
        self._fitted: FittedClassifier = fit_classifier(
            features, index, len(self._classes), device, seed=self._seed
        )
        return self

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Return the class of each pixel."""
        columns = torch.from_numpy(np.ascontiguousarray(features.T))
        return self._classes[self._fitted.probabilities(columns).argmax(0).numpy()]


CLASSIFIERS: dict[str, Callable[[int], Any]] = {
    "dropout network (ours)": Ours,
    "logistic regression": lambda _: make_pipeline(
        StandardScaler(), LogisticRegression(C=0.01, max_iter=300, class_weight="balanced")
    ),
    "perceptron, no dropout": lambda seed: make_pipeline(
        StandardScaler(), MLPClassifier((32,), max_iter=60, random_state=seed)
    ),
    "random forest": lambda seed: RandomForestClassifier(
        100, n_jobs=2, random_state=seed, class_weight="balanced"
    ),
    "extra trees": lambda seed: ExtraTreesClassifier(
        100, n_jobs=2, random_state=seed, class_weight="balanced"
    ),
    "gradient boosting": lambda seed: HistGradientBoostingClassifier(
        max_iter=60, random_state=seed, class_weight="balanced", early_stopping=False
    ),
}


class FilterBankPlane:
    """Our filter bank on a plane, ``(Y, X, F)``; planes are remembered across classifiers."""

    def __init__(self) -> None:
        config = PixelHeadConfig()
        sigmas = geometric_sigmas(config.sigma_min_px, config.sigma_max_px)
        self._bank = FilterBankExtractor(sigmas)
        self._known: dict[bytes, np.ndarray] = {}

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return the features of a normalised plane."""
        key = image.tobytes()
        if key not in self._known:
            volume = Volume(image, "YXC" if image.ndim == 3 else "YX")
            as_it_is = Normalization((0.0,) * volume.n_channels, (1.0,) * volume.n_channels)
            view = ImageView(volume, as_it_is, (), 2)
            found = FeatureStore().get(view, view.box, self._bank, torch.device("cpu"))
            self._known[key] = found.float().permute(1, 2, 0).contiguous().numpy()
        return self._known[key]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.classifiers", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--dataset", nargs="+")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--crop", type=int, default=768, help="central square of the planes, px")
    parser.add_argument("--test-planes", type=int, default=3)
    options = parser.parse_args(arguments)
    folders = [f for f in corpus_folders(options.data) if f.name in (options.dataset or [f.name])]
    print("| data set | classifier | " + " | ".join(map(str, BUDGETS)) + " | fit s | predict s |")
    print("|" + "---|" * (4 + len(BUDGETS)))
    for folder in folders:
        dataset = load_dataset(folder, crop_px=options.crop)
        for row in _compare(dataset, options.repeats, options.test_planes):
            print(row, flush=True)
    return 0


def _compare(dataset: Dataset, repeats: int, n_test: int) -> list[str]:
    strokes = [_strokes(dataset, seed) for seed in range(repeats)]
    bank = FilterBankPlane()
    rows = []
    for name, make in CLASSIFIERS.items():
        dice, fit_s, predict_s = defaultdict(list), [], []
        for seed, painted in enumerate(strokes):
            method = Recipe(name, bank, make)
            scores = strokes_protocol(dataset, method, painted, BUDGETS, seed=seed, n_test=n_test)
            for budget, score in scores:
                dice[budget].append(statistics.mean(score.dice.values()))
                fit_s.append(score.fit_s)
                predict_s.append(score.predict_s)
        cells = [f"{statistics.mean(dice[b]):.3f}" if b in dice else "" for b in BUDGETS]
        times = [f"{statistics.median(fit_s):.2f}", f"{statistics.median(predict_s):.2f}"]
        rows.append(f"| {' | '.join([dataset.name, name, *cells, *times])} |")
    return rows


def _strokes(dataset: Dataset, seed: int) -> list[Stroke]:
    reference = Recipe("reference", skimage_features, random_forest)
    return simulate_strokes(dataset, reference, n_strokes=max(BUDGETS), seed=seed)


if __name__ == "__main__":
    sys.exit(main())
