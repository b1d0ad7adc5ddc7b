"""Smoothed probabilities: still probabilities, and fair to all classes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_regcon.engine import smoothed as module
from napari_regcon.engine.smoothed import smoothed
from napari_regcon.nn.guided import guided_filter


def drawn(n_classes, shape, seed=0):
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(n_classes, 0.3), shape).astype(np.float32)
    return torch.from_numpy(shares).movedim(-1, 0).contiguous(), torch.from_numpy(
        rng.random(shape, np.float32)
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 5), st.integers(1, 70), st.integers(1, 70), st.integers(0, 2), st.randoms())
def test_the_order_of_the_classes_does_not_matter(n_classes, height, width, radius, random):
    found, guide = drawn(n_classes, (height, width))
    order = list(range(n_classes))
    random.shuffle(order)
    first, second = smoothed(found, guide, radius), smoothed(found[order], guide, radius)
    torch.testing.assert_close(first[order], second, atol=1e-5, rtol=0)
    torch.testing.assert_close(first.sum(0), torch.ones(height, width), atol=1e-5, rtol=0)
    assert first.min() >= 0
    cut = guided_filter(found, guide, radius).clamp(0, 1)
    torch.testing.assert_close(first, cut / cut.sum(0), atol=1e-5, rtol=0)


@pytest.mark.parametrize("threads", [1, 2])
def test_bands_leave_no_trace(monkeypatch, threads):
    found, guide = drawn(3, (157, 90))
    whole = smoothed(found, guide, 1)
    monkeypatch.setattr(module, "BAND_PX", 90 * 20)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert torch.equal(smoothed(found, guide, 1), whole)
