"""Speed of fine-tuning: optimiser steps per second on a few strokes."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.timing import Row, in_turn
from napari_regcon.config import FinetuneConfig
from napari_regcon.data.phantom import make_phantom
from napari_regcon.data.strokes import first_strokes
from napari_regcon.data.support import SupportSet
from napari_regcon.engine.embedding import load_network
from napari_regcon.engine.finetune import FineTuning

if TYPE_CHECKING:
    import argparse

PLANE_PX = 512
STEPS = 8
"""Steps that are timed together."""


def fine_tuning(options: argparse.Namespace) -> list[Row]:
    """Measure a step of 8 crops of 128 x 128: from the weights that ship, and from scratch."""
    phantom = make_phantom((2, PLANE_PX, PLANE_PX), seed=5)
    labels = np.zeros(phantom.labels.shape, np.uint8)
    rng = np.random.default_rng(0)
    labels[0] = first_strokes(phantom.labels[0], phantom.classes, 5, rng)
    support = SupportSet(phantom.classes)
    support.add(phantom.volume, labels)
    network, _ = load_network("regcon-em")
    tunings = [
        FineTuning(support, FinetuneConfig(minutes=60), start=start, device=options.device)
        for start in (network, None)
    ]
    shipped, scratch = in_turn(
        [lambda t=t: [t.train_step() for _ in range(STEPS)] for t in tunings],
        repeats=options.repeats,
    )
    own, other = (tuple(t / STEPS for t in times) for times in (shipped, scratch))
    return [
        Row(
            "fine-tuning step from regcon-em, 8 crops of 128 x 128",
            "ms",
            own,
            "from scratch",
            other,
            {"steps per second": round(1000 / statistics.median(own), 2)},
        )
    ]
