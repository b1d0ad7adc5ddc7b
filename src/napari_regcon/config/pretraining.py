"""Parameters of training networks on many images: features, and segmenting in context."""

from __future__ import annotations

from dataclasses import dataclass

from napari_regcon.config.parameters import param, validate
from napari_regcon.errors import InputError


@dataclass(frozen=True)
class PretrainConfig:
    """Parameters of pre-training."""

    minutes: float = param(
        0.0,
        "Minutes",
        "Train so long instead of a number of steps; 0: steps count, which gives the same result "
        "every time.",
        minimum=0.0,
        maximum=10080.0,
    )
    steps: int = param(
        8000, "Steps", "Optimiser steps in all.", minimum=1, maximum=10**7, advanced=True
    )
    episodes_per_step: int = param(
        8,
        "Episodes a step",
        "Stroke episodes (two crops each) in a batch.",
        minimum=0,
        maximum=1024,
        advanced=True,
    )
    views_per_step: int = param(
        8,
        "View pairs a step",
        "Pairs of views for the region losses in a batch.",
        minimum=0,
        maximum=1024,
        advanced=True,
    )
    views_every: int = param(
        1,
        "Views every",
        "At 1 a batch holds episodes and view pairs; otherwise every so many steps are of view "
        "pairs alone and the others of episodes alone.",
        minimum=1,
        maximum=1000,
        advanced=True,
    )
    learning_rate: float = param(
        2e-3, "Learning rate", "Of AdamW.", minimum=1e-6, maximum=0.1, advanced=True
    )
    average_decay: float = param(
        0.998,
        "Averaging",
        "Decay of the moving average of the weights.",
        minimum=0,
        maximum=1,
        advanced=True,
    )
    episode_weight: float = param(
        1.0, "Episodes", "Weight of the stroke episodes.", minimum=0, maximum=100, advanced=True
    )
    ridge: float = param(
        0.1,
        "Ridge",
        "Of the head that is fitted in an episode.",
        minimum=1e-4,
        maximum=10,
        advanced=True,
    )
    grey_weight: float = param(
        0.5, "Grey", "Weight of the grey loss.", minimum=0, maximum=100, advanced=True
    )
    semantic_weight: float = param(
        0.1, "Semantic", "Weight of the region contrast.", minimum=0, maximum=100, advanced=True
    )
    usage_weight: float = param(
        0.2, "Usage", "Weight against unused regions.", minimum=0, maximum=100, advanced=True
    )
    embedding: int = param(
        32,
        "Embedding",
        "Features per pixel, where training begins with random weights.",
        minimum=4,
        maximum=256,
        advanced=True,
    )
    regions: int = param(
        8,
        "Regions",
        "Soft regions, where training begins with random weights.",
        minimum=4,
        maximum=16,
        advanced=True,
    )
    width: int = param(
        16,
        "Width",
        "Channels at full resolution, where training begins with random weights.",
        minimum=4,
        maximum=64,
        advanced=True,
    )
    levels: int = param(
        5,
        "Levels",
        "Resolutions of the network, where training begins with random weights.",
        minimum=2,
        maximum=6,
        advanced=True,
    )
    checkpoint_every: int = param(
        200,
        "Checkpoint every",
        "Steps between checkpoints.",
        minimum=1,
        maximum=10**6,
        advanced=True,
    )
    seed: int = param(
        0,
        "Seed",
        "Same data and seed give the same weights.",
        minimum=0,
        maximum=2**31 - 1,
        advanced=True,
    )

    def __post_init__(self) -> None:
        validate(self)
        if self.episodes_per_step + self.views_per_step == 0:
            raise InputError(
                "Episodes a step and View pairs a step are both 0.",
                expected="Expected at least one of either in a batch.",
            )
        if not (self.episodes_per_step and self.episode_weight) and not self.has_regions:
            raise InputError(
                "Every loss that has something to learn from has the weight 0.",
                expected="Expected a weight for the episodes, or for a loss of the regions.",
            )

    @property
    def stride(self) -> int:
        """Pixels that the coarsest level of the network sees as one; crops are multiples of it."""
        return 1 << (self.levels - 1)

    @property
    def sizes(self) -> dict[str, int]:
        """What has to be known to build the network, by name."""
        return {name: getattr(self, name) for name in ("embedding", "regions", "width", "levels")}

    def batch(self, step: int) -> tuple[int, int]:
        """Return how many episodes and view pairs the batch of a step holds."""
        episodes = self.episodes_per_step if self.episode_weight else 0
        views = self.views_per_step if self.has_regions else 0
        if self.views_every == 1 or not episodes or not views:
            return episodes, views
        if step % self.views_every == self.views_every - 1:
            return 0, views
        return episodes, 0

    @property
    def has_regions(self) -> bool:
        """Whether regions are learnt: view pairs are drawn, and a loss of theirs has a weight."""
        weight = self.grey_weight + self.semantic_weight + self.usage_weight
        return bool(self.views_per_step and weight)

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each loss by name."""
        return {
            "episodes": self.episode_weight,
            "grey": self.grey_weight,
            "semantic": self.semantic_weight,
            "usage": self.usage_weight,
        }


@dataclass(frozen=True)
class ContextTrainConfig:
    """Parameters of training a network that segments in context."""

    minutes: float = param(
        0.0,
        "Minutes",
        "Train so long instead of a number of steps; 0: steps count, which gives the same result "
        "every time.",
        minimum=0.0,
        maximum=10080.0,
    )
    steps: int = param(10000, "Steps", "Optimiser steps in all.", minimum=1)
    width: int = param(32, "Width", "Channels of every block.", minimum=4, maximum=64)
    tasks_per_step: int = param(4, "Tasks a step", "Tasks in a batch.", minimum=1, maximum=256)
    queries: int = param(2, "Queries", "Queries of a task.", minimum=1, maximum=16)
    support: tuple[int, int] = param(
        (1, 8),
        "Support",
        "Fewest and most support examples of a task.",
        minimum=1,
        maximum=64,
        ordered=True,
    )
    crop_px: int = param(64, "Crop (px)", "Side of a crop.", choices=(32, 64, 128))
    late_crop_px: int = param(
        128, "Late crop (px)", "Side of a crop at the end.", choices=(32, 64, 128, 192, 256)
    )
    late_share: float = param(
        0.1, "Late share", "Share of the training with the late crops.", minimum=0, maximum=1
    )
    learning_rate: float = param(1e-3, "Learning rate", "Of AdamW.", minimum=1e-6, maximum=0.1)
    average_decay: float = param(
        0.998, "Averaging", "Decay of the moving average of the weights.", minimum=0, maximum=1
    )
    checkpoint_every: int = param(200, "Checkpoint every", "Steps between checkpoints.", minimum=1)
    seed: int = param(0, "Seed", "Same data and seed give the same weights.", minimum=0)

    def __post_init__(self) -> None:
        validate(self)

    @property
    def sizes(self) -> dict[str, int]:
        """What has to be known to build the network, by name."""
        return {"width": self.width}
