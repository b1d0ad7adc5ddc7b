"""What pre-training tells while it runs. Needs no torch, so that windows can read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class PretrainStep:
    """What one optimiser step was like.

    Parameters
    ----------
    step, total : int
        Steps done, and in all.
    losses : dict of str to float
        Each loss, unweighted.
    effective_rank : float
        exp of the entropy of the embedding's spectrum; near 1 means collapse.
    region_use : float
        exp of the mutual information of pixel and region: the number of regions that pixels are
        told apart by; 1 means collapse.
    elapsed_s : float
        Seconds since this run began.
    """

    step: int
    total: int
    losses: dict[str, float]
    effective_rank: float
    region_use: float
    elapsed_s: float


@dataclass(frozen=True)
class CheckpointWritten:
    """A checkpoint was written that a later run goes on from."""

    step: int
    path: Path
