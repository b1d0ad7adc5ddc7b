"""The classifier of the pixel head: fitted in milliseconds, applied to whole feature tiles.

Fitted on a few thousand painted pixels by a library, applied by matrix products on whatever
device the features live on. Knows nothing of images.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor

CHUNK_PX = 1 << 15
"""Pixels classified at once: small enough to stay in a processor's cache."""


@dataclass(frozen=True, eq=False)
class FittedClassifier:
    """Class scores as a linear function of features.

    Parameters
    ----------
    weight : torch.Tensor
        float32 ``(n_classes, n_features)``.
    bias : torch.Tensor
        float32 ``(n_classes,)``; ``-inf`` for a class that was not painted.
    """

    weight: Tensor
    bias: Tensor

    def scores(self, features: Tensor) -> Tensor:
        """Return ``(n_classes, n_pixels)`` scores of ``(n_features, n_pixels)`` features.

        The softmax over classes gives probabilities, the largest score the class.
        """
        result = features.new_empty((len(self.bias), features.shape[1]), dtype=torch.float32)
        for start in range(0, features.shape[1], CHUNK_PX):
            chunk = features[:, start : start + CHUNK_PX].float()
            part = result[:, start : start + CHUNK_PX]
            torch.addmm(self.bias[:, None], self.weight, chunk, out=part)
        return result


def fit_classifier(
    features: np.ndarray, labels: np.ndarray, n_classes: int, device: torch.device
) -> FittedClassifier:
    """Fit a class-balanced logistic regression on standardised features.

    Parameters
    ----------
    features : numpy.ndarray
        float32 ``(n_pixels, n_features)``.
    labels : numpy.ndarray
        ``(n_pixels,)`` class indices 0..n_classes - 1, at least two of them present.
    n_classes : int
        Classes there are; those without a pixel get probability 0.
    device : torch.device
        Where the classifier will be applied.
    """
    mean = features.mean(0, dtype=np.float64)
    spread = features.std(0, dtype=np.float64)
    spread[spread < 1e-6] = 1.0
    model = LogisticRegression(class_weight="balanced", max_iter=200, tol=1e-4)
    with warnings.catch_warnings():
        # Separable strokes converge slowly; what little is missing changes hardly a pixel.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit((features - mean) / spread, labels)
    coefficients, intercepts = model.coef_, model.intercept_
    if len(model.classes_) == 2:
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercepts = np.concatenate([-intercepts, intercepts]) / 2
    weight = np.zeros((n_classes, features.shape[1]))
    bias = np.full(n_classes, -np.inf)
    weight[model.classes_] = coefficients / spread
    bias[model.classes_] = intercepts - (coefficients / spread) @ mean
    return FittedClassifier(_tensor(weight, device), _tensor(bias, device))


def _tensor(values: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).to(device)
