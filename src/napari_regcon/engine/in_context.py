"""Segment in context: show the network labelled examples, and it segments what is like them.

Nothing is trained. Crops of fully labelled parts are the support set of UniverSeg; tiles of the
image are its queries. The network tells one class from all else, so it is asked once for every
class but the background, and its answers are turned into probabilities that sum to one. Where
the weights come from and how the network computes is known elsewhere.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from napari_regcon.config import InContextConfig
from napari_regcon.data.dense import DenseParts
from napari_regcon.data.network_image import network_image
from napari_regcon.engine.context_network import NetworkRunner, Task
from napari_regcon.engine.device import choose_device
from napari_regcon.engine.segmenter import Predictor, Segmenter, run
from napari_regcon.engine.support_choice import Looks, nearest
from napari_regcon.engine.weights import load_state
from napari_regcon.nn.universeg import load_universeg

if TYPE_CHECKING:
    from collections.abc import Generator

    from torch import Tensor

    from napari_regcon.data.support import SupportSet
    from napari_regcon.data.views import ImageView
    from napari_regcon.types import Box


class InContextPredictor(Predictor):
    """UniverSeg with a support set.

    Parameters
    ----------
    support : SupportSet
        Names of the classes, and the image the labels are from.
    draws : list of list of Task
        For each draw, a task for every class that occurs, but the background.
    runner : NetworkRunner
        Asks the network.
    background : int, optional
        Label value of the background, if complete parts show it.
    looks : Looks, optional
        Chooses examples for each tile; all are shown where not given.
    n_shown : int
        How many examples are chosen for a tile.
    notes : tuple of str
        See :class:`~napari_regcon.engine.segmenter.Predictor`.
    """

    spatial_ndim = 2

    def __init__(
        self,
        support: SupportSet,
        draws: list[list[Task]],
        runner: NetworkRunner,
        *,
        background: int | None = None,
        looks: Looks | None = None,
        n_shown: int = 0,
        notes: tuple[str, ...] = (),
    ) -> None:
        first = support.examples[0]
        self.classes = support.classes
        self.n_channels = first.volume.n_channels
        self.normalization = first.normalization
        self.notes = notes
        # Classes may be looked at from different distances; the nearest sets the grid.
        side = min(task.crop_px for task in draws[0])
        self.tile_shape = (side, side)
        self.overlap = (side // 4, side // 4)
        self._draws = draws
        self._runner = runner
        self._looks = looks
        self._n_shown = n_shown
        self._background = background

    def predict_tile(self, view: ImageView, tile: Box) -> np.ndarray:
        """Return float32 probabilities ``(n_classes, *tile.shape)``."""
        return run(self.predict_in_steps(view, tile))

    def predict_in_steps(self, view: ImageView, tile: Box) -> Generator[None, None, np.ndarray]:
        """Do the same as :meth:`predict_tile`, yielding after every class."""
        images: dict[tuple[int, int], np.ndarray] = {}
        draws = []
        for tasks in self._draws:
            found = yield from self._one_draw(view, tile, tasks, images)
            draws.append(found)
        return np.ascontiguousarray(torch.stack(draws).mean(0).cpu().numpy())

    def reduce_memory(self) -> bool:
        """Work on fewer support examples at a time, with the same mean over all."""
        largest = max(task.n_examples for tasks in self._draws for task in tasks)
        return self._runner.reduce_memory(largest)

    def _one_draw(
        self,
        view: ImageView,
        tile: Box,
        tasks: list[Task],
        images: dict[tuple[int, int], np.ndarray],
    ) -> Generator[None, None, Tensor]:
        """Return the probabilities ``(n_classes, *tile.shape)`` that follow from one draw.

        Each answer gives the odds of a class against all else. Given that exactly one class is
        true, or none but the background, probabilities are in proportion to the odds, and 1 for
        the background: a softmax over the logits. With one class beside the background that is
        its sigmoid. A class that no complete part shows gets 0.
        """
        answers = []
        for task in tasks:
            key = (task.crop_px, task.downscale)
            if key not in images:
                around = _around(view, tile, task.crop_px)
                images[key] = network_image(around, task.crop_px, task.downscale)
            answers.append(_inside(self._logits(images[key], task), task.downscale, tile))
            yield
        scores = torch.full_like(answers[0], -torch.inf).repeat(len(self.classes), 1, 1)
        if self._background is not None:
            scores[self._background - 1] = 0
        for task, answer in zip(tasks, answers, strict=True):
            scores[task.value - 1] = answer
        return torch.softmax(scores, dim=0)

    def _logits(self, image: np.ndarray, task: Task) -> Tensor:
        if self._looks is None or task.n_examples <= self._n_shown:
            return self._runner.logits(image, task)
        pool = np.stack([self._looks.of(example) for example in task.images[0, :, 0].numpy()])
        shows = task.labels[0].flatten(1).any(1).numpy()
        chosen = nearest(pool, shows, self._looks.of(image), self._n_shown)
        return self._runner.logits(image, task.only(chosen), keep=False)


def _around(view: ImageView, tile: Box, side: int) -> np.ndarray:
    """Read a square with a tile in its middle, ``(C, side, side)``, mirrored beyond the view."""
    missing = [side - length for length in tile.shape]
    halo = tuple(-(-n // 2) for n in missing)
    read = view.read(tile, halo)
    y, x = (h - n // 2 for h, n in zip(halo, missing, strict=True))
    return read[:, y : y + side, x : x + side]


def _inside(logits: Tensor, downscale: int, tile: Box) -> Tensor:
    """Enlarge logits ``(H, W)`` to pixels of the image, and cut the tile out of their middle."""
    larger = functional.interpolate(logits[None, None], scale_factor=downscale, mode="bilinear")
    y, x = ((n - length) // 2 for n, length in zip(larger.shape[2:], tile.shape, strict=True))
    return larger[0, 0, y : y + tile.shape[0], x : x + tile.shape[1]]


def _left_out(n: int) -> str:
    slices, are = ("1 painted slice", "is") if n == 1 else (f"{n} painted slices", "are")
    return (
        f"{slices} with strokes only {are} not used: this method learns from slices and boxes "
        "that are painted to the end and marked as complete. “Fill slice” (section "
        "Labels) makes one of them."
    )


def _scales(names: dict[str, int]) -> str:
    how = ", ".join(
        f"{name} at {'its own size' if factor == 1 else f'1/{factor} of its size'}"
        for name, factor in names.items()
    )
    return f"How large the image is looked at follows from what is painted: {how} (Shrink by: 0)."


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
        weights: str = "universeg-em-light",
        device: str = "auto",
        bf16: bool | None = None,
    ) -> None:
        self.config = config or InContextConfig()
        self._device = chosen = choose_device(device)
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
        dense = DenseParts(support, side_px=config.tile_px, downscale=config.downscale or 1)
        wanted = [value for value in dense.values if value != support.background]
        parts = {
            value: dense.at(config.downscale or dense.suited_downscale(value)) for value in wanted
        }
        n_drawn = max(config.support_size, config.choose_from)
        looks = self._looks if config.choose_from > config.support_size else None
        rng = np.random.default_rng(config.seed)
        draws: list[list[Task]] = []
        for _ in range(config.ensemble):
            tasks = []
            for value in wanted:
                crops = []
                for place in parts[value].draw(value, n_drawn, rng):
                    crops.append(parts[value].read(place))
                    if looks is not None:
                        looks.of(crops[-1][0])  # remembered until it is asked for
                    yield
                tasks.append(_task(value, crops, parts[value].downscale))
            draws.append(tasks)
        notes = [_left_out(dense.n_left_out)] if dense.n_left_out else []
        if config.downscale == 0:
            notes.append(_scales({support.classes[v - 1]: parts[v].downscale for v in wanted}))
        return InContextPredictor(
            support,
            draws,
            NetworkRunner(self.network, bf16=self.bf16),
            background=support.background if support.background in dense.values else None,
            looks=looks,
            n_shown=config.support_size,
            notes=tuple(notes),
        )

    @cached_property
    def _looks(self) -> Looks:
        return Looks(self._device)


def _task(value: int, crops: list[tuple[np.ndarray, np.ndarray]], downscale: int) -> Task:
    images = np.stack([image for image, _ in crops])
    labels = np.stack([labels == value for _, labels in crops]).astype(np.float32)
    return Task(
        value,
        torch.from_numpy(images)[None, :, None],
        torch.from_numpy(labels)[None, :, None],
        downscale,
    )
