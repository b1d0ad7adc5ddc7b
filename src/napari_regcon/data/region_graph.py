"""Which regions touch, how strong the edge between them is, and in which order they join.

Two neighbours join where neither has another neighbour that is more like it, all such pairs at
once, round by round until one region is left (local mutual best fitting, Baatz & Schaepe 2000,
Multiresolution segmentation). The order is the whole result: stopping earlier or later gives
partitions that nest. It knows regions by their numbers and means, not where they lie.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_SIZE_EXPONENT = 0.25
"""How much longer large regions wait. 0: not at all, 0.5: as in Ward's method."""


@dataclass(frozen=True, eq=False)
class RegionGraph:
    """Regions of a plane, and the borders between those that touch.

    Parameters
    ----------
    sizes : numpy.ndarray
        ``(n,)`` pixels of each region.
    features : numpy.ndarray
        float32 ``(n, F)``, the mean over each region.
    pairs : numpy.ndarray
        ``(m, 2)`` numbers of regions that touch, the smaller one first.
    lengths : numpy.ndarray
        ``(m,)`` pairs of pixels along each border.
    strengths : numpy.ndarray
        ``(m,)`` sum over these of the edge between them.
    """

    sizes: np.ndarray
    features: np.ndarray
    pairs: np.ndarray
    lengths: np.ndarray
    strengths: np.ndarray


def region_graph(regions: np.ndarray, features: np.ndarray, edges: np.ndarray) -> RegionGraph:
    """Measure the regions of a plane.

    Parameters
    ----------
    regions : numpy.ndarray
        int ``(Y, X)``, 0..n-1, each of them used.
    features : numpy.ndarray
        ``(F, Y, X)``.
    edges : numpy.ndarray
        ``(Y, X)`` edge strength.
    """
    flat = regions.ravel()
    sizes = np.bincount(flat)
    n = len(sizes)
    means = np.stack([np.bincount(flat, f.ravel(), n) / sizes for f in features], axis=1)
    sides = ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:]))
    keys, crossed = [], []
    for here, there in sides:
        border = regions[here] != regions[there]
        a, b = regions[here][border].astype(np.int64), regions[there][border]
        keys.append(np.minimum(a, b) * n + np.maximum(a, b))
        crossed.append(np.maximum(edges[here][border], edges[there][border]))
    pairs, which = np.unique(np.concatenate(keys), return_inverse=True)
    return RegionGraph(
        sizes,
        means.astype(np.float32),
        np.stack([pairs // n, pairs % n], axis=1),
        np.bincount(which, minlength=len(pairs)),
        np.bincount(which, np.concatenate(crossed), len(pairs)),
    )


def merge_order(graph: RegionGraph, smallest_px: int) -> tuple[np.ndarray, int]:
    """Return the order in which regions join.

    First every region smaller than ``smallest_px`` joins a neighbour, then all others. Two regions
    differ by the mean edge along their border and the distance of their mean features, times a
    power of their size. Joins are ordered by that, but never before those they are made of.

    Parameters
    ----------
    graph : RegionGraph
        All regions must hang together.
    smallest_px : int
        Pixels that a region should have.

    Returns
    -------
    merges : numpy.ndarray
        int32 ``(n - 1, 2)``: step ``i`` joins two nodes into node ``n + i``; nodes below n are
        the regions.
    n_small : int
        How many of the steps, at the beginning, remove regions that are too small.
    """
    joining = _Joining(graph, smallest_px)
    pairs, costs = [np.empty((0, 2), np.intp)], [np.empty(0)]
    while len(joining.nodes) > 1:
        joined, cost = joining.round()
        pairs.append(joined)
        costs.append(cost)
    n, cost = len(graph.sizes), np.concatenate(costs)
    order = np.argsort(cost, kind="stable")
    place = np.empty(n + len(order), np.int32)
    place[:n] = np.arange(n)
    place[n + order] = n + np.arange(len(order))
    return place[np.concatenate(pairs)[order]], int(np.isneginf(cost).sum())


class _Joining:
    """The regions that stand, and the borders between them.

    Attributes
    ----------
    nodes : numpy.ndarray
        ``(m,)`` the node that each of them is.
    """

    def __init__(self, graph: RegionGraph, smallest_px: int) -> None:
        self._smallest = smallest_px
        self.nodes = np.arange(len(graph.sizes))
        self._next = len(graph.sizes)
        self._sizes = graph.sizes.astype(np.float64)
        self._features = graph.features.astype(np.float64)
        self._heights = np.full(len(graph.sizes), -np.inf)
        self._pairs = graph.pairs.T
        self._lengths, self._strengths = graph.lengths, graph.strengths

    def round(self) -> tuple[np.ndarray, np.ndarray]:
        """Join all pairs that are each other's best; return their nodes ``(k, 2)`` and costs.

        The cost is at least that of what they are made of; -inf while some are too small.
        """
        joined, costs = self._mutual_best()
        i, j = self._pairs[:, joined]
        costs = np.maximum(costs, np.maximum(self._heights[i], self._heights[j]))
        made_of = np.stack([self.nodes[i], self.nodes[j]], axis=1)
        self._take_in(i, j)
        self.nodes[i] = self._next + np.arange(len(i))
        self._heights[i] = costs
        self._next += len(i)
        self._forget(i, j)
        return made_of, costs

    def _mutual_best(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the borders at which both regions differ least, and how much they do."""
        a, b = self._pairs
        sizes_a, sizes_b = self._sizes[a], self._sizes[b]
        apart = self._features[a] - self._features[b]
        cost = self._strengths / self._lengths + np.sqrt(np.einsum("ij,ij->i", apart, apart))
        cost *= (sizes_a * sizes_b / (sizes_a + sizes_b)) ** _SIZE_EXPONENT
        small = np.flatnonzero(np.minimum(sizes_a, sizes_b) < self._smallest)
        allowed = small if small.size else np.arange(len(cost))
        order = allowed[np.argsort(cost[allowed], kind="stable")]
        rank = np.full(len(cost), len(cost))
        rank[order] = np.arange(len(order))
        best = np.full(len(self.nodes), len(cost))
        np.minimum.at(best, a, rank)
        np.minimum.at(best, b, rank)
        found = order[(best[a[order]] == rank[order]) & (best[b[order]] == rank[order])]
        return found, np.full(len(found), -np.inf) if small.size else cost[found]

    def _take_in(self, i: np.ndarray, j: np.ndarray) -> None:
        """Add regions j to regions i."""
        a, b = self._sizes[i, None], self._sizes[j, None]
        self._features[i] = (a * self._features[i] + b * self._features[j]) / (a + b)
        self._sizes[i] += self._sizes[j]

    def _forget(self, i: np.ndarray, j: np.ndarray) -> None:
        """Leave out regions j, and add up the borders that became one."""
        home = np.arange(len(self.nodes))
        stands = np.ones(len(home), dtype=bool)
        home[j], stands[j] = i, False
        pairs = np.sort((np.cumsum(stands) - 1)[home[self._pairs]], axis=0)
        for name in ("nodes", "_sizes", "_features", "_heights"):
            setattr(self, name, getattr(self, name)[stands])
        n, outer = len(self.nodes), pairs[0] != pairs[1]
        keys, which = np.unique(pairs[0, outer] * n + pairs[1, outer], return_inverse=True)
        self._lengths = np.bincount(which, self._lengths[outer], len(keys))
        self._strengths = np.bincount(which, self._strengths[outer], len(keys))
        self._pairs = np.stack([keys // n, keys % n])
