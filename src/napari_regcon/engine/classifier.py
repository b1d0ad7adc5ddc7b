"""The classifier of the pixel head: fitted in milliseconds, applied to whole feature tiles.

A small perceptron with dropout on its inputs. Few strokes leave many features that separate the
painted pixels by chance; dropout makes the fit lean on many of them at once, which is what a
random forest gains from, at a tenth of the time to predict. ``benchmarks/classifiers.py``
compares it with linear models, forests and boosting. Knows nothing of images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

CHUNK_PX = 1 << 15
"""Pixels classified at once: small enough to stay in a processor's cache."""

HIDDEN = 32
STEPS = 100
BATCH_PX = 256
DROPOUT = 0.5
LEARNING_RATE = 0.02
WEIGHT_DECAY = 0.01
CLIP = 3.0
"""Standardised features are cut to this range, so that no artefact outvotes all else."""


@dataclass(frozen=True, eq=False)
class FittedClassifier:
    """Class scores of features: cut to their usual range, one hidden layer.

    Parameters
    ----------
    low, high : torch.Tensor
        float32 ``(n_features, 1)``, the usual range of each feature.
    hidden_weight, hidden_bias : torch.Tensor
        float32 ``(HIDDEN, n_features)`` and ``(HIDDEN, 1)``; the standardisation is in them.
    weight, bias : torch.Tensor
        float32 ``(n_classes, HIDDEN)`` and ``(n_classes, 1)``; the bias of a class that was not
        painted is ``-inf``.
    """

    low: Tensor
    high: Tensor
    hidden_weight: Tensor
    hidden_bias: Tensor
    weight: Tensor
    bias: Tensor

    def scores(self, features: Tensor) -> Tensor:
        """Return ``(n_classes, n_pixels)`` scores of ``(n_features, n_pixels)`` features.

        The softmax over classes gives probabilities, the largest score the class.
        """
        result = features.new_empty((len(self.bias), features.shape[1]), dtype=torch.float32)
        for start in range(0, features.shape[1], CHUNK_PX):
            chunk = features[:, start : start + CHUNK_PX].float()
            inputs = torch.clamp(chunk, self.low, self.high)
            hidden = torch.addmm(self.hidden_bias, self.hidden_weight, inputs).relu_()
            part = result[:, start : start + CHUNK_PX]
            torch.addmm(self.bias, self.weight, hidden, out=part)
        return result


def fit_classifier(
    features: np.ndarray, labels: np.ndarray, n_classes: int, device: torch.device, *, seed: int = 0
) -> FittedClassifier:
    """Fit a class-balanced perceptron with dropout on standardised features.

    Dropout after Srivastava et al. 2014 (JMLR 15), one cycle of the rate as in Smith and Topin 2019
    (arXiv 1708.07120). It runs on the processor, where steps this small are quickest, and gives
    the same weights for the same input and seed.

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
    seed : int
        Of the initial weights, the batches and the dropout.
    """
    mean = features.mean(0, dtype=np.float64)
    spread = features.std(0, dtype=np.float64)
    spread[spread < 1e-6] = 1.0
    inputs = torch.from_numpy(((features - mean) / spread).clip(-CLIP, CLIP).astype(np.float32))
    targets = torch.from_numpy(labels.astype(np.int64))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        first_weight, first_bias, weight, bias = _train(inputs, targets, n_classes)
    bias[torch.bincount(targets, minlength=n_classes) == 0] = -torch.inf
    # What standardises the inputs goes into the first layer, which saves a pass over them.
    hidden_weight = first_weight.double() / torch.from_numpy(spread)
    hidden_bias = first_bias.double() - hidden_weight @ torch.from_numpy(mean)
    low, high = mean - CLIP * spread, mean + CLIP * spread
    columns = (torch.from_numpy(low), torch.from_numpy(high), hidden_bias, bias)
    low_column, high_column, hidden_column, bias_column = (
        values.float()[:, None].to(device) for values in columns
    )
    return FittedClassifier(
        low_column,
        high_column,
        hidden_weight.float().to(device),
        hidden_column,
        weight.to(device),
        bias_column,
    )


def _train(inputs: Tensor, targets: Tensor, n_classes: int) -> list[Tensor]:
    """Return weight and bias of both layers, trained on batches drawn evenly from the classes."""
    sizes = ((HIDDEN, inputs.shape[1]), (n_classes, HIDDEN))
    parameters = []
    for outputs, width in sizes:
        bound = width**-0.5
        parameters.append(torch.empty(outputs, width).uniform_(-bound, bound).requires_grad_())
        parameters.append(torch.empty(outputs).uniform_(-bound, bound).requires_grad_())
    counts = torch.bincount(targets, minlength=n_classes).clamp(min=1)
    batches = torch.multinomial(1.0 / counts[targets], STEPS * BATCH_PX, replacement=True)
    adam = _Adam(parameters)
    with torch.enable_grad():
        for step, batch in enumerate(batches.view(STEPS, BATCH_PX)):
            hidden = functional.linear(functional.dropout(inputs[batch], DROPOUT), *parameters[:2])
            hidden = functional.dropout(hidden.relu(), DROPOUT)
            logits = functional.linear(hidden, *parameters[2:])
            loss = functional.cross_entropy(logits, targets[batch])
            # One cycle: slow, quick, slow.
            rate = LEARNING_RATE * math.sin(math.pi * (step + 0.5) / STEPS) ** 2
            adam.step(torch.autograd.grad(loss, parameters), rate)
    return [parameter.detach() for parameter in parameters]


class _Adam:
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101, algorithm 2).

    torch's own would do, but making the first one imports torch's compiler, and the first
    stroke would wait seconds for that.
    """

    def __init__(self, parameters: list[Tensor]) -> None:
        self._parameters = parameters
        self._means = [torch.zeros_like(p) for p in parameters]
        self._squares = [torch.zeros_like(p) for p in parameters]
        self._n_steps = 0

    @torch.no_grad()
    def step(self, gradients: tuple[Tensor, ...], rate: float) -> None:
        """Change the parameters in place."""
        self._n_steps += 1
        mean_share, square_share = 1 - 0.9**self._n_steps, 1 - 0.999**self._n_steps
        state = zip(self._parameters, gradients, self._means, self._squares, strict=True)
        for parameter, gradient, mean, square in state:
            mean.lerp_(gradient, 0.1)
            square.lerp_(gradient.square(), 0.001)
            root = (square / square_share).sqrt_().add_(1e-8)
            parameter.mul_(1 - rate * WEIGHT_DECAY)
            parameter.addcdiv_(mean, root, value=-rate / mean_share)
