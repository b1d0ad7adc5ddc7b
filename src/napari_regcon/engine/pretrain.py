"""Pre-training of features: region contrast (USRegCon) and stroke episodes together.

A generator of events that can be stopped at any step and goes on from its last checkpoint. The
weights of the losses are parameters, so each can be switched off for an ablation. Which images
are used is the caller's affair.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from napari_regcon.engine.checkpoint import read_checkpoint, write_checkpoint
from napari_regcon.engine.device import Device, choose_device
from napari_regcon.engine.pretrain_events import CheckpointWritten, PretrainStep
from napari_regcon.nn.losses.episode import episode_loss
from napari_regcon.nn.losses.grey import grey_loss
from napari_regcon.nn.losses.semantic import semantic_loss
from napari_regcon.nn.losses.usage import information, usage_loss
from napari_regcon.nn.regcon import RegConNet
from napari_regcon.nn.regions import coverage, pool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

    from napari_regcon.config import PretrainConfig
    from napari_regcon.data.episodes import Episode, EpisodeSource, ViewPair

MIN_COVERAGE = 0.01
"""A region counts where it covers at least this share of both views."""

MONITOR_EVERY = 50
"""Steps between two looks at the collapse monitor, at least."""

JUDGED_PX = 4096
"""Pixels of an episode on which the head is judged; more cost time and teach little."""


class Pretraining:
    """The state of a pre-training: network, its moving average, optimiser, step.

    Parameters
    ----------
    config : PretrainConfig
        Parameters.
    device : Device
        Where to compute.
    """

    def __init__(self, config: PretrainConfig, device: Device) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.device = device
        self.step = 0
        net = RegConNet(config.embedding, config.regions, config.width, config.levels)
        self.net = net.to(device.torch_device)
        self.scale = torch.nn.Parameter(torch.tensor(1.5, device=device.torch_device))
        self.average = deepcopy(self.net).eval().requires_grad_(False)
        self.optimiser = torch.optim.AdamW(
            [*self.net.parameters(), self.scale], config.learning_rate, weight_decay=0.01
        )

    def learning_rate(self) -> float:
        """Return the rate of this step: warm-up, plateau, and a linear fall at the end."""
        total = self.config.steps
        warm = min(1.0, (self.step + 1) / max(1, min(200, total // 10)))
        fall = min(1.0, (total - self.step) / max(1.0, 0.25 * total))
        return self.config.learning_rate * warm * max(fall, 0.01)

    def train_step(self, episodes: list[Episode], views: list[ViewPair]) -> dict[str, float]:
        """Take one optimiser step and return the unweighted losses."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate()
        self.net.train()
        losses = self._losses(episodes, views)
        weights = self.config.loss_weights
        total = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(total)
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        self._update_average()
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
        grid = torch.from_numpy(np.stack([v.grid for v in views])).to(embedding.device)
        warped = functional.grid_sample(masks[0::2], grid, align_corners=False)
        visible = (grid.abs() <= 1).all(-1)[:, None].to(masks.dtype)
        warped = warped * visible
        first = self.net.project(pool(masks[0::2], embedding[0::2]))
        second = self.net.project(pool(warped, embedding[1::2]))
        counts = (coverage(masks[0::2]) > MIN_COVERAGE) & (coverage(warped) > MIN_COVERAGE)
        return {
            "grey": grey_loss(masks, images),
            "semantic": semantic_loss(first, second, counts),
            "usage": usage_loss(masks),
        }

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.config.average_decay, (1 + self.step) / (10 + self.step))
        pairs = zip(self.average.state_dict().values(), self.net.state_dict().values(), strict=True)
        for average, current in pairs:
            if average.is_floating_point():
                average.lerp_(current.detach(), 1 - decay)
            else:
                average.copy_(current)

    @torch.no_grad()
    def monitor(self, views: list[ViewPair]) -> tuple[float, float]:
        """Return effective rank of the embedding and number of regions in use."""
        images = torch.from_numpy(np.concatenate([v.images for v in views]))[:, None]
        embedding = self.average(images.to(self.device.torch_device))
        masks = self.average.region_logits(embedding).softmax(1)
        flat = embedding.permute(1, 0, 2, 3).flatten(1)
        spectrum = torch.linalg.eigvalsh(torch.cov(flat)).clamp(min=0)
        return _perplexity(spectrum), float(information(masks).exp())

    def state(self) -> dict[str, Any]:
        """Return everything a later run needs."""
        return {
            "step": self.step,
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scale": self.scale.detach(),
            "config": asdict(self.config),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.step = state["step"]
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
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


def pretrain(
    source: EpisodeSource,
    config: PretrainConfig,
    checkpoint: Path,
    *,
    device: str = "auto",
) -> Iterator[PretrainStep | CheckpointWritten]:
    """Train features, going on from ``checkpoint`` if it is there.

    Parameters
    ----------
    source : EpisodeSource
        Where episodes and view pairs come from.
    config : PretrainConfig
        Parameters; ``steps`` may differ from an earlier run.
    checkpoint : pathlib.Path
        Written every ``config.checkpoint_every`` steps and at the end.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.

    Yields
    ------
    PretrainStep or CheckpointWritten
        After every step, and after every checkpoint; the checkpoint alone where it is of the last
        step already.

    Raises
    ------
    InputError
        If the checkpoint cannot be read, or was trained with other parameters.
    """
    training = Pretraining(config, choose_device(device))
    if checkpoint.is_file():
        training.load_state(read_checkpoint(checkpoint, config))
    if training.step >= config.steps:
        yield CheckpointWritten(training.step, checkpoint)
    start = time.monotonic()
    rank = use = float("nan")
    seen = training.step - MONITOR_EVERY
    with ThreadPoolExecutor(1, "regcon-episodes") as pool_:
        upcoming = pool_.submit(_draw, source, config, training.step)
        while training.step < config.steps:
            episodes, views = upcoming.result()
            upcoming = pool_.submit(_draw, source, config, training.step + 1)
            losses = training.train_step(episodes, views)
            if views and training.step - seen >= MONITOR_EVERY:
                rank, use = training.monitor(views)
                seen = training.step
            elapsed = time.monotonic() - start
            yield PretrainStep(training.step, config.steps, losses, rank, use, elapsed)
            if training.step % config.checkpoint_every == 0 or training.step == config.steps:
                write_checkpoint(training.state(), checkpoint)
                yield CheckpointWritten(training.step, checkpoint)


def load_average(checkpoint: Path) -> RegConNet:
    """Return the network of averaged weights of a checkpoint, the one to use."""
    state = torch.load(checkpoint, weights_only=True, map_location="cpu")
    config = state["config"]
    net = RegConNet(config["embedding"], config["regions"], config["width"], config["levels"])
    net.load_state_dict(state["average"])
    return net.eval().requires_grad_(False)


def _draw(
    source: EpisodeSource, config: PretrainConfig, step: int
) -> tuple[list[Episode], list[ViewPair]]:
    """Draw the batch of a step; the same step draws the same batch."""
    rng = np.random.default_rng((config.seed, step))
    n_episodes, n_views = config.batch(step)
    return (
        [source.episode(rng) for _ in range(n_episodes)],
        [source.view_pair(rng) for _ in range(n_views)],
    )
