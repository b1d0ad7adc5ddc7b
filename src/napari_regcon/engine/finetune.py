"""Fine-tuning: a short training of a small network on what is painted.

A generator of events that can be stopped at any step, takes in new strokes between two steps,
and leaves everything else alone: the network is a copy, and only its result is used. A fifth of
the strokes is kept back and judges it; the best averaged weights are the result. The network may
start from a pre-trained one. Nothing here knows where the result is shown or written.
"""

from __future__ import annotations

import time
from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from napari_regcon.config import FinetuneConfig
from napari_regcon.data.metrics import Confusion
from napari_regcon.data.stroke_crops import StrokeCrops
from napari_regcon.data.stroke_split import StrokeSplit
from napari_regcon.engine.device import choose_device
from napari_regcon.engine.finetune_events import FinetuneCheck, FinetuneStep
from napari_regcon.errors import InputError
from napari_regcon.nn.class_net import ClassNet
from napari_regcon.nn.losses.sparse import sparse_loss
from napari_regcon.types import NOT_SAID

if TYPE_CHECKING:
    from collections.abc import Generator

    from torch import Tensor

    from napari_regcon.data.stroke_crops import Crop
    from napari_regcon.data.support import SupportSet
    from napari_regcon.nn.regcon import RegConNet

_WARM_UP_STEPS = 10
_SURE = 0.8
"""Probability from which the averaged network's opinion of an unlabelled pixel is taught."""


class FineTuning:
    """The state of a fine-tuning.

    Parameters
    ----------
    support : SupportSet
        What is painted.
    config : FinetuneConfig, optional
        Parameters.
    start : RegConNet, optional
        A pre-trained network, normalisation not folded; from scratch where not given.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.

    Raises
    ------
    InputError
        If fewer than two classes are painted, or images of different kinds are mixed.
    DeviceError
        If the device is not there.
    """

    def __init__(
        self,
        support: SupportSet,
        config: FinetuneConfig | None = None,
        *,
        start: RegConNet | None = None,
        device: str = "auto",
    ) -> None:
        self.config = config or FinetuneConfig()
        self.device = choose_device(device)
        self.step = 0
        self.elapsed_s = 0.0
        self.best: FinetuneCheck | None = None
        self._rng = np.random.default_rng(self.config.seed)
        self._split = StrokeSplit()
        self._n_classes: int | None = None
        self.update(support)
        self._net = self._network(start)
        self._average = deepcopy(self._net).eval().requires_grad_(False)
        self._kept: dict[str, Tensor] | None = None
        self._optimiser = torch.optim.AdamW(
            self._net.parameters(), self.config.learning_rate, weight_decay=1e-3
        )

    def update(self, support: SupportSet) -> None:
        """Learn from what is painted now, from the next step on.

        Raises
        ------
        InputError
            If fewer than two classes are painted, images of different kinds are mixed, or there
            are more or fewer classes than before. All goes on as before then.
        """
        support.require_classes()
        support.require_one_kind()
        if self._n_classes not in (None, len(support.classes)):
            raise InputError(
                f"There are {len(support.classes)} classes now, but training began with "
                f"{self._n_classes}."
            )
        self._n_classes = len(support.classes)
        self.support = support
        learnt, held = self._split.divide(support)
        size = (self.config.crop_px, self.config.downscale)
        self._crops = StrokeCrops(support, learnt, *size)
        self._held = StrokeCrops(support, held, *size).straight()

    @property
    def has_held_out(self) -> bool:
        """Whether any strokes are kept back to judge the network by."""
        return bool(self._held)

    @property
    def done(self) -> float:
        """How much of the time or of the steps is used up, 0 to 1."""
        if self.config.steps:
            return min(1.0, self.step / self.config.steps)
        return min(1.0, self.elapsed_s / (60 * self.config.minutes))

    def train_step(self) -> FinetuneStep:
        """Take one optimiser step."""
        begin = time.perf_counter()
        for group in self._optimiser.param_groups:
            group["lr"] = self._learning_rate()
        crops = [self._crops.draw(self._rng) for _ in range(self.config.crops_per_step)]
        loss = self._loss(crops)
        self._optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self._net.parameters(), 1.0)
        self._optimiser.step()
        self.step += 1
        self._update_average()
        self.elapsed_s += time.perf_counter() - begin
        return FinetuneStep(self.step, self.done, float(loss.detach()), self.elapsed_s)

    def check(self) -> FinetuneCheck | None:
        """Judge the averaged network by the strokes kept back; None where there are none."""
        if not self._held:
            return None
        begin = time.perf_counter()
        confusion = Confusion(self.support.classes)
        for crop in self._held:
            said = crop.labels != NOT_SAID
            found = self._predict(self._average, crop.image[None]).argmax(1)[0].cpu().numpy()
            confusion.add((crop.labels + 1)[said], (found + 1)[said])
        judged = confusion.counts.sum(1) > 0
        dice = {
            name: float(value)
            for name, value, is_judged in zip(
                self.support.classes, confusion.dice(), judged, strict=True
            )
            if is_judged
        }
        event = FinetuneCheck(self.step, dice, is_best=False)
        # A later one is as good as an earlier one that did as well: it has learnt more.
        if self.best is None or event.mean_dice >= self.best.mean_dice:
            event = self.best = FinetuneCheck(self.step, dice, is_best=True)
            self._kept = deepcopy(self._average.state_dict())
        self.elapsed_s += time.perf_counter() - begin
        return event

    def result(self) -> ClassNet:
        """Return a copy of the best network; of the last one where none could be judged."""
        net = deepcopy(self._average)
        if self._kept is not None:
            net.load_state_dict(self._kept)
        return net

    def _network(self, start: RegConNet | None) -> ClassNet:
        config = self.config
        n_channels = self.support.examples[0].volume.n_channels
        width = start.width if start else config.width
        levels = start.levels if start else config.levels
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            net = ClassNet(n_channels, len(self.support.classes), width, levels)
        if start is not None:
            net.start_from(start)
        for parameter in net.parameters():
            if parameter.ndim == 4:  # a convolution
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        return net.to(self.device.torch_device)

    def _learning_rate(self) -> float:
        """Return the rate of this step: warm-up, then half a cosine down to a hundredth."""
        warm = min(1.0, (self.step + 1) / _WARM_UP_STEPS)
        fall = 0.01 + 0.99 * (1 + np.cos(np.pi * self.done)) / 2
        return float(self.config.learning_rate * warm * fall)

    def _loss(self, crops: list[Crop]) -> Tensor:
        device = self.device.torch_device
        labels = torch.from_numpy(np.stack([crop.labels for crop in crops])).to(device)
        logits = self._logits(self._net.train(), np.stack([crop.image for crop in crops]))
        loss = sparse_loss(logits, labels)
        if self.config.consistency and self.step > _WARM_UP_STEPS:
            taught = self._predict(self._average, np.stack([crop.clean for crop in crops]))
            sure = (taught.amax(1) > _SURE) & (labels == NOT_SAID)
            entropy = functional.cross_entropy(logits, taught, reduction="none")
            loss = loss + self.config.consistency * (entropy * sure).mean()
        return loss

    @torch.no_grad()
    def _predict(self, net: ClassNet, images: np.ndarray) -> Tensor:
        return self._logits(net, images).softmax(1)

    def _logits(self, net: ClassNet, images: np.ndarray) -> Tensor:
        device = self.device.torch_device
        batch = torch.from_numpy(images).to(device, memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.device.supports_bf16):
            logits: Tensor = net(batch)
        return logits

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.config.average_decay, (1 + self.step) / (10 + self.step))
        pairs = zip(
            self._average.state_dict().values(), self._net.state_dict().values(), strict=True
        )
        for average, current in pairs:
            if average.is_floating_point():
                average.lerp_(current.detach(), 1 - decay)
            else:
                average.copy_(current)


def finetune(tuning: FineTuning) -> Generator[FinetuneStep | FinetuneCheck, None, ClassNet]:
    """Train to the end of the time or of the steps.

    Parameters
    ----------
    tuning : FineTuning
        The state; :meth:`FineTuning.update` may be called between two steps, and
        :meth:`FineTuning.result` at any time.

    Yields
    ------
    FinetuneStep or FinetuneCheck
        After every step, and after every look at the strokes kept back.

    Returns
    -------
    ClassNet
        The best network.
    """
    while tuning.done < 1:
        yield tuning.train_step()
        if tuning.step % tuning.config.check_every == 0 or tuning.done >= 1:
            check = tuning.check()
            if check is not None:
                yield check
    return tuning.result()
