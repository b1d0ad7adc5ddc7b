"""Which regions touch, how strong the edge between them is, and in which order they join.

The pair that differs least joins first, again and again, until one region is left. The order is
the whole result: stopping earlier or later gives partitions that nest. It knows regions by their
numbers and means, not where they lie.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

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

    First every region smaller than ``smallest_px`` joins its most similar neighbour, then the
    most similar pairs of all. Two regions differ by the mean edge along their border and the
    distance of their mean features, times a power of their size.

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
    steps = list(joining.steps())
    merges = np.array([pair for _, pair in steps], dtype=np.int32).reshape(-1, 2)
    return merges, sum(was_small for was_small, _ in steps)


class _Joining:
    """The nodes that are left, and for each the neighbour that it would join first.

    Every pair is covered by the node of the two that came later, so the lowest entry of the heap
    is the pair to join next. An entry whose neighbour is gone is too low, never too high: it
    comes up in time and is replaced then.
    """

    def __init__(self, graph: RegionGraph, smallest_px: int) -> None:
        n = len(graph.sizes)
        self._smallest = smallest_px
        self._next = n
        self._sizes = np.concatenate([graph.sizes, np.zeros(n - 1)])
        self._features = np.concatenate([graph.features, np.empty_like(graph.features[1:])])
        self._borders: dict[int, dict[int, tuple[int, float]]] = {i: {} for i in range(n)}
        borders = zip(graph.lengths.tolist(), graph.strengths.tolist(), strict=True)
        for (i, j), border in zip(graph.pairs.tolist(), borders, strict=True):
            self._borders[i][j] = self._borders[j][i] = border
        self._heap = self._first_entries(graph)
        heapq.heapify(self._heap)

    def _first_entries(self, graph: RegionGraph) -> list[tuple[bool, float, int, int]]:
        """Return what :meth:`_best` says of every node, for all at once."""
        a, b = np.concatenate([graph.pairs, graph.pairs[:, ::-1]]).T
        edges = np.tile(graph.strengths / graph.lengths, 2)
        large, cost = self._rank(a, b, edges)
        order = np.lexsort((cost, large, a))
        best = order[np.flatnonzero(np.diff(a[order], prepend=-1))]
        columns = (column[best].tolist() for column in (large, cost, a, b))
        return list(zip(*columns, strict=True))

    def steps(self) -> Iterator[tuple[bool, tuple[int, int]]]:
        """Join pair by pair; say whether one was too small, and which they were."""
        while len(self._borders) > 1:
            large, _, i, j = heapq.heappop(self._heap)
            if i not in self._borders:
                continue
            if j not in self._borders:
                heapq.heappush(self._heap, self._best(i))
                continue
            self._join(i, j)
            yield not large, (i, j)

    def _best(self, node: int) -> tuple[bool, float, int, int]:
        """Return whether a node and the neighbour it joins first are large, their cost, and both.

        Pairs of which one is too small come before all others.
        """
        around = self._borders[node]
        others = np.fromiter(around, np.intp, len(around))
        lengths, strengths = np.array(list(around.values())).T
        large, cost = self._rank(node, others, strengths / lengths)
        first = int(np.where(large & ~large.all(), np.inf, cost).argmin())
        return bool(large[first]), float(cost[first]), node, int(others[first])

    def _rank(
        self, a: int | np.ndarray, b: np.ndarray, edges: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return for pairs of nodes whether both are large enough, and the cost of joining them."""
        sizes_a, sizes_b = self._sizes[a], self._sizes[b]
        apart = self._features[a] - self._features[b]
        distances = np.sqrt(np.einsum("ij,ij->i", apart, apart))
        weight = (sizes_a * sizes_b / (sizes_a + sizes_b)) ** _SIZE_EXPONENT
        large = np.minimum(sizes_a, sizes_b) >= self._smallest
        return large, (edges + distances) * weight

    def _join(self, i: int, j: int) -> None:
        node, self._next = self._next, self._next + 1
        a, b = self._sizes[i], self._sizes[j]
        self._sizes[node] = a + b
        self._features[node] = (a * self._features[i] + b * self._features[j]) / (a + b)
        around, fewer = sorted((self._borders.pop(i), self._borders.pop(j)), key=len, reverse=True)
        for other, (length, strength) in fewer.items():
            known = around.get(other, (0, 0.0))
            around[other] = (known[0] + length, known[1] + strength)
        del around[i], around[j]
        self._borders[node] = around
        for other, border in around.items():
            back = self._borders[other]
            back.pop(i, None)
            back.pop(j, None)
            back[node] = border
        if around:
            heapq.heappush(self._heap, self._best(node))
