"""What pre-training tells while it runs. Needs no torch, so that windows can read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np


@dataclass(frozen=True)
class PretrainStep:
    """What one optimiser step was like.

    Parameters
    ----------
    step : int
        Steps done.
    done : float
        How much of the time or steps is used up, 0 to 1.
    losses : dict of str to float
        Each loss that the step had, unweighted.
    elapsed_s : float
        Seconds of training so far, pauses left out.
    """

    step: int
    done: float
    losses: dict[str, float]
    elapsed_s: float


@dataclass(frozen=True, eq=False)
class PretrainLook:
    """A look at what was learnt so far, always at the same images.

    Parameters
    ----------
    step : int
        Steps done.
    n_features, n_regions : int
        How many there could be.
    effective_rank : float
        exp of the entropy of the embedding's spectrum; near 1 means collapse.
    region_use : float
        exp of the mutual information of pixel and region: the number of regions that pixels are
        told apart by; 1 means collapse. NaN where no regions are learnt.
    picture, regions : numpy.ndarray or None
        uint8 ``(Y, X)``: a part of an image, and the region that each of its pixels belongs to
        most; None where no regions are learnt.
    """

    step: int
    n_features: int
    n_regions: int
    effective_rank: float
    region_use: float = float("nan")
    picture: np.ndarray | None = None
    regions: np.ndarray | None = None


@dataclass(frozen=True)
class ContextLook:
    """How a network that segments in context does.

    Parameters
    ----------
    step : int
        Steps done.
    dice : float
        Dice of the queries of the last steps.
    """

    step: int
    dice: float


@dataclass(frozen=True)
class CheckpointWritten:
    """A checkpoint was written that a later run goes on from."""

    step: int
    path: Path
