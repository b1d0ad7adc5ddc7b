"""The loss on what another method thinks, against a slow transcription."""

import math

import pytest
import torch

from napari_regcon.nn.losses.taught import taught_loss


def slow(logits, wanted, where):
    b, k, h, w = logits.shape
    total = 0.0
    for i in range(b):
        for y in range(h):
            for x in range(w):
                if not where[i, y, x]:
                    continue
                values = [float(logits[i, c, y, x]) for c in range(k)]
                norm = math.log(sum(math.exp(v) for v in values))
                p = [float(wanted[i, c, y, x]) for c in range(k)]
                sure = max(0.0, (k * max(p) - 1) / (k - 1))
                total += sure * sum(-p[c] * (values[c] - norm) for c in range(k))
    return total / (b * h * w)


def test_it_is_what_the_definition_says():
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, generator=rng)
    wanted = torch.randn(2, 3, 4, 5, generator=rng).softmax(1)
    wanted[0, :, 1, 2] = 0  # nothing is known there
    where = torch.rand(2, 4, 5, generator=rng) > 0.3
    found = taught_loss(logits, wanted, where)
    assert float(found) == pytest.approx(slow(logits, wanted, where))


def test_what_is_in_doubt_teaches_nothing():
    logits = torch.randn(1, 2, 4, 4, requires_grad=True)
    loss = taught_loss(logits, torch.full((1, 2, 4, 4), 0.5), torch.ones(1, 4, 4, dtype=bool))
    loss.backward()
    assert not logits.grad.any()
