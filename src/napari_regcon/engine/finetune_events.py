"""What fine-tuning tells while it runs. Needs no torch, so that windows can read it."""

from __future__ import annotations

from dataclasses import dataclass, field

FEWEST_HELD = 3
"""Strokes kept back of each class from which on a network may take over by itself."""


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
        Loss of the step, of labelled and unlabelled pixels together.
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
    rival : dict of str to float
        Dice of the pixel classifier as it is by default, fitted on the same strokes, on those
        kept back; empty where it was not asked.
    n_held : int
        Strokes kept back of the class that has the fewest.
    solidity : dict of str to float
        How far the mean solidity of the objects found is from that of finished ones, for the
        classes that are to be judged by it too.
    """

    step: int
    dice: dict[str, float]
    is_best: bool
    rival: dict[str, float] = field(default_factory=dict)
    n_held: int = 0
    solidity: dict[str, float] = field(default_factory=dict)

    @property
    def mean_dice(self) -> float:
        """Mean over the classes; 0 where none was judged."""
        return _mean(self.dice)

    @property
    def score(self) -> float:
        """What the best network has most of: Dice, less what solidity is off by."""
        return _mean(self.dice) - _mean(self.solidity)

    @property
    def mean_rival(self) -> float | None:
        """Mean of the pixel classifier over the same classes; None where it was not asked."""
        return _mean(self.rival) if self.rival else None

    @property
    def may_take_over(self) -> bool:
        """Whether the network is better than the pixel classifier, as far as that is known."""
        rival = self.mean_rival
        return rival is not None and self.n_held >= FEWEST_HELD and self.mean_dice > rival


def _mean(values: dict[str, float]) -> float:
    return sum(values.values()) / max(1, len(values))
