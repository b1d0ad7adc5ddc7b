"""The classifier of the pixel head: fitted in milliseconds, applied to whole feature tiles.

A small perceptron with dropout on its inputs. Few strokes leave many features that separate the
painted pixels by chance; dropout makes the fit lean on many of them at once, which is what a
random forest gains from, at a fraction of the time to predict. Whole slices leave less to chance,
and there much dropout only blurs, so it fades as more is painted. ``benchmarks/classifiers.py``
compares it with linear models, forests and boosting. Knows nothing of images.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from napari_regcon.engine.adam import Adam
from napari_regcon.engine.balance import OF_STROKES
from napari_regcon.engine.device import in_threads, one_thread

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK_PX = 1 << 12
"""Pixels a processor classifies at once, few enough to stay in its cache; a GPU takes all."""

HIDDEN = 32
STEPS = 100
BATCH_PX = 256
LEARNING_RATE = 0.02
WEIGHT_DECAY = 0.01
DROPOUT = (0.5, 0.25)
"""Share of the inputs that is dropped: as long as little is painted, and when much is."""

FADE_PX = (1 << 15, 1 << 17)
"""Painted pixels up to which dropout is at its most, and from which on at its least."""

CLIP = 3.0
"""Standardised features are cut to this range, so that no artefact outvotes all else."""


@dataclass(frozen=True, eq=False)
class FittedClassifier:
    """Class probabilities from features: cut to their usual range, one hidden layer.

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

    def probabilities(self, features: Tensor, rows: slice = slice(None)) -> Tensor:
        """Return class probabilities.

        Parameters
        ----------
        features : torch.Tensor
            ``(n_features, *shape)``.
        rows : slice
            Those of the first axis of ``shape`` that are wanted; without a step.

        Returns
        -------
        torch.Tensor
            float32 ``(n_classes, n_rows, *shape[1:])``, the same bytes whichever rows are wanted.
        """
        _, n_rows, *rest = features.shape
        first, stop, _ = rows.indices(n_rows)
        on_processor = features.device.type == "cpu"
        height = max(1, CHUNK_PX // max(1, math.prod(rest))) if on_processor else max(1, n_rows)
        # Products of matrices of another shape are rounded otherwise: chunks are always the same.
        begin = first // height * height
        features = features[:, begin : min(n_rows, -(-stop // height) * height)]
        shape = (len(self.bias), *features.shape[1:])
        result = features.new_empty(shape, dtype=torch.float32)
        n_shares = torch.get_num_threads() if on_processor else 1
        # A thread takes a whole chunk, so that none waits for another after every operation, and
        # then the next that is left, as the window or another program may hold one of them up.
        starts = iter(range(0, features.shape[1], height))
        work = functools.partial(self._judge, features, height=height, result=result)
        in_threads(work, [starts] * n_shares)
        return result[:, first - begin : stop - begin]

    @torch.inference_mode()
    def _judge(
        self, features: Tensor, starts: Iterator[int], *, height: int, result: Tensor
    ) -> None:
        """Classify the chunks of rows that start there, in memory that is taken once."""
        n_features, n_rows, *rest = features.shape
        row_px = math.prod(rest)
        inputs = result.new_empty(n_features, min(height, n_rows) * row_px)
        hidden = result.new_empty(len(self.hidden_bias), inputs.shape[1])
        for start in starts:
            chunk = features[:, start : start + height]
            n = chunk.shape[1] * row_px
            x, y = inputs[:, :n], hidden[:, :n]
            x.view(chunk.shape).copy_(chunk)
            # Quicker than clamp with bounds per row.
            torch.maximum(x, self.low, out=x)
            torch.minimum(x, self.high, out=x)
            torch.addmm(self.hidden_bias, self.hidden_weight, x, out=y).relu_()
            scores = torch.addmm(self.bias, self.weight, y).view(-1, *chunk.shape[1:])
            torch.softmax(scores, 0, out=result[:, start : start + height])


def fit_classifier(
    features: np.ndarray,
    labels: np.ndarray,
    n_classes: int,
    device: torch.device,
    *,
    totals: np.ndarray | None = None,
    power: float = OF_STROKES,
    seed: int = 0,
) -> FittedClassifier:
    """Fit a partly class-balanced perceptron with dropout on standardised features.

    Dropout (:func:`dropout_at`) after Srivastava et al. 2014 (JMLR 15), one cycle of the rate as
    in Smith and Topin 2019 (arXiv 1708.07120). It runs on the processor, where steps this small
    are quickest, and gives the same weights for the same input and seed.

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
    totals : numpy.ndarray, optional
        ``(n_classes,)`` pixels that were painted, where ``labels`` are only some of them.
    power : float
        A class is drawn by its painted pixels to this power, 0 to 1; see
        :mod:`napari_regcon.engine.balance`.
    seed : int
        Of the initial weights, the batches and the dropout.
    """
    mean = features.mean(0, dtype=np.float64)
    spread = features.std(0, dtype=np.float64)
    spread[spread < 1e-6] = 1.0
    inputs = torch.from_numpy(((features - mean) / spread).clip(-CLIP, CLIP).astype(np.float32))
    targets = torch.from_numpy(labels.astype(np.int64))
    with torch.random.fork_rng(devices=[]), one_thread():
        torch.manual_seed(seed)
        counts = torch.bincount(targets, minlength=n_classes)
        painted = counts if totals is None else torch.from_numpy(totals)
        chances = painted.float() ** power / counts.clamp(min=1)
        dropout = dropout_at(int(painted.sum()))
        first_weight, first_bias, weight, bias = _train(inputs, targets, chances, dropout, seed)
    bias[counts == 0] = -torch.inf
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


def _train(
    inputs: Tensor, targets: Tensor, chances: Tensor, dropout: float, seed: int
) -> list[Tensor]:
    """Return weight and bias of both layers, given the chance of each class for its pixels."""
    n_classes = len(chances)
    kept_inputs, kept_hidden = _coins(seed, dropout, inputs.shape[1], HIDDEN)
    parameters = []
    for outputs, width in ((HIDDEN, inputs.shape[1]), (n_classes, HIDDEN)):
        bound = width**-0.5
        parameters.append(torch.empty(outputs, width).uniform_(-bound, bound))
        parameters.append(torch.empty(outputs).uniform_(-bound, bound))
    batches = torch.multinomial(chances[targets], STEPS * BATCH_PX, replacement=True)
    wanted = functional.one_hot(targets, n_classes).float()
    # Everything that can be is done for all steps at once: an operation takes longer to begin
    # than to do on a batch.
    shown = inputs[batches].view(STEPS, BATCH_PX, -1).mul_(kept_inputs)
    said = wanted[batches].view(STEPS, BATCH_PX, -1)
    flat = torch.cat([p.flatten() for p in parameters])
    shapes, sizes = [p.shape for p in parameters], [p.numel() for p in parameters]
    parts = torch.split(flat, sizes)
    parameters = [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]
    adam = Adam([flat], WEIGHT_DECAY)
    for step in range(STEPS):
        found = gradients(shown[step], said[step], kept_hidden[step], *parameters)
        # One cycle: slow, quick, slow.
        rate = LEARNING_RATE * math.sin(math.pi * (step + 0.5) / STEPS) ** 2
        adam.step([torch.cat([g.flatten() for g in found])], rate)
    return parameters


def gradients(
    inputs: Tensor,
    wanted: Tensor,
    kept: Tensor,
    hidden_weight: Tensor,
    hidden_bias: Tensor,
    weight: Tensor,
    bias: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of the mean cross-entropy of a perceptron with one hidden layer.

    Written out, because for layers this small recording and replaying the operations takes
    several times longer than the operations.

    Parameters
    ----------
    inputs, wanted : torch.Tensor
        ``(n, n_features)`` and the one-hot classes ``(n, n_classes)``.
    kept : torch.Tensor
        ``(n, HIDDEN)`` factors of dropout.
    hidden_weight, hidden_bias, weight, bias : torch.Tensor
        Of the two layers, as ``torch.nn.Linear`` has them.

    Returns
    -------
    tuple of torch.Tensor
        In the order of the last four parameters.
    """
    hidden = torch.addmm(hidden_bias, inputs, hidden_weight.T).clamp_(min=0).mul_(kept)
    error = torch.softmax(torch.addmm(bias, hidden, weight.T), 1).sub_(wanted).div_(len(inputs))
    # What was cut at 0, or dropped, has no part in the error.
    back = (error @ weight).mul_(kept).mul_(hidden > 0)
    return back.T @ inputs, back.sum(0), error.T @ hidden, error.sum(0)


def dropout_at(n_painted: int) -> float:
    """Return the share of inputs to drop, a multiple of 1/16, where so many pixels are painted.

    It falls with the logarithm of ``n_painted`` between the two of :data:`FADE_PX`.
    """
    few, many = map(math.log2, FADE_PX)
    left = (many - math.log2(max(1, n_painted))) / (many - few)
    most, least = DROPOUT
    return round(16 * (least + (most - least) * min(1.0, max(0.0, left)))) / 16


@functools.lru_cache(maxsize=4)
def _coins(seed: int, dropout: float, *widths: int) -> tuple[Tensor, ...]:
    """Return the factors of dropout for all steps: 0, or what keeps the mean at 1.

    The same for every fit, so they are drawn once. A byte for each is several times quicker to
    draw than torch's Bernoulli numbers.
    """
    rng = np.random.default_rng(seed)
    found = []
    for width in widths:
        drawn = np.frombuffer(rng.bytes(STEPS * BATCH_PX * width), np.uint8)
        kept = torch.from_numpy(drawn >= 256 * dropout)
        found.append(kept.float().div_(1 - dropout).view(STEPS, BATCH_PX, width))
    return tuple(found)
