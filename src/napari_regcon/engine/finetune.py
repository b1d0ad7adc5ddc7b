"""Fine-tuning: a short training of a small network that adds to the pixel classifier.

The logits of the network are added to the logarithms of the probabilities that the pixel
classifier gives, so it begins as good as that and learns what that cannot see (stacking, Wolpert
1992, doi 10.1016/S0893-6080(05)80023-1). What was fitted on a stroke is too good there: each half
of the strokes is learnt from beside a classifier fitted on the other half.

A generator of events that can be stopped at any step, takes in new strokes between two steps,
and leaves everything else alone: the network is a copy, and only its result is used. A fifth of
the strokes is kept back and judges it; the best averaged weights are the result. The network may
start from a pre-trained one. Nothing here knows where the result is shown or written.
"""

from __future__ import annotations

import time
from copy import deepcopy
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_regcon.config import FinetuneConfig
from napari_regcon.data.stroke_split import StrokeSplit
from napari_regcon.engine.aside import AtOnce
from napari_regcon.engine.balance import class_power
from napari_regcon.engine.checkpoint import read_checkpoint, write_checkpoint
from napari_regcon.engine.device import choose_device
from napari_regcon.engine.finetune_bases import Bases
from napari_regcon.engine.finetune_events import FinetuneCheck, FinetuneStep
from napari_regcon.engine.finetune_judge import Judge
from napari_regcon.engine.finetune_start import network_for
from napari_regcon.engine.learning_net import LearningNet
from napari_regcon.engine.opinion import prior_of
from napari_regcon.engine.segmenter import require_depth
from napari_regcon.errors import InputError
from napari_regcon.nn.losses.sparse import sparse_loss
from napari_regcon.nn.losses.taught import taught_loss
from napari_regcon.types import NOT_SAID

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from torch import Tensor

    from napari_regcon.data.stroke_crops import Crop
    from napari_regcon.data.support import SupportSet
    from napari_regcon.engine.aside import Runner
    from napari_regcon.engine.feature_store import FeatureStore
    from napari_regcon.nn.class_net import ClassNet
    from napari_regcon.nn.regcon import RegConNet

_WARM_UP_STEPS = 10


class FineTuning:
    """The state of a fine-tuning.

    Parameters
    ----------
    support : SupportSet
        What is painted.
    config : FinetuneConfig, optional
        Parameters.
    start : RegConNet or ClassNet, optional
        A pre-trained network, or one that was fine-tuned before; normalisation not folded. From
        scratch where not given.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    store : FeatureStore, optional
        Features for the pixel head; an own one where not given.

    Raises
    ------
    InputError
        As for :meth:`update`.
    DeviceError
        If the device is not there.
    """

    def __init__(
        self,
        support: SupportSet,
        config: FinetuneConfig | None = None,
        *,
        start: RegConNet | ClassNet | None = None,
        device: str = "auto",
        store: FeatureStore | None = None,
    ) -> None:
        self.config = config or FinetuneConfig()
        self.device = choose_device(device)
        self.step = 0
        self.elapsed_s = 0.0
        self.clock = time.perf_counter
        self._rng = np.random.default_rng(self.config.seed)
        self._split = StrokeSplit()
        self._n_classes: int | None = None
        self._bases = Bases(self.config, len(support.classes), device, store)
        self.base_weights = self._bases.weights  # of the network that the result brings along
        self._judge = Judge(self.config, self._bases.judged)
        self.update(support)
        n_channels = support.examples[0].volume.n_channels
        net = network_for(self.config, n_channels, len(support.classes), start)
        self._net = LearningNet(net, self.device, self.config.average_decay)

    def update(self, support: SupportSet) -> None:
        """Learn from what is painted now, from the next step on.

        Raises
        ------
        InputError
            If fewer than two classes are painted, images of different kinds are mixed, slices
            beside are wanted of an image that has none, or there are more or fewer classes than
            before. All goes on as before then.
        """
        support.require_classes()
        support.require_one_kind()
        if self.config.neighbours:
            for example in support.examples:
                require_depth(example.volume, "Set 'Slices beside' to 0.")
        if self._n_classes not in (None, len(support.classes)):
            raise InputError(
                f"There are {len(support.classes)} classes now, but training began with "
                f"{self._n_classes}."
            )
        self._n_classes = len(support.classes)
        strokes = self._split.divide(support)
        self._judge.update(support, *strokes)
        self.support, self._strokes = support, strokes
        self._crops = self._bases.crops(support, strokes[0])

    def ask_pixel_head(self) -> Generator[None, None, None]:
        """Let the pixel classifier learn what was painted since, yielding in between.

        It does so at the beginning and between two looks at the strokes kept back, not after
        every stroke.
        """
        if self._bases.is_due(self.support, self.step):
            yield from self._bases.learn(self.support, *self._strokes)
            self._judge.update(self.support, *self._strokes)

    @property
    def has_held_out(self) -> bool:
        """Whether any strokes are kept back to judge the network by."""
        return bool(self._strokes[1])

    @property
    def done(self) -> float:
        """How much of the time or of the steps is used up, 0 to 1."""
        if self.config.steps:
            return min(1.0, self.step / self.config.steps)
        return min(1.0, self.elapsed_s / (60 * self.config.minutes))

    def train_step(self) -> FinetuneStep:
        """Take one optimiser step."""
        begin = self.clock()
        chosen = [self._crops[i % len(self._crops)] for i in range(self.config.crops_per_step)]
        crops = [source.draw(self._rng) for source in chosen]
        loss = self._loss(crops)
        self._net.learn(loss, self._learning_rate())
        self.step += 1
        self.elapsed_s += self.clock() - begin
        return FinetuneStep(self.step, self.done, float(loss.detach()), self.elapsed_s)

    def check(self) -> FinetuneCheck | None:
        """Judge the averaged network by the strokes kept back; None where there are none."""
        if not self._judge.has_work:
            return None
        begin = self.clock()
        event = self._judge.look(self.step, self._net.average, self._predict)
        self.elapsed_s += self.clock() - begin
        return event

    @property
    def best(self) -> FinetuneCheck | None:
        """How good the best network so far is; None where none was judged."""
        return self._judge.best

    def result(self) -> ClassNet:
        """Return a copy of the best network; of the last one where none could be judged.

        It comes with a pixel classifier that has learnt from all strokes, also those kept back.
        """
        net = deepcopy(self._net.average)
        self._judge.put_best(net)
        net.base = self._bases.fitted
        return net

    def snapshot(self) -> ClassNet:
        """Return a copy of the network as it is now, with its pixel classifier."""
        net = deepcopy(self._net.average)
        net.base = self._bases.fitted
        return net

    def state(self) -> dict[str, Any]:
        """Return what :meth:`restore` needs to go on from here, tensors and plain values."""
        return {
            "config": asdict(self.config),
            "classes": list(self.support.classes),
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "rng": self._rng.bit_generator.state,
            "split": self._split.held,
            "net": self._net.state(),
            "judge": self._judge.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state of a training of the same classes with the same parameters.

        Raises
        ------
        InputError
            If the classes are others.
        """
        if tuple(state["classes"]) != self.support.classes:
            raise InputError(
                f"The classes are {', '.join(self.support.classes)}, but training began with "
                f"{', '.join(state['classes'])}.",
                next_step="Name the classes as before, or train anew.",
            )
        self.step = state["step"]
        self.elapsed_s = state["elapsed_s"]
        self._rng.bit_generator.state = state["rng"]
        self._split = StrokeSplit(state["split"])
        self._net.restore(state["net"])
        self._judge.restore(state["judge"])
        self.update(self.support)

    def _learning_rate(self) -> float:
        """Return the rate of this step: warm-up, then half a cosine down to a hundredth."""
        warm = min(1.0, (self.step + 1) / _WARM_UP_STEPS)
        fall = 0.01 + 0.99 * (1 + np.cos(np.pi * self.done)) / 2
        return float(self.config.learning_rate * warm * fall)

    def _loss(self, crops: list[Crop]) -> Tensor:
        device = self.device.torch_device
        labels = torch.from_numpy(np.stack([crop.labels for crop in crops])).to(device)
        logits = self._net.logits(np.stack([crop.image for crop in crops]), prior_of(crops))
        loss = sparse_loss(logits, labels, class_power(self.support))
        if self.config.unlabelled:
            opinion = torch.from_numpy(np.stack([crop.opinion for crop in crops])).to(device)
            taught = taught_loss(logits, opinion, labels == NOT_SAID)
            loss = loss + self.config.unlabelled * taught
        return loss

    def _predict(self, crop: Crop) -> np.ndarray:
        found = self._net.predict(crop.clean[None], prior_of([crop]))
        return found.argmax(1)[0].cpu().numpy()


def finetune(
    tuning: FineTuning, keep: Path | None = None, runner: Runner | None = None
) -> Generator[FinetuneStep | FinetuneCheck | None, None, ClassNet]:
    """Train to the end of the time or of the steps.

    Parameters
    ----------
    tuning : FineTuning
        The state; :meth:`FineTuning.update` may be called between two steps, and
        :meth:`FineTuning.result` at any time.
    keep : pathlib.Path, optional
        File in which the state is kept, written whenever the network is judged. Where it is
        there already, the training goes on from it. It is left for the caller to remove.
    runner : Runner, optional
        How steps, and looks at the strokes kept back, are run; at once where not given.

    Yields
    ------
    FinetuneStep or FinetuneCheck
        After every step, and after every look at the strokes kept back; None in between, while
        the pixel head learns and wherever the runner lets other work be done.

    Returns
    -------
    ClassNet
        The best network.

    Raises
    ------
    InputError
        If the file is damaged, or of a training with other parameters or classes.
    """
    if keep is not None and keep.is_file():
        tuning.restore(read_checkpoint(keep, tuning.config))
    runner = runner or AtOnce()
    tuning.clock = runner.clock
    yield from tuning.ask_pixel_head()
    while tuning.done < 1:
        yield from tuning.ask_pixel_head()
        yield (yield from runner(tuning.train_step))
        if tuning.step % tuning.config.check_every == 0 or tuning.done >= 1:
            check = yield from runner(tuning.check)
            if keep is not None:
                write_checkpoint(tuning.state(), keep)
            if check is not None:
                yield check
    return tuning.result()
