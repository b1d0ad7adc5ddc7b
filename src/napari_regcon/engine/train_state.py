"""What every long training is made of: a network, its moving average, an optimiser, time and steps.

Can be written down and read again. What a step learns from, and what its losses are, the kinds
of trainings say themselves.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from torch import nn

from napari_regcon.engine.device import choose_device
from napari_regcon.engine.moving_average import average_of, update_average

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

_WARM_UP_STEPS = 50
"""Steps of rising rate where it is not known how many there will be."""

Net = TypeVar("Net", bound=nn.Module)


class TrainState(Generic[Net]):
    """The state of a training.

    Parameters
    ----------
    config : PretrainConfig or ContextTrainConfig
        Parameters.
    net : torch.nn.Module
        What is trained.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    more : iterable of torch.nn.Parameter
        What is learnt besides and not part of the result.

    Attributes
    ----------
    step : int
        Steps done.
    elapsed_s : float
        Seconds of training so far, pauses left out.

    Raises
    ------
    DeviceError
        If the device is not there.
    """

    def __init__(
        self, config: Any, net: Net, *, device: str, more: Iterable[nn.Parameter] = ()
    ) -> None:
        self.config = config
        self.device = choose_device(device)
        self.step = 0
        self.elapsed_s = 0.0
        self.net = net.to(self.device.torch_device)
        self.average = average_of(self.net)
        self.optimiser = torch.optim.AdamW(
            [*self.net.parameters(), *more], config.learning_rate, weight_decay=0.01
        )

    @property
    def done(self) -> float:
        """How much of the time or of the steps is used up, 0 to 1."""
        if self.config.minutes:
            return min(1.0, self.elapsed_s / float(60 * self.config.minutes))
        return min(1.0, self.step / int(self.config.steps))

    def learning_rate(self) -> float:
        """Return the rate of this step: warm-up, plateau, and a linear fall at the end."""
        timed = self.config.minutes > 0
        warm_up = _WARM_UP_STEPS if timed else max(1, min(200, self.config.steps // 10))
        warm = min(1.0, (self.step + 1) / warm_up)
        fall = min(1.0, 4 * (1 - self.done))
        rate: float = self.config.learning_rate * warm * max(fall, 0.01)
        return rate

    def result(self) -> Net:
        """Return a copy of the network of averaged weights, the one to use."""
        return deepcopy(self.average)

    def descend(self, loss: Tensor) -> None:
        """Take one optimiser step down a loss, and count it."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate()
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        update_average(self.average, self.net, self.config.average_decay, self.step)

    def state(self) -> dict[str, Any]:
        """Return everything a later run needs."""
        return {
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "config": asdict(self.config),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.step = state["step"]
        self.elapsed_s = state.get("elapsed_s", 0.0)
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
