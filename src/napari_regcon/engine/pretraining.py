"""One step of pre-training: region contrast (USRegCon) and stroke episodes together.

Holds what a training is made of and can be written down and read again. The weights of the
losses are parameters; a loss of weight 0 is not computed. Training may begin with weights there
are. Nothing here knows how long it goes on, or which images are used.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from napari_regcon.engine.device import choose_device
from napari_regcon.engine.pretrain_events import PretrainLook
from napari_regcon.engine.train_state import TrainState
from napari_regcon.nn.losses.episode import episode_loss
from napari_regcon.nn.losses.grey import grey_loss
from napari_regcon.nn.losses.semantic import semantic_loss
from napari_regcon.nn.losses.usage import information, usage_loss
from napari_regcon.nn.regcon import RegConNet
from napari_regcon.nn.regions import coverage, pool

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_regcon.config import PretrainConfig
    from napari_regcon.data.episodes import Episode, EpisodeSource, ViewPair

MIN_COVERAGE = 0.01
"""A region counts where it covers at least this share of both views."""

LOOK_PX = 192
"""Side of the picture of the regions."""

_LOOK_VIEWS = 4
"""Pairs of views, always the same ones, that the collapse monitor looks at."""

JUDGED_PX = 4096
"""Pixels of an episode on which the head is judged; more cost time and teach little."""


class Pretraining(TrainState[RegConNet]):
    """The state of a pre-training: network, its moving average, optimiser, step.

    Parameters
    ----------
    config : PretrainConfig
        Parameters.
    start : RegConNet, optional
        A pre-trained network, which sets the sizes; random weights where not given.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.

    Raises
    ------
    DeviceError
        If the device is not there.
    """

    def __init__(
        self, config: PretrainConfig, *, start: RegConNet | None = None, device: str = "auto"
    ) -> None:
        config = fitting(config, start)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            net = RegConNet(**config.sizes)
        if start is not None:
            net.load_state_dict(start.state_dict())
        self.scale = torch.nn.Parameter(
            torch.tensor(1.5, device=choose_device(device).torch_device)
        )
        super().__init__(config, net, device=device, more=[self.scale])

    def draw(self, source: EpisodeSource, step: int) -> tuple[list[Episode], list[ViewPair]]:
        """Draw the batch of a step; the same step draws the same batch."""
        rng = np.random.default_rng((self.config.seed, step))
        n_episodes, n_views = self.config.batch(step)
        return (
            [source.episode(rng) for _ in range(n_episodes)],
            [source.view_pair(rng) for _ in range(n_views)],
        )

    def train_step(self, episodes: list[Episode], views: list[ViewPair]) -> dict[str, float]:
        """Take one optimiser step and return the unweighted losses."""
        self.net.train()
        losses = self._losses(episodes, views)
        weights = self.config.loss_weights
        total = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
        self.descend(total)
        return {name: float(value.detach()) for name, value in losses.items()}

    def _losses(self, episodes: list[Episode], views: list[ViewPair]) -> dict[str, Tensor]:
        device = self.device.torch_device
        stacks = [e.images for e in episodes] + [v.images for v in views]
        images = torch.from_numpy(np.concatenate(stacks))[:, None].to(device)
        images = images.contiguous(memory_format=torch.channels_last)
        split = 2 * len(episodes)
        losses = {}
        with torch.autocast(device.type, torch.bfloat16, enabled=self.device.supports_bf16):
            decoded = self.net.decode(images)
        if episodes:
            losses["episodes"] = self._episode_loss(decoded[:split], episodes)
        if views:
            embedding = functional.normalize(self.net.embed(decoded[split:].float()), dim=1)
            losses |= self._region_losses(embedding, images[split:], views)
        return losses

    def _episode_loss(self, decoded: Tensor, episodes: list[Episode]) -> Tensor:
        """Return the mean loss of the episodes, embedding only the pixels that are looked at."""
        rng = np.random.default_rng((self.config.seed, self.step, 1))
        chosen = [_choose_pixels(episode, rng) for episode in episodes]
        per_episode = episodes[0].labels.size
        where = np.concatenate(
            [i * per_episode + np.concatenate(pair) for i, pair in enumerate(chosen)]
        )
        flat = decoded.permute(0, 2, 3, 1).reshape(-1, decoded.shape[1])
        device = decoded.device
        embedding = self.net.embed_pixels(flat[torch.from_numpy(where).to(device)])
        parts, start = [], 0
        for episode, (stroked, judged) in zip(episodes, chosen, strict=True):
            middle, end = start + len(stroked), start + len(stroked) + len(judged)
            labels = torch.from_numpy(episode.labels.ravel())
            parts.append(
                episode_loss(
                    embedding[start:middle],
                    labels[torch.from_numpy(stroked)].to(device),
                    embedding[middle:end],
                    labels[torch.from_numpy(judged)].to(device),
                    episode.classes,
                    scale=self.scale,
                    ridge=self.config.ridge,
                )
            )
            start = end
        return torch.stack(parts).mean()

    def _region_losses(
        self, embedding: Tensor, images: Tensor, views: list[ViewPair]
    ) -> dict[str, Tensor]:
        masks = self.net.region_logits(embedding).softmax(1)
        wanted: dict[str, Callable[[], Tensor]] = {
            "grey": lambda: grey_loss(masks, images),
            "semantic": lambda: self._semantic_loss(masks, embedding, views),
            "usage": lambda: usage_loss(masks),
        }
        return {name: loss() for name, loss in wanted.items() if self.config.loss_weights[name]}

    def _semantic_loss(self, masks: Tensor, embedding: Tensor, views: list[ViewPair]) -> Tensor:
        grid = torch.from_numpy(np.stack([v.grid for v in views])).to(embedding.device)
        warped = functional.grid_sample(masks[0::2], grid, align_corners=False)
        visible = (grid.abs() <= 1).all(-1)[:, None].to(masks.dtype)
        warped = warped * visible
        first = self.net.project(pool(masks[0::2], embedding[0::2]))
        second = self.net.project(pool(warped, embedding[1::2]))
        counts = (coverage(masks[0::2]) > MIN_COVERAGE) & (coverage(warped) > MIN_COVERAGE)
        return semantic_loss(first, second, counts)

    def look_at(self, source: EpisodeSource) -> tuple[list[ViewPair], np.ndarray]:
        """Return what every look is at, see :meth:`look`."""
        rng = np.random.default_rng((self.config.seed, 0, 2))
        return [source.view_pair(rng) for _ in range(_LOOK_VIEWS)], source.picture(LOOK_PX)

    @torch.no_grad()
    def look(self, views: list[ViewPair], picture: np.ndarray) -> PretrainLook:
        """Look at how training goes.

        Parameters
        ----------
        views : list of ViewPair
            What effective rank and use of regions are measured on.
        picture : numpy.ndarray
            float32 ``(Y, X)`` whose regions are shown; sides are multiples of the stride.
        """
        images = torch.from_numpy(np.concatenate([v.images for v in views]))[:, None]
        embedding = self.average(images.to(self.device.torch_device))
        flat = embedding.permute(1, 0, 2, 3).flatten(1)
        rank = _perplexity(torch.linalg.eigvalsh(torch.cov(flat)).clamp(min=0))
        about = (self.step, self.config.embedding, self.config.regions, rank)
        if not self.config.has_regions:
            return PretrainLook(*about)
        use = float(information(self.average.region_logits(embedding).softmax(1)).exp())
        seen = torch.from_numpy(picture)[None, None].to(self.device.torch_device)
        regions = self.average.region_logits(self.average(seen))[0].argmax(0)
        grey = (255 * picture.clip(0, 1)).astype(np.uint8)
        return PretrainLook(*about, use, grey, regions.cpu().numpy().astype(np.uint8))

    def state(self) -> dict[str, Any]:
        """Return everything a later run needs."""
        return super().state() | {"scale": self.scale.detach()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        super().load_state(state)
        with torch.no_grad():
            self.scale.copy_(state["scale"])


def _choose_pixels(episode: Episode, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the stroked pixels of an episode, and some of all known ones, as flat indices."""
    known = np.flatnonzero(episode.labels >= 0)
    judged = rng.choice(known, min(JUDGED_PX, len(known)), replace=False)
    return np.flatnonzero(episode.strokes), judged


def _perplexity(shares: Tensor) -> float:
    shares = shares / shares.sum().clamp(min=1e-12)
    return float((-(shares * (shares + 1e-12).log()).sum()).exp())


def fitting(config: PretrainConfig, start: RegConNet | None) -> PretrainConfig:
    """Return the parameters with the sizes of the network that training begins with, if any."""
    return config if start is None else replace(config, **start.sizes)
