"""AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101, algorithm 2), written out.

torch's own would do, but making the first one imports torch's compiler, and the first stroke, or
a preview while a training begins, would wait seconds for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor


class Adam:
    """Changes parameters in place by their gradients.

    Parameters
    ----------
    parameters : iterable of Tensor
        What is learnt.
    weight_decay : float
        Share of a parameter that is taken off at a step, times the rate.
    """

    def __init__(self, parameters: Iterable[Tensor], weight_decay: float) -> None:
        self._parameters = list(parameters)
        self._weight_decay = weight_decay
        self._means = [torch.zeros_like(p) for p in self._parameters]
        self._squares = [torch.zeros_like(p) for p in self._parameters]
        self._n_steps = 0

    @torch.no_grad()
    def step(self, found: Sequence[Tensor], rate: float) -> None:
        """Take a step.

        Parameters
        ----------
        found : sequence of Tensor
            The gradient of each parameter.
        rate : float
            Learning rate of this step.
        """
        self._n_steps += 1
        mean_share, square_share = 1 - 0.9**self._n_steps, 1 - 0.999**self._n_steps
        state = zip(self._parameters, found, self._means, self._squares, strict=True)
        for parameter, gradient, mean, square in state:
            mean.lerp_(gradient, 0.1)
            square.lerp_(gradient.square(), 0.001)
            root = (square / square_share).sqrt_().add_(1e-8)
            parameter.mul_(1 - rate * self._weight_decay)
            parameter.addcdiv_(mean, root, value=-rate / mean_share)

    def state(self) -> dict[str, Any]:
        """Return what :meth:`restore` needs to go on from here."""
        return {"means": self._means, "squares": self._squares, "n_steps": self._n_steps}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state of an optimiser of the same parameters."""
        for kept, given in ((self._means, state["means"]), (self._squares, state["squares"])):
            for mine, other in zip(kept, given, strict=True):
                mine.copy_(other)
        self._n_steps = int(state["n_steps"])


def clipped(gradients: Sequence[Tensor]) -> list[Tensor]:
    """Return gradients whose length, all taken together, is 1 at most."""
    length = torch.stack([g.norm() for g in gradients]).norm()
    share = (1 / (length + 1e-6)).clamp(max=1)
    return [g * share for g in gradients]
