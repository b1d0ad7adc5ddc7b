"""Training in context: what is learnt from a batch, and what is told of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_regcon.config import ContextTrainConfig
from napari_regcon.data.context_tasks import ContextSource, ContextTask
from napari_regcon.engine.context_training import ContextTraining

CONFIG = ContextTrainConfig(
    steps=60, width=8, tasks_per_step=2, queries=2, support=(1, 3), crop_px=32, late_crop_px=64
)


def _task(seed):
    """Return squares brighter than the rest, which is what is looked for."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((4, 32, 32), np.float32)
    for label in labels:
        y, x = rng.integers(0, 20, 2)
        label[y : y + 12, x : x + 12] = 1
    images = (0.2 + 0.6 * labels + rng.normal(0, 0.05, labels.shape)).clip(0, 1)
    return ContextTask(images.astype(np.float32), labels)


def test_it_learns_and_says_so():
    training = ContextTraining(CONFIG, device="cpu")
    losses = [training.train_step([_task(2 * i), _task(2 * i + 1)])["loss"] for i in range(60)]
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:10])
    assert 0.2 < training.look().dice < 1
    logits, wanted = training.segment([_task(1000)])
    assert ((logits > 0) == (wanted > 0)).float().mean() > 0.9


def test_each_task_is_segmented_with_its_own_support_only():
    training = ContextTraining(CONFIG, device="cpu")
    one, two = _task(0), _task(1)
    together, wanted = training.segment([one, two])
    assert together.shape == wanted.shape == (4, 1, 32, 32)
    np.testing.assert_array_equal(wanted[2:, 0], two.labels[2:])
    alone, _ = training.segment([two])
    torch.testing.assert_close(together[2:], alone, atol=2e-2, rtol=2e-2)


def test_a_batch_has_as_many_examples_in_all_tasks_and_larger_crops_at_the_end():
    source, training = ContextSource([]), ContextTraining(CONFIG, device="cpu")
    for step, side in ((0, 32), (53, 32), (54, 64), (59, 64)):
        (batch,) = training.draw(source, step)
        shapes = {task.images.shape for task in batch}
        (shape,) = shapes
        assert len(batch) == 2
        assert shape[1:] == (side, side)
        assert 1 + 2 <= shape[0] <= 3 + 2


def test_the_rate_warms_up_stays_and_falls():
    training = ContextTraining(replace(CONFIG, steps=4000), device="cpu")
    rates = []
    for training.step in (0, 199, 2000, 3500, 4000):
        rates.append(training.learning_rate())
    assert rates == pytest.approx([5e-6, 1e-3, 1e-3, 5e-4, 1e-5])
