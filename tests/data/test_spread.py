"""Strokes spread over the regions of a plane."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_regcon.data import spread as module
from napari_regcon.data.region_graph import region_graph
from napari_regcon.data.region_growth import grow_tree
from napari_regcon.data.spread import spread
from napari_regcon.data.superpixels import edge_strength


def cut(image):
    """Return regions, their graph and edges of ``(Y, X)``."""
    features = image[None].astype(np.float32)
    edges = edge_strength(features, 1.0)
    regions = grow_tree(features, edges, 4).leaves
    return regions, region_graph(regions, features, edges), edges


def undecided(n, shape):
    return np.full((n, *shape), 1 / n, np.float32)


@pytest.fixture
def halves():
    """Dark on the left, bright on the right, with some noise, and where it is bright."""
    truth = np.zeros((40, 60), np.uint8)
    truth[:, 25:] = 1
    noise = np.random.default_rng(0).normal(0, 0.03, truth.shape)
    return truth * 0.7 + 0.1 + noise, truth


def test_strokes_fill_their_plane_up_to_the_edges(halves):
    image, truth = halves
    painted = np.zeros(image.shape, int)
    painted[5, 3:9], painted[30, 40:46] = 1, 2
    labels = spread(*cut(image), painted, undecided(2, image.shape))
    assert labels.dtype == np.uint16
    assert (labels == truth + 1).mean() > 0.97


def test_the_opinion_decides_where_strokes_are_far(halves):
    image, truth = halves
    painted = np.zeros(image.shape, int)
    painted[5, 3:9], painted[8, 3:9] = 1, 2
    sure = np.stack([truth == 0, truth == 1]).astype(np.float32) * 0.9 + 0.05
    labels = spread(*cut(image), painted, sure)
    assert (labels == truth + 1)[:, 20:].mean() > 0.97


def test_a_region_with_strokes_of_two_classes_is_cut():
    image = np.full((20, 30), 0.5)
    painted = np.zeros(image.shape, int)
    painted[:, 2], painted[:, 27] = 1, 3
    labels = spread(*cut(image), painted, undecided(3, image.shape))
    assert (labels[:, :10] == 1).all()
    assert (labels[:, 20:] == 3).all()


@settings(max_examples=30, deadline=None)
@given(
    hnp.arrays(np.float32, (13, 17), elements=st.floats(0, 1, width=16)),
    hnp.arrays(np.int64, (13, 17), elements=st.sampled_from([0, 0, 0, 0, 1, 2, 3])),
    st.integers(0, 3),
)
def test_all_is_said_and_what_is_painted_stays(image, painted, seed):
    opinion = np.random.default_rng(seed).dirichlet(np.ones(3), image.shape)
    labels = spread(*cut(image), painted, np.moveaxis(opinion, -1, 0).astype(np.float32))
    assert labels.min() >= 1
    assert labels.max() <= 3
    np.testing.assert_array_equal(labels[painted > 0], painted[painted > 0])


def walked(graph, held, thought, n_rounds=20_000):
    """Where a walker ends, found by letting it walk on and on: each region asks its neighbours."""
    n, k = thought.shape
    chance = np.full((n, k), 1 / k)
    for region in range(n):
        if held[region]:
            chance[region] = np.eye(k)[held[region] - 1]
    ease = module._ease(graph)
    for _ in range(n_rounds):
        before = chance.copy()
        for region in range(n):
            if held[region]:
                continue
            total, weight = module.TRUST * thought[region], module.TRUST * thought[region].sum()
            for (a, b), through in zip(graph.pairs, ease, strict=True):
                if region in (a, b):
                    total = total + through * chance[b if region == a else a]
                    weight = weight + through
            chance[region] = total / weight
        if np.abs(chance - before).max() < 1e-12:
            break
    return chance


def test_the_walk_ends_as_step_by_step(halves):
    image = halves[0][:16, 15:35]
    _regions, graph, _ = cut(image)
    n = len(graph.sizes)
    assert n >= 5
    rng = np.random.default_rng(1)
    held = np.zeros(n, int)
    held[[0, n - 1]] = 1, 2
    thought = rng.dirichlet(np.ones(2), n) * graph.sizes[:, None]
    found = module._walk(graph, held, thought)
    np.testing.assert_allclose(found, walked(graph, held, thought), atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-9)
