"""One step of training a network that segments in context (arXiv 2304.06131, section 3.3).

The network is evaluated in its factorised form, which has the same gradients for less work, and in
half precision where the device is quicker so. Where tasks come from is the caller's affair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_regcon.engine.pretrain_events import ContextLook
from napari_regcon.engine.train_state import TrainState
from napari_regcon.nn.losses.overlap import overlap_loss
from napari_regcon.nn.universeg import UniverSeg

if TYPE_CHECKING:
    from torch import Tensor

    from napari_regcon.config import ContextTrainConfig
    from napari_regcon.data.context_tasks import ContextSource, ContextTask

WATCHED_QUERIES = 500
"""About so many of the last queries are watched."""


class ContextTraining(TrainState[UniverSeg]):
    """The state of a training in context: network, its moving average, optimiser, step.

    Parameters
    ----------
    config : ContextTrainConfig
        Parameters.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.

    Raises
    ------
    DeviceError
        If the device is not there.
    """

    def __init__(self, config: ContextTrainConfig, *, device: str = "auto") -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            net = UniverSeg(config.width)
        super().__init__(config, net, device=device)
        self._dice = float("nan")

    def draw(self, source: ContextSource, step: int) -> tuple[list[ContextTask]]:
        """Draw the batch of a step; the same step draws the same batch.

        All its tasks have as many support examples, few more often than many.
        """
        config = self.config
        rng = np.random.default_rng((config.seed, step))
        fewest, most = config.support
        n_support = int(np.exp(rng.uniform(np.log(fewest), np.log(most + 1))))
        done = self.done if config.minutes else step / config.steps
        size = config.late_crop_px if done >= 1 - config.late_share else config.crop_px
        tasks = range(config.tasks_per_step)
        return ([source.task(n_support, config.queries, size, rng) for _ in tasks],)

    def train_step(self, tasks: list[ContextTask]) -> dict[str, float]:
        """Take one optimiser step and return the loss.

        Parameters
        ----------
        tasks : list of ContextTask
            All with the same numbers and sizes of images; the last ``config.queries`` of each
            are queries.
        """
        self.net.train()
        logits, wanted = self.segment(tasks)
        loss = overlap_loss(logits, wanted)
        self.descend(loss)
        self._watch(logits.detach(), wanted)
        return {"loss": float(loss.detach())}

    def segment(self, tasks: list[ContextTask]) -> tuple[Tensor, Tensor]:
        """Return logits and truth of all queries, ``(B, 1, H, W)`` each."""
        device, queries = self.device.torch_device, self.config.queries
        images, labels = (
            torch.from_numpy(np.stack(arrays))[:, :, None].to(device)
            for arrays in ([task.images for task in tasks], [task.labels for task in tasks])
        )
        examples = (t[:, :-queries].repeat_interleave(queries, 0) for t in (images, labels))
        with torch.autocast(device.type, torch.bfloat16, enabled=self.device.supports_bf16):
            logits = self.net(images[:, -queries:].flatten(0, 1), *examples, chunk=images.shape[1])
        return logits, labels[:, -queries:].flatten(0, 1)

    def _watch(self, logits: Tensor, wanted: Tensor) -> None:
        """Follow the Dice of all queries of a step, over some steps."""
        found, inside = logits > 0, wanted > 0
        now = 2 * float((found & inside).sum()) / max(1.0, float(found.sum() + inside.sum()))
        before = self._dice if self._dice == self._dice else now
        self._dice = before + len(logits) / WATCHED_QUERIES * (now - before)

    def look_at(self, _source: ContextSource) -> tuple[()]:
        """Return nothing: the queries of the last steps are looked at."""
        return ()

    def look(self) -> ContextLook:
        """Look at how training goes."""
        return ContextLook(self.step, self._dice)

    def state(self) -> dict[str, Any]:
        """Return everything a later run needs."""
        return super().state() | {"dice": self._dice}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        super().load_state(state)
        self._dice = state["dice"]
