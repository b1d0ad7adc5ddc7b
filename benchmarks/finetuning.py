"""The fine-tuned network as a method: trained for some minutes on what is painted.

It goes through the public interface: a training, a file, and a segmenter that loads the file.
Minutes are what a user waits, so the figures depend on the machine and on what else it does.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.methods import Ours, Painted, support_of
from napari_regcon.config import FinetuneConfig
from napari_regcon.engine.embedding import load_network
from napari_regcon.engine.finetune import FineTuning, finetune
from napari_regcon.engine.finetuned import card_of, save_finetuned
from napari_regcon.engine.registry import load_segmenter
from napari_regcon.engine.segmenter import run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.methods import Method


class FineTune(Ours):
    """Fine-tune a network for some minutes, from pre-trained or from random weights.

    Parameters
    ----------
    minutes : float
        Time budget.
    start : str or None
        Weights to begin with; None for random ones.
    """

    def __init__(self, minutes: float, start: str | None) -> None:
        super().__init__(f"fine-tuned-{start or 'scratch'}-{minutes:g}min", "fine-tuned")
        self._minutes = minutes
        self._start = start

    def fit(self, painted: Painted, seed: int) -> None:
        """Train, write the file, and load it."""
        support = support_of(painted)
        config = FinetuneConfig(minutes=self._minutes, seed=seed)
        start, parent = load_network(self._start) if self._start else (None, None)
        tuning = FineTuning(support, config, start=start, device="cpu")
        run(finetune(tuning))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "net.safetensors"
            save_finetuned(tuning.result(), path, card_of(tuning, parent))
            self._predictor = load_segmenter(str(path), device="cpu").fit(support)


def methods_for(minutes: Sequence[float]) -> dict[str, Callable[[], Method]]:
    """Return a method for each time budget and start, by name."""
    made = [FineTune(m, start) for m in minutes for start in ("regcon-em", None)]
    return {method.name: (lambda method=method: method) for method in made}
