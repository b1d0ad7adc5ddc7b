"""Segment in context: show the network labelled examples, and it segments what is like them.

Nothing is trained. Crops of fully labelled parts are the support set of UniverSeg; tiles of the
image are its queries. The network tells one class from all else, so it is asked once for every
class but the background, and its answers are turned into probabilities that sum to one. Where
the weights come from and how the network computes is known elsewhere.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from napari_regcon.config import InContextConfig
from napari_regcon.data.dense import DenseParts, network_image
from napari_regcon.engine.device import choose_device
from napari_regcon.engine.segmenter import Predictor, Segmenter, run
from napari_regcon.engine.weights import load_state
from napari_regcon.nn.universeg import CPU_CHUNK, EncodedSupport, UniverSeg, load_universeg

if TYPE_CHECKING:
    from collections.abc import Generator

    from torch import Tensor

    from napari_regcon.data.support import SupportSet
    from napari_regcon.data.views import ImageView
    from napari_regcon.types import Box

KEPT_BYTES = 1024**3
"""Memory for encoded support sets; those beyond are encoded anew for every tile."""


@dataclass(frozen=True, eq=False)
class Task:
    """One class, and the support set of one draw for it.

    Parameters
    ----------
    value : int
        Label value of the class.
    images, labels : Tensor
        ``(1, S, 1, H, W)`` float32 on the processor; labels are 1 where the class is.
    """

    value: int
    images: Tensor
    labels: Tensor


class NetworkRunner:
    """Asks the network, within a bounded memory that can be made smaller.

    Parameters
    ----------
    network : UniverSeg
        On its device.
    bf16 : bool
        Whether to compute in half precision.
    """

    def __init__(self, network: UniverSeg, *, bf16: bool) -> None:
        self._network = network
        self._bf16 = bf16
        self._device = next(network.parameters()).device
        self._encoded: dict[Task, EncodedSupport] = {}
        self._room = KEPT_BYTES
        self._chunk: int | None = None
        self._offload = False

    def logits(self, image: np.ndarray, task: Task) -> Tensor:
        """Return the float32 logits ``(H, W)`` of a task for a grey image ``(H, W)``."""
        query = torch.from_numpy(image).to(self._device)[None, None]
        with torch.inference_mode(), self._precision():
            encoded = self._encode(task)
            if encoded is not None:
                found = self._network.segment(query, encoded, offload=self._offload)
            else:
                images, labels = task.images.to(self._device), task.labels.to(self._device)
                found = self._network(
                    query, images, labels, chunk=self._chunk, offload=self._offload
                )
        return found[0, 0].float()

    def reduce_memory(self, n_examples: int) -> bool:
        """Work on half as many support examples at a time, and keep half as much.

        At the end keep nothing, and features between two blocks outside the device. False if
        that was done already.

        Parameters
        ----------
        n_examples : int
            Support examples of a task.
        """
        is_cpu = self._device.type == "cpu"
        self._encoded.clear()
        self._room //= 2
        chunk = self._chunk or (min(n_examples, CPU_CHUNK) if is_cpu else n_examples)
        if chunk > 1:
            self._chunk = chunk // 2
            return True
        if self._offload:
            return False
        self._offload = True
        self._room = 0
        return True

    def _encode(self, task: Task) -> EncodedSupport | None:
        """Return the encoded support set of a task, or None where there is no room for it."""
        if task in self._encoded:
            return self._encoded[task]
        n_examples, tile_px = task.images.shape[1], task.images[0, 0].numel()
        itemsize = 2 if self._bf16 else 4
        # Every example, and their mean.
        nbytes = (n_examples + 1) * tile_px * self._network.width * itemsize
        if nbytes > self._room - sum(encoded.nbytes for encoded in self._encoded.values()):
            return None
        images, labels = task.images.to(self._device), task.labels.to(self._device)
        encoded = self._network.encode_support(images, labels, chunk=self._chunk)
        self._encoded[task] = encoded
        return encoded

    def _precision(self) -> AbstractContextManager[object]:
        return torch.autocast(self._device.type, torch.bfloat16) if self._bf16 else nullcontext()


class InContextPredictor(Predictor):
    """UniverSeg with a support set.

    Parameters
    ----------
    support : SupportSet
        Names of the classes, and the image the labels are from.
    parts : DenseParts
        What the tasks were drawn from.
    draws : list of list of Task
        For each draw, a task for every class that occurs, but the background.
    runner : NetworkRunner
        Asks the network.
    is_scale_chosen : bool
        Whether the scale follows from what is painted, which the user is told.
    """

    spatial_ndim = 2

    def __init__(
        self,
        support: SupportSet,
        parts: DenseParts,
        draws: list[list[Task]],
        runner: NetworkRunner,
        *,
        is_scale_chosen: bool = False,
    ) -> None:
        first = support.examples[0]
        self.classes = support.classes
        self.n_channels = first.volume.n_channels
        self.normalization = first.normalization
        self.tile_shape = (parts.crop_px, parts.crop_px)
        self.overlap = (parts.crop_px // 4, parts.crop_px // 4)
        if parts.n_left_out:
            self.notes += (_left_out(parts.n_left_out),)
        if is_scale_chosen:
            self.notes += (_scale(parts.downscale),)
        self._draws = draws
        self._downscale = parts.downscale
        self._runner = runner
        has_background = support.background in parts.values
        self._background = support.background if has_background else None

    def predict_tile(self, view: ImageView, tile: Box) -> np.ndarray:
        """Return float32 probabilities ``(n_classes, *tile.shape)``."""
        side = self.tile_shape[0]
        image = network_image(view.read(tile), side, self._downscale)
        probabilities = torch.stack([self._one_draw(image, tasks) for tasks in self._draws]).mean(0)
        larger = functional.interpolate(
            probabilities[None], scale_factor=self._downscale, mode="bilinear"
        )[0]
        # A tile smaller than the network's was continued on both sides.
        y, x = ((side - length) // 2 for length in tile.shape)
        inside = larger[:, y : y + tile.shape[0], x : x + tile.shape[1]]
        return np.ascontiguousarray(inside.cpu().numpy())

    def reduce_memory(self) -> bool:
        """Work on fewer support examples at a time, with the same mean over all."""
        largest = max(task.images.shape[1] for tasks in self._draws for task in tasks)
        return self._runner.reduce_memory(largest)

    def _one_draw(self, image: np.ndarray, tasks: list[Task]) -> Tensor:
        """Return the probabilities ``(n_classes, H, W)`` that follow from one draw.

        Each answer gives the odds of a class against all else. Given that exactly one class is
        true, or none but the background, probabilities are in proportion to the odds, and 1 for
        the background: a softmax over the logits. With one class beside the background that is
        its sigmoid. A class that no complete part shows gets 0.
        """
        answers = [self._runner.logits(image, task) for task in tasks]
        scores = torch.full_like(answers[0], -torch.inf).repeat(len(self.classes), 1, 1)
        if self._background is not None:
            scores[self._background - 1] = 0
        for task, answer in zip(tasks, answers, strict=True):
            scores[task.value - 1] = answer
        return torch.softmax(scores, dim=0)


def _left_out(n: int) -> str:
    slices, are = ("1 painted slice", "is") if n == 1 else (f"{n} painted slices", "are")
    return (
        f"{slices} with strokes only {are} not used: this method learns from slices and boxes "
        "that are painted to the end and marked as complete."
    )


def _scale(downscale: int) -> str:
    how = "at its own size" if downscale == 1 else f"shrunk {downscale} times"
    return (
        f"The image is looked at {how}, as suits the size of what is painted; 'Shrink by' "
        "sets it by hand."
    )


class InContext(Segmenter):
    """UniverSeg on the complete parts of a support set, see :mod:`napari_regcon.nn.universeg`.

    Parameters
    ----------
    config : InContextConfig, optional
        Parameters.
    weights : str
        Name in the weights registry, or a file.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    bf16 : bool, optional
        Whether to compute in half precision; where not given, if the device is quicker so.

    Raises
    ------
    WeightsError
        If the weights cannot be loaded or are not those of a UniverSeg network.
    DeviceError
        If the device is not there.
    """

    def __init__(
        self,
        config: InContextConfig | None = None,
        *,
        weights: str = "universeg-v1",
        device: str = "auto",
        bf16: bool | None = None,
    ) -> None:
        self.config = config or InContextConfig()
        chosen = choose_device(device)
        state, info = load_state(weights)
        self.weights = info
        self.bf16 = chosen.supports_bf16 if bf16 is None else bf16
        self.network = load_universeg(state, name=info.name).to(chosen.torch_device)

    def fit(self, support: SupportSet) -> Predictor:
        """Return a predictor for the classes of a support set."""
        return run(self.fit_in_steps(support))

    def fit_in_steps(self, support: SupportSet) -> Generator[None, None, Predictor]:
        """Do the same as :meth:`fit`, yielding after every crop that is read.

        Raises
        ------
        InputError
            If nothing is fully labelled, or a class is painted only as strokes.
        """
        config = self.config
        parts = DenseParts(support, side_px=config.tile_px, downscale=config.downscale)
        wanted = [value for value in parts.values if value != support.background]
        rng = np.random.default_rng(config.seed)
        draws: list[list[Task]] = []
        for _ in range(config.ensemble):
            tasks = []
            for value in wanted:
                crops = []
                for place in parts.draw(value, config.support_size, rng):
                    crops.append(parts.read(place))
                    yield
                tasks.append(_task(value, crops))
            draws.append(tasks)
        runner = NetworkRunner(self.network, bf16=self.bf16)
        chosen = config.downscale == 0
        return InContextPredictor(support, parts, draws, runner, is_scale_chosen=chosen)


def _task(value: int, crops: list[tuple[np.ndarray, np.ndarray]]) -> Task:
    images = np.stack([image for image, _ in crops])
    labels = np.stack([labels == value for _, labels in crops]).astype(np.float32)
    return Task(
        value, torch.from_numpy(images)[None, :, None], torch.from_numpy(labels)[None, :, None]
    )
