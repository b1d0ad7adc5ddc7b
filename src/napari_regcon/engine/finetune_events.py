"""What fine-tuning tells while it runs. Needs no torch, so that windows can read it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FinetuneStep:
    """What one optimiser step was like.

    Parameters
    ----------
    step : int
        Steps done.
    done : float
        How much of the time or steps is used up, 0 to 1.
    loss : float
        Cross-entropy and Dice loss of the step.
    elapsed_s : float
        Seconds of training so far, pauses left out.
    """

    step: int
    done: float
    loss: float
    elapsed_s: float


@dataclass(frozen=True)
class FinetuneCheck:
    """How good the network is on strokes that it does not learn from.

    Parameters
    ----------
    step : int
        Steps done.
    dice : dict of str to float
        Dice of each class that has strokes kept back.
    is_best : bool
        Whether this is the best so far, and kept.
    """

    step: int
    dice: dict[str, float]
    is_best: bool

    @property
    def mean_dice(self) -> float:
        """Mean over the classes."""
        return sum(self.dice.values()) / len(self.dice)
