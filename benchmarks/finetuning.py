"""The fine-tuned network as a method: trained for some minutes or steps on what is painted.

It goes through the public interface: a training, a file, and a segmenter that loads the file.
Minutes are what a user waits, so figures depend on the machine and on what else it does; steps
give the same figures everywhere. The learning rate falls along the budget, so a short training is
not the beginning of a long one, and each budget is trained on its own.

A variant changes parameters of :class:`~napari_regcon.config.FinetuneConfig` by name, to see what
each ingredient is good for: ``unlabelled=0``, or ``missing=0,downscale=2``.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.methods import Ours, Painted, support_of
from napari_regcon.config import FinetuneConfig
from napari_regcon.engine.embedding import load_network
from napari_regcon.engine.finetune import FineTuning, finetune
from napari_regcon.engine.finetuned import card_of, save_finetuned
from napari_regcon.engine.registry import load_segmenter
from napari_regcon.engine.segmenter import run
from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from benchmarks.methods import Method

SCRATCH = "scratch"
"""Stands for random weights to begin with."""


class FineTune(Ours):
    """Fine-tune a network, from pre-trained or from random weights.

    Parameters
    ----------
    config : FinetuneConfig
        Minutes or steps, and all else; the seed is that of the benchmark.
    start : str
        Weights to begin with, or ``SCRATCH``.
    variant : str
        What is not as it is by default, for the name.
    """

    def __init__(self, config: FinetuneConfig, start: str, variant: str = "") -> None:
        budget = f"{config.steps}steps" if config.steps else f"{config.minutes:g}min"
        name = f"fine-tuned-{start}-{budget}" + (f",{variant}" if variant else "")
        super().__init__(name, "fine-tuned")
        self._config = config
        self._start = start

    def fit(self, painted: Painted, seed: int) -> None:
        """Train, write the file, and load it."""
        support = support_of(painted)
        config = replace(self._config, seed=seed)
        start, parent = (None, None) if self._start == SCRATCH else load_network(self._start)
        tuning = FineTuning(support, config, start=start, device="cpu")
        run(finetune(tuning))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "net.safetensors"
            save_finetuned(tuning.result(), path, card_of(tuning, parent))
            self._predictor = load_segmenter(str(path), device="cpu").fit(support)


def methods_for(
    budgets: Iterable[FinetuneConfig], variants: Sequence[str]
) -> dict[str, Callable[[], Method]]:
    """Return methods by name: for each budget from both starts, and each variant of the first.

    Raises
    ------
    InputError
        If a variant names no parameter, or a value that it cannot have.
    """
    made = []
    for budget in budgets:
        made += [FineTune(budget, start) for start in ("regcon-em", SCRATCH)]
        for variant in variants:
            made.append(FineTune(replace(budget, **_changes(variant)), "regcon-em", variant))
    return {method.name: (lambda method=method: method) for method in made}


def _changes(variant: str) -> dict[str, Any]:
    """Read ``name=value,name=value``, each value of the type that the parameter has."""
    changes = {}
    defaults = vars(FinetuneConfig())
    for word in variant.split(","):
        name, _, value = word.partition("=")
        try:
            changes[name] = type(defaults[name])(value)
        except (KeyError, ValueError) as error:
            raise InputError(
                f"The variant {word!r} cannot be read.",
                expected=f"Expected NAME=VALUE, with NAME one of {', '.join(defaults)}.",
            ) from error
    return changes
