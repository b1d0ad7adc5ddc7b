"""All partitions of a plane into regions, from one region to thousands, nested in each other.

A tree holds the finest regions and the order in which they join. Taking a coarser or finer
partition from it is quick, so whoever holds the tree can follow a slider. It does not know how
edges and features were computed.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_regcon.types import Box

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST_PX = 2048
"""Longest side of a part of a plane that is cut in one go."""

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
        regions = numbered(roots(n_leaves, self.merges[: max(0, n_leaves - n_regions)]))
        sizes, features = pooled(regions, self.sizes, self.features)
        return Partition((regions + 1)[self.leaves], sizes, features)


def plane_parts(shape: tuple[int, ...]) -> Iterator[Box]:
    """Iterate over equal parts of a plane, of at most ``LARGEST_PX`` a side."""
    cuts = [
        np.linspace(0, n, math.ceil(n / LARGEST_PX) + 1).astype(int).tolist() for n in shape[-2:]
    ]
    for rows, columns in itertools.product(*(itertools.pairwise(c) for c in cuts)):
        yield Box((rows[0], columns[0]), (rows[1], columns[1]))


def pooled(
    home: np.ndarray, sizes: np.ndarray, features: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return sizes and mean features of regions made of smaller ones."""
    totals = np.bincount(home, sizes)
    sums = [np.bincount(home, column * sizes) for column in features.T]
    means = np.stack(sums, axis=1) / totals[:, None]
    return totals.astype(np.int64), means.astype(np.float32)


def roots(n: int, merges: np.ndarray) -> np.ndarray:
    """Return the node that each of n leaves is part of after some merges."""
    parent = list(range(n + len(merges)))
    for step, (i, j) in enumerate(merges.tolist()):
        parent[i] = parent[j] = n + step
    for node in reversed(range(len(parent))):
        parent[node] = parent[parent[node]]
    return np.array(parent[:n])


def numbered(roots: np.ndarray) -> np.ndarray:
    """Return int32 numbers 0, 1, 2... in place of roots, in the order of the leaves."""
    _, first, which = np.unique(roots, return_index=True, return_inverse=True)
    place = np.empty(len(first), dtype=np.int32)
    place[np.argsort(first)] = np.arange(len(first))
    numbered: np.ndarray = place[which]
    return numbered
