"""Pre-training of features, from its first step to its last.

A generator of events that can be stopped at any step and goes on from its last checkpoint. What a
step does, and which images are used, is the caller's affair.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from napari_regcon.engine.checkpoint import read_checkpoint, write_checkpoint
from napari_regcon.engine.pretrain_events import CheckpointWritten, PretrainLook, PretrainStep

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from napari_regcon.config import PretrainConfig
    from napari_regcon.data.episodes import Episode, EpisodeSource, ViewPair
    from napari_regcon.engine.pretraining import Pretraining

LOOK_EVERY = 20
"""Steps between two looks at how training goes."""

LOOK_PX = 192
"""Side of the picture of the regions."""

_LOOK_VIEWS = 4
"""Pairs of views, always the same ones, that the collapse monitor looks at."""


def pretrain(
    training: Pretraining, source: EpisodeSource, checkpoint: Path | None = None
) -> Generator[PretrainStep | PretrainLook | CheckpointWritten, None, None]:
    """Train features to the end of the steps or of the time.

    Parameters
    ----------
    training : Pretraining
        The state; :meth:`Pretraining.result` may be called between two events.
    source : EpisodeSource
        Where episodes and view pairs come from.
    checkpoint : pathlib.Path, optional
        Training goes on from it if it is there; it is written every
        ``config.checkpoint_every`` steps and at the end.

    Yields
    ------
    PretrainStep, PretrainLook or CheckpointWritten
        After every step, every look and every checkpoint; the checkpoint alone where it is of the
        last step already.

    Raises
    ------
    InputError
        If the checkpoint cannot be read, or was trained with other parameters; if the images show
        too little to learn from.
    """
    config = training.config
    if checkpoint is not None and checkpoint.is_file():
        training.load_state(read_checkpoint(checkpoint, config))
        if training.done >= 1:
            yield CheckpointWritten(training.step, checkpoint)
    rng = np.random.default_rng((config.seed, 0, 2))
    views, picture = [source.view_pair(rng) for _ in range(_LOOK_VIEWS)], source.picture(LOOK_PX)
    with ThreadPoolExecutor(1, "regcon-episodes") as pool_:
        upcoming = pool_.submit(_draw, source, config, training.step)
        while training.done < 1:
            begin = time.perf_counter()
            episodes, pairs = upcoming.result()
            upcoming = pool_.submit(_draw, source, config, training.step + 1)
            losses = training.train_step(episodes, pairs)
            training.elapsed_s += time.perf_counter() - begin
            yield PretrainStep(training.step, training.done, losses, training.elapsed_s)
            is_last = training.done >= 1
            if training.step % LOOK_EVERY == 0 or is_last:
                yield training.look(views, picture)
            if checkpoint is not None and (training.step % config.checkpoint_every == 0 or is_last):
                write_checkpoint(training.state(), checkpoint)
                yield CheckpointWritten(training.step, checkpoint)


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
