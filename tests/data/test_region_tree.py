"""Regions: each one piece, covering the plane, nested from fine to coarse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_regcon.data.region_graph import RegionGraph, merge_order
from napari_regcon.data.region_growth import grow_tree
from napari_regcon.data.region_links import RegionLinks
from napari_regcon.data.region_tree import COARSEST_PX
from napari_regcon.data.superpixels import edge_strength


def tree_of(image, smoothing_px=1.0, smallest_px=6):
    features = np.asarray(image, np.float32)[None]
    return grow_tree(features, edge_strength(features, smoothing_px), smallest_px)


def noise(shape, seed=0):
    return ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), 1.0) * 3


def n_pieces(labels):
    """Number of connected pieces, counted value by value."""
    return sum(ndimage.label(labels == value)[1] for value in np.unique(labels))


shapes = st.tuples(st.integers(1, 24), st.integers(1, 24))
granularities = st.floats(0, 1)


@settings(max_examples=40)
@given(shapes, st.integers(0, 99), granularities, st.integers(1, 30))
def test_regions_cover_the_plane_and_each_is_one_piece(shape, seed, granularity, smallest):
    tree = tree_of(noise(shape, seed), smallest_px=smallest)
    part = tree.cut(granularity)
    n = len(part.sizes)
    assert n == tree.n_regions(granularity)
    np.testing.assert_array_equal(np.unique(part.labels), np.arange(1, n + 1))
    assert n_pieces(part.labels) == n
    np.testing.assert_array_equal(np.bincount(part.labels.ravel())[1:], part.sizes)
    assert part.sizes.min() >= min(smallest, np.prod(shape))


@settings(max_examples=40)
@given(shapes, st.integers(0, 99), granularities, granularities)
def test_finer_regions_only_split_coarser_ones(shape, seed, one, other):
    tree = tree_of(noise(shape, seed))
    coarse, fine = (tree.cut(g).labels for g in sorted((one, other)))
    homes = np.unique(np.stack([fine.ravel(), coarse.ravel()]), axis=1)
    assert len(homes[0]) == fine.max()


def test_means_are_those_of_the_pixels():
    image = noise((30, 41))
    part = tree_of(image).cut(0.6)
    expected = ndimage.mean(image, part.labels, np.arange(1, len(part.sizes) + 1))
    np.testing.assert_allclose(part.features[:, 0], expected, rtol=1e-5)


def test_regions_end_at_edges():
    rows, columns = np.mgrid[:60, :80]
    truth = (np.hypot(rows - 30, columns - 25) < 14) + 2 * (columns > 55)
    image = truth / 2 + np.random.default_rng(1).normal(0, 0.05, truth.shape)
    labels = tree_of(image).cut_to(3).labels
    agreement = [np.bincount(labels[truth == value]).max() for value in range(3)]
    assert sum(agreement) / truth.size > 0.97


def test_granularity_spans_from_large_regions_to_the_finest():
    side = 2 * COARSEST_PX
    tree = tree_of(noise((side, side)))
    counts = [tree.n_regions(g) for g in np.linspace(0, 1, 11)]
    assert counts[0] == 4
    assert counts[-1] == len(tree.sizes)
    assert counts == sorted(counts)
    assert len(tree.cut_to(10**9).sizes) == counts[-1]


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (20, 30)])
def test_a_constant_plane_is_one_region(shape):
    part = tree_of(np.full(shape, 0.3)).cut(1.0)
    np.testing.assert_array_equal(part.labels, np.ones(shape))
    np.testing.assert_array_equal(part.similarity(1), [1.0])


def test_the_same_plane_gives_the_same_regions():
    one, two = (tree_of(noise((50, 40))) for _ in range(2))
    for name in ("leaves", "merges", "sizes", "features"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


@pytest.mark.parametrize("seed", range(5))
def test_regions_are_joined_as_a_search_through_all_pairs_would(seed):
    rng = np.random.default_rng(seed)
    n = 40
    pairs = np.array(
        [(i, j) for i in range(n) for j in range(i + 1, n) if (i + j) % 3 or j == i + 1]
    )
    graph = RegionGraph(
        rng.integers(1, 30, n),
        rng.random((n, 2)).astype(np.float32),
        pairs,
        rng.integers(1, 9, len(pairs)),
        rng.random(len(pairs)),
    )
    merges, n_small = merge_order(graph, 9)
    groups = {i: frozenset([i]) for i in range(n)}
    joined = []
    for step, (i, j) in enumerate(merges.tolist()):
        groups[n + step] = groups[i] | groups[j]
        joined.append(groups[n + step])
    expected, expected_small = slow_order(graph, 9)
    assert n_small == expected_small
    assert joined[n_small:] == expected[n_small:]
    assert set(joined[:n_small]) == set(expected[:n_small])


def slow_order(graph, smallest):
    """Look at every pair in every round; return what each join makes, and how many are small."""
    sizes = {frozenset([i]): int(n) for i, n in enumerate(graph.sizes)}
    means = {frozenset([i]): m for i, m in enumerate(graph.features.astype(np.float64))}
    height = dict.fromkeys(sizes, 0.0)
    borders = {}
    for (i, j), length, strength in zip(graph.pairs, graph.lengths, graph.strengths, strict=True):
        borders[frozenset([frozenset([int(i)]), frozenset([int(j)])])] = (length, strength)
    small, large = [], []

    def cost(pair):
        one, other = pair
        length, strength = borders[pair]
        a, b = sizes[one], sizes[other]
        apart = strength / length + np.linalg.norm(means[one] - means[other])
        return apart * (a * b / (a + b)) ** 0.25

    while borders:
        tiny = [p for p in borders if min(sizes[r] for r in p) < smallest]
        allowed = tiny or list(borders)
        costs = {pair: cost(pair) for pair in allowed}
        best = {r: min((p for p in allowed if r in p), key=costs.get) for p in allowed for r in p}
        for pair in [p for p in allowed if all(best[r] == p for r in p)]:
            one, other = pair
            new = one | other
            height[new] = max(costs[pair], height[one], height[other])
            (small if tiny else large).append(new)
            if tiny:
                height[new] = 0.0
            a, b = sizes[one], sizes[other]
            sizes[new], means[new] = a + b, (a * means[one] + b * means[other]) / (a + b)
            del borders[pair]
            for old in [p for p in borders if p & pair]:
                (neighbour,) = old - pair
                length, strength = borders.pop(old)
                known = borders.get(frozenset([neighbour, new]), (0, 0.0))
                borders[frozenset([neighbour, new])] = (known[0] + length, known[1] + strength)
    return small + sorted(large, key=height.get), len(small)


def test_similarity_falls_with_the_difference_of_means():
    image = np.repeat(np.repeat([[0.0, 0.1], [0.5, 1.0]], 20, axis=0), 20, axis=1)
    part = tree_of(image, smoothing_px=0.5).cut_to(4)
    order = [part.labels[5, 5], part.labels[5, 30], part.labels[30, 5], part.labels[30, 30]]
    alike = part.similarity(order[0])[np.array(order) - 1]
    assert alike[0] == 1
    assert (np.diff(alike) < 0).all()
    assert alike.min() > 0


# ------------------------------------------------------------------ from slice to slice


def test_a_region_keeps_its_number_where_both_overlap_most():
    links = RegionLinks()
    first = links.number(np.array([[1, 1, 1, 2, 2, 2]]))
    second = links.number(np.array([[2, 2, 1, 1, 3, 3]]))
    third = links.number(np.array([[1, 1, 1, 2, 2, 2]]))
    np.testing.assert_array_equal(first, [[1, 1, 1, 2, 2, 2]])
    # The one in the middle is nobody's most overlapped.
    np.testing.assert_array_equal(second, [[1, 1, 3, 3, 2, 2]])
    np.testing.assert_array_equal(third, [[1, 1, 1, 2, 2, 2]])
    assert first.dtype == np.uint32


@given(st.integers(0, 999))
def test_numbers_are_one_to_one_and_never_used_again(seed):
    rng = np.random.default_rng(seed)
    links, gone, before = RegionLinks(), set(), set()
    for _ in range(4):
        _, labels = np.unique(rng.integers(1, 9, (3, 4)), return_inverse=True)
        labels = labels.reshape(3, 4) + 1
        numbers = links.number(labels)
        pairs = np.unique(np.stack([labels.ravel(), numbers.ravel()]), axis=1)
        now = set(np.unique(numbers).tolist())
        assert len(pairs[0]) == labels.max() == len(now)
        assert not now & gone
        gone |= before - now
        before = now


def test_numbers_start_anew_after_a_break():
    links = RegionLinks()
    links.number(np.array([[1, 2]]))
    links.break_off()
    np.testing.assert_array_equal(links.number(np.array([[1, 2]])), [[3, 4]])
