"""A network that learns, and the moving average of it, which is what is used.

Knows neither where images come from nor what the loss is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from napari_regcon.engine.adam import Adam, clipped
from napari_regcon.engine.moving_average import average_of, update_average

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from napari_regcon.engine.device import Device
    from napari_regcon.nn.class_net import ClassNet

_WEIGHT_DECAY = 1e-3


class LearningNet:
    """A network in training, with its optimiser and its average.

    Parameters
    ----------
    net : ClassNet
        Is changed.
    device : Device
        Where it learns.
    average_decay : float
        Decay of the moving average, reached over the first steps.

    Attributes
    ----------
    average : ClassNet
        The moving average; not to be changed.
    """

    def __init__(self, net: ClassNet, device: Device, average_decay: float) -> None:
        self._device = device
        self._decay = average_decay
        self._net = net.to(device.torch_device)
        self._parameters = list(self._net.parameters())
        self._optimiser = Adam(self._parameters, _WEIGHT_DECAY)
        self._n_steps = 0
        self.average = average_of(self._net)

    def logits(self, images: np.ndarray, prior: np.ndarray) -> Tensor:
        """Return logits ``(B, K, H, W)`` to learn from.

        Parameters
        ----------
        images : numpy.ndarray
            ``(B, C, H, W)``.
        prior : numpy.ndarray
            ``(B, K, H, W)``, what the logits of the network are added to.
        """
        return self._forward(self._net.train(), images, prior)

    @torch.no_grad()
    def predict(self, images: np.ndarray, prior: np.ndarray) -> Tensor:
        """Return the probabilities ``(B, K, H, W)`` that the average gives."""
        return self._forward(self.average, images, prior).softmax(1)

    def learn(self, loss: Tensor, rate: float) -> None:
        """Take a step down a loss that was made from :meth:`logits`."""
        found = torch.autograd.grad(loss, self._parameters)
        self._optimiser.step(clipped(found), rate)
        self._n_steps += 1
        update_average(self.average, self._net, self._decay, self._n_steps)

    def state(self) -> dict[str, Any]:
        """Return what :meth:`restore` needs to go on from here."""
        return {
            "n_steps": self._n_steps,
            "net": self._net.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self._optimiser.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self._n_steps = state["n_steps"]
        self._net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self._optimiser.restore(state["optimiser"])

    def _forward(self, net: ClassNet, images: np.ndarray, prior: np.ndarray) -> Tensor:
        device = self._device.torch_device
        batch = torch.from_numpy(images).to(device, memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=self._device.supports_bf16):
            logits: Tensor = net(batch)
        return logits + torch.from_numpy(prior).to(device)
