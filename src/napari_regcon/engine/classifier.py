"""The classifier of the pixel head: fitted in milliseconds, applied to whole feature tiles.

A small neural network. Every feature is first cut to the range seen in the painted pixels and
split in two pieces at their median, so that what lies beyond cannot mislead and each half gets
weights of its own. One hidden layer follows. While it learns, half of its inputs are hidden at
random, which makes it rely on many features as a forest of random trees does. The comparison
that led here is in the documentation (methods, pixel head). Knows nothing of images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

N_HIDDEN = 32
N_STEPS = 60
BATCH = 512
LEARNING_RATE = 0.02
WEIGHT_DECAY = 0.01
HIDDEN_INPUTS = 0.5
"""Share of the inputs that is hidden at every step."""
RANGE = (0.02, 0.5, 0.98)
"""Quantiles of the painted pixels at which a feature's two pieces begin, meet and end."""
LEAST_SPAN = 1e-3
"""A piece is at least this long, in units of the feature, so that noise is not blown up."""
CPU_CHUNK_PX = 1 << 14
"""Pixels classified at once: few enough to stay in a processor's cache."""
GPU_CHUNK_PX = 1 << 20


@dataclass(frozen=True, eq=False)
class FittedClassifier:
    """Class scores as a function of features.

    Parameters
    ----------
    low, middle, high : torch.Tensor
        ``(n_features, 1)``: where the two pieces of each feature begin, meet and end.
    hidden_weight : torch.Tensor
        ``(n_hidden, 2 * n_features)``, for features cut to [low, high], then to [middle, high].
    hidden_bias : torch.Tensor
        ``(n_hidden, 1)``.
    weight, bias : torch.Tensor
        ``(n_classes, n_hidden)`` and ``(n_classes, 1)``; the bias of a class that was not
        painted is ``-inf``.
    """

    low: Tensor
    middle: Tensor
    high: Tensor
    hidden_weight: Tensor
    hidden_bias: Tensor
    weight: Tensor
    bias: Tensor

    def scores(self, features: Tensor) -> Tensor:
        """Return float32 ``(n_classes, n_pixels)`` scores of ``(n_features, n_pixels)`` features.

        The softmax over classes gives probabilities, the largest score the class.
        """
        n_features, n_px = features.shape
        chunk_px = CPU_CHUNK_PX if features.device.type == "cpu" else GPU_CHUNK_PX
        result = features.new_empty((len(self.bias), n_px), dtype=torch.float32)
        pieces = result.new_empty((2 * n_features, min(chunk_px, n_px)))
        for start in range(0, n_px, chunk_px):
            chunk = features[:, start : start + chunk_px].float()
            both = pieces[:, : chunk.shape[1]]
            inside, upper = both[:n_features], both[n_features:]
            # Several times quicker than one clamp with a bound per row.
            torch.minimum(torch.maximum(chunk, self.low, out=inside), self.high, out=inside)
            torch.maximum(inside, self.middle, out=upper)
            hidden = torch.addmm(self.hidden_bias, self.hidden_weight, both).relu_()
            part = result[:, start : start + chunk_px]
            torch.addmm(self.bias, self.weight, hidden, out=part)
        return result


def fit_classifier(
    features: np.ndarray, labels: np.ndarray, n_classes: int, device: torch.device, *, seed: int = 0
) -> FittedClassifier:
    """Fit the classifier to painted pixels; classes count equally however much is painted.

    Parameters
    ----------
    features : numpy.ndarray
        float32 ``(n_pixels, n_features)``.
    labels : numpy.ndarray
        ``(n_pixels,)`` class indices 0..n_classes - 1, at least two of them present.
    n_classes : int
        Classes there are; those without a pixel get probability 0.
    device : torch.device
        Where the classifier will be applied. It is fitted on the processor, so that the same
        pixels and seed give the same classifier everywhere.
    seed : int
        For the first weights and the draws of pixels and inputs.
    """
    low, middle, high = np.quantile(features, RANGE, axis=0).astype(np.float32)
    low = np.minimum(low, middle - LEAST_SPAN)
    high = np.maximum(high, middle + LEAST_SPAN)
    first = (features.clip(low, middle) - low) / (middle - low)
    second = (features.clip(middle, high) - middle) / (high - middle)
    present, targets = np.unique(labels, return_inverse=True)
    hidden, last = _learn(np.concatenate([first, second], axis=1), targets, len(present), seed)

    # min(u, m) = u + m - max(u, m) saves a piece: with u cut to [low, high], only u and
    # max(u, m) have to be made when the classifier is applied.
    a, b = (part.double().numpy() for part in hidden.weight.detach().chunk(2, dim=1))
    a, b = a / (middle - low), b / (high - middle)
    hidden_bias = hidden.bias.detach().double().numpy() + a @ (middle - low) - b @ middle
    weight = np.zeros((n_classes, N_HIDDEN))
    bias = np.full(n_classes, -np.inf)
    weight[present] = last.weight.detach().numpy()
    bias[present] = last.bias.detach().numpy()
    rows = (low, middle, high, np.concatenate([a, b - a], axis=1), hidden_bias, weight, bias)
    tensors = (torch.from_numpy(np.asarray(r, dtype=np.float32)).to(device) for r in rows)
    return FittedClassifier(*(t if t.ndim == 2 else t[:, None] for t in tensors))


def _learn(
    inputs: np.ndarray, targets: np.ndarray, n_classes: int, seed: int
) -> tuple[torch.nn.Linear, torch.nn.Linear]:
    """Train the two layers on ``(n, n_inputs)`` inputs in [0, 1] and ``(n,)`` classes."""
    rng = np.random.default_rng(seed)
    hidden, last = _layer(inputs.shape[1], N_HIDDEN, rng), _layer(N_HIDDEN, n_classes, rng)
    draws = _balanced_draws(targets, n_classes, N_STEPS * BATCH, rng)
    chosen = torch.from_numpy(draws.reshape(N_STEPS, BATCH))
    examples = torch.from_numpy(inputs.astype(np.float32))
    answers = torch.from_numpy(targets)
    # Successive steps share all but one row of the masks: as good as new ones, and no waiting.
    seen = rng.random((N_STEPS + BATCH, inputs.shape[1]), dtype=np.float32) >= HIDDEN_INPUTS
    masks = torch.from_numpy(seen.astype(np.float32) / (1 - HIDDEN_INPUTS))
    parameters = [*hidden.parameters(), *last.parameters()]
    optimiser = torch.optim.AdamW(parameters, LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=N_STEPS)
    for step in range(N_STEPS):
        rows = chosen[step]
        batch = examples[rows] * masks[step : step + BATCH]
        loss = functional.cross_entropy(last(hidden(batch).relu()), answers[rows])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return hidden, last


def _layer(n_in: int, n_out: int, rng: np.random.Generator) -> torch.nn.Linear:
    """Return a linear layer with small random weights that follow from the generator alone."""
    layer = torch.nn.Linear(n_in, n_out)
    bound = n_in**-0.5
    with torch.no_grad():
        for values in (layer.weight, layer.bias):
            draw = rng.uniform(-bound, bound, tuple(values.shape))
            values.copy_(torch.from_numpy(draw))
    return layer


def _balanced_draws(
    targets: np.ndarray, n_classes: int, n: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw pixels with replacement, the same number of each class, in mixed order."""
    order = np.argsort(targets, kind="stable")
    counts = np.bincount(targets, minlength=n_classes)
    first = np.cumsum(counts) - counts
    classes = np.arange(n) % n_classes
    drawn: np.ndarray = order[first[classes] + (rng.random(n) * counts[classes]).astype(np.int64)]
    return drawn
