"""All partitions of a plane into regions, from one region to thousands, nested in each other.

A tree holds the finest regions and the order in which they join. Taking a coarser or finer
partition from it is quick, so whoever holds the tree can follow a slider. It does not know how
edges and features were computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from napari_regcon.data.region_graph import merge_order, region_graph
from napari_regcon.data.superpixels import superpixels

COARSEST_PX = 256
"""Side of a square as large as a region is on average at granularity 0."""


@dataclass(frozen=True, eq=False)
class Partition:
    """Regions of a plane, each of them one piece, that cover it.

    Parameters
    ----------
    labels : numpy.ndarray
        int32 ``(Y, X)``, 1..n.
    sizes : numpy.ndarray
        ``(n,)`` pixels of each region; region ``i + 1`` is at index ``i``.
    features : numpy.ndarray
        float32 ``(n, F)``, the mean over each region.
    """

    labels: np.ndarray
    sizes: np.ndarray
    features: np.ndarray

    def similarity(self, region: int) -> np.ndarray:
        """Return how similar each region is to one of them.

        Parameters
        ----------
        region : int
            1..n.

        Returns
        -------
        numpy.ndarray
            float32 ``(n,)`` in (0, 1]: 1 where the means are equal, 0.37 for two regions that
            differ as much as any two pixels of the plane do on average.
        """
        apart = ((self.features - self.features[region - 1]) ** 2).sum(axis=1)
        scale = 2 * self._spread
        near: np.ndarray = np.exp(-apart / scale) if scale > 0 else np.ones(len(apart))
        return near.astype(np.float32)

    @cached_property
    def _spread(self) -> float:
        """Mean squared distance of the regions from their mean, weighted by size."""
        centre = np.average(self.features, axis=0, weights=self.sizes)
        apart = ((self.features - centre) ** 2).sum(axis=1)
        return float(np.average(apart, weights=self.sizes))


@dataclass(frozen=True, eq=False)
class RegionTree:
    """The finest regions of a plane and the order in which they join.

    Parameters
    ----------
    leaves : numpy.ndarray
        int32 ``(Y, X)``, the finest regions 0..n-1.
    merges : numpy.ndarray
        int32 ``(n - 1, 2)``: step ``i`` joins two nodes into node ``n + i``.
    sizes : numpy.ndarray
        ``(n,)`` pixels of each finest region.
    features : numpy.ndarray
        float32 ``(n, F)``, the mean over each finest region.
    """

    leaves: np.ndarray
    merges: np.ndarray
    sizes: np.ndarray
    features: np.ndarray

    def n_regions(self, granularity: float) -> int:
        """Return the number of regions at a granularity from 0 (coarse) to 1 (fine)."""
        finest = len(self.sizes)
        coarsest = min(finest, max(1.0, self.leaves.size / COARSEST_PX**2))
        n: float = coarsest ** (1 - granularity) * finest**granularity
        return round(n)

    def cut(self, granularity: float) -> Partition:
        """Return the partition at a granularity; finer ones only split its regions.

        Parameters
        ----------
        granularity : float
            From 0 (a region is about 256 x 256 px on average) to 1 (the finest regions). Equal
            steps multiply the number of regions by equal factors.
        """
        return self.cut_to(self.n_regions(granularity))

    def cut_to(self, n_regions: int) -> Partition:
        """Return the partition into so many regions, or the finest where there are fewer."""
        n_leaves = len(self.sizes)
        regions = _numbered(_roots(n_leaves, self.merges[: max(0, n_leaves - n_regions)]))
        sizes, features = _pooled(regions, self.sizes, self.features)
        return Partition((regions + 1)[self.leaves], sizes, features)


def grow_tree(features: np.ndarray, edges: np.ndarray, smallest_px: int) -> RegionTree:
    """Find the finest regions of a plane and the order in which they join.

    Parameters
    ----------
    features : numpy.ndarray
        ``(F, Y, X)``; regions whose means are near each other join early.
    edges : numpy.ndarray
        float32 ``(Y, X)`` edge strength, in the units of the features.
    smallest_px : int
        Pixels of the smallest region, but for planes that are smaller.
    """
    pieces = superpixels(edges)
    graph = region_graph(pieces, features, edges)
    merges, n_small = merge_order(graph, smallest_px)
    n_pieces = len(graph.sizes)
    roots = _roots(n_pieces, merges[:n_small])
    leaf = _numbered(roots)
    sizes, means = _pooled(leaf, graph.sizes, graph.features)
    # What stands once the small ones are gone is a leaf; every later node moves down by as much
    # as there are fewer leaves than pieces, and fewer steps.
    renumbered = np.arange(n_pieces + len(merges), dtype=np.int32) - 2 * n_small
    renumbered[roots] = leaf
    return RegionTree(leaf[pieces], renumbered[merges[n_small:]], sizes, means)


def _pooled(
    home: np.ndarray, sizes: np.ndarray, features: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return sizes and mean features of regions made of smaller ones."""
    totals = np.bincount(home, sizes)
    sums = [np.bincount(home, column * sizes) for column in features.T]
    means = np.stack(sums, axis=1) / totals[:, None]
    return totals.astype(np.int64), means.astype(np.float32)


def _roots(n: int, merges: np.ndarray) -> np.ndarray:
    """Return the node that each of n leaves is part of after some merges."""
    parent = list(range(n + len(merges)))
    for step, (i, j) in enumerate(merges.tolist()):
        parent[i] = parent[j] = n + step
    for node in reversed(range(len(parent))):
        parent[node] = parent[parent[node]]
    return np.array(parent[:n])


def _numbered(roots: np.ndarray) -> np.ndarray:
    """Return int32 numbers 0, 1, 2... in place of roots, in the order of the leaves."""
    _, first, which = np.unique(roots, return_index=True, return_inverse=True)
    place = np.empty(len(first), dtype=np.int32)
    place[np.argsort(first)] = np.arange(len(first))
    numbered: np.ndarray = place[which]
    return numbered
