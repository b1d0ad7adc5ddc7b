"""Pre-training of a network, from its first step to its last.

A generator of events that can be stopped at any step and goes on from its last checkpoint. What a
step does, and which images are used, is the caller's affair. The batch of the next step is drawn
while the last one is learnt from.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from napari_regcon.engine.aside import AtOnce
from napari_regcon.engine.checkpoint import read_checkpoint, write_checkpoint
from napari_regcon.engine.pretrain_events import CheckpointWritten, PretrainStep

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from napari_regcon.engine.aside import Runner

LOOK_EVERY = 20
"""Steps between two looks at how training goes."""


Look = TypeVar("Look", covariant=True)  # noqa: PLC0105 - what a training tells of itself


class Training(Protocol[Look]):
    """What is trained, and knows how: see :class:`napari_regcon.engine.train_state.TrainState`."""

    config: Any
    step: int
    elapsed_s: float

    @property
    def done(self) -> float:
        """How much of the time or of the steps is used up, 0 to 1."""

    def draw(self, source: Any, step: int) -> tuple[Any, ...]:
        """Draw the batch of a step; the same step draws the same batch."""

    def train_step(self, *batch: Any) -> dict[str, float]:
        """Take one optimiser step and return the losses."""

    def look_at(self, source: Any) -> tuple[Any, ...]:
        """Return what every look is at."""

    def look(self, *looked_at: Any) -> Look:
        """Look at how training goes."""

    def state(self) -> dict[str, Any]:
        """Return everything a later run needs."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a state."""


def pretrain(
    training: Training[Look],
    source: Any,
    checkpoint: Path | None = None,
    runner: Runner | None = None,
) -> Generator[PretrainStep | Look | CheckpointWritten | None, None, None]:
    """Train to the end of the steps or of the time.

    Parameters
    ----------
    training : Pretraining or ContextTraining
        The state; its ``result`` may be called between two events.
    source : EpisodeSource or ContextSource
        Where tasks come from.
    checkpoint : pathlib.Path, optional
        Training goes on from it if it is there; it is written every
        ``config.checkpoint_every`` steps and at the end.
    runner : Runner, optional
        How steps and looks are run; at once where not given, and then None is never yielded.

    Yields
    ------
    PretrainStep, PretrainLook or ContextLook, or CheckpointWritten
        After every step, every look and every checkpoint; the checkpoint alone where it is of the
        last step already. None wherever the runner lets other work be done.

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
    runner = runner or AtOnce()
    looked_at = training.look_at(source)
    with ThreadPoolExecutor(1, "regcon-batches") as pool:
        upcoming = pool.submit(training.draw, source, training.step)
        while training.done < 1:
            begin = runner.clock()
            batch = upcoming.result()
            upcoming = pool.submit(training.draw, source, training.step + 1)
            losses = yield from runner(partial(training.train_step, *batch))
            training.elapsed_s += runner.clock() - begin
            yield PretrainStep(training.step, training.done, losses, training.elapsed_s)
            is_last = training.done >= 1
            if training.step % LOOK_EVERY == 0 or is_last:
                yield (yield from runner(partial(training.look, *looked_at)))
            if checkpoint is not None and (training.step % config.checkpoint_every == 0 or is_last):
                write_checkpoint(training.state(), checkpoint)
                yield CheckpointWritten(training.step, checkpoint)
