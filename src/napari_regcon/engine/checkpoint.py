"""Checkpoints of a training: written whole or not at all, read only where they fit.

A training goes on only with the parameters it began with, but for how long it lasts and how
often it is written down. What the state holds besides is not known here.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch

from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_regcon.config import ContextTrainConfig, FinetuneConfig, PretrainConfig

MAY_CHANGE = frozenset({"steps", "minutes", "checkpoint_every"})
"""Parameters that may differ when a training goes on."""


def write_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Write a state; a reader finds the old file or the new one.

    Parameters
    ----------
    state : dict
        Tensors and plain values; ``config`` holds the parameters by name.
    path : pathlib.Path
        Where to.
    """
    temporary = path.with_suffix(".part")
    torch.save(state, temporary)
    temporary.replace(path)


def read_checkpoint(
    path: Path, config: PretrainConfig | ContextTrainConfig | FinetuneConfig
) -> dict[str, Any]:
    """Return the state in a checkpoint that a training with these parameters can go on from.

    Parameters
    ----------
    path : pathlib.Path
        What :func:`write_checkpoint` wrote.
    config : PretrainConfig, ContextTrainConfig or FinetuneConfig
        Parameters; those of ``MAY_CHANGE`` may differ from the checkpoint's.

    Raises
    ------
    InputError
        If it cannot be read, or was trained with other parameters.
    """
    ways_out = "Choose another file for the weights, or begin anew (--overwrite)."
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        before = dict(state["config"])
    except Exception as error:  # torch raises nearly anything on a damaged file
        raise InputError(
            f"{path} is damaged, or not a checkpoint of a training.", next_step=ways_out
        ) from error
    now = asdict(config)
    # A parameter that only one of two versions knows has no other value.
    shared = (now.keys() & before.keys()) - MAY_CHANGE
    changes = [f"{n} {before[n]}, not {now[n]}" for n in sorted(shared) if before[n] != now[n]]
    if changes:
        raise InputError(
            f"{path} is of a training with other parameters: {'; '.join(changes)}.",
            expected=f"Expected the same, but for {', '.join(sorted(MAY_CHANGE & now.keys()))}.",
            next_step=f"Put them back. {ways_out}",
        )
    return state
