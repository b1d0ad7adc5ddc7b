"""From the pixels of a plane to all its partitions: pieces, their graph, the order they join in."""

from __future__ import annotations

import numpy as np

from napari_regcon.data.region_graph import merge_order, region_graph
from napari_regcon.data.region_tree import RegionTree, numbered, pooled, roots
from napari_regcon.data.superpixels import superpixels


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
    standing = roots(n_pieces, merges[:n_small])
    leaf = numbered(standing)
    sizes, means = pooled(leaf, graph.sizes, graph.features)
    # What stands once the small ones are gone is a leaf; every later node moves down by as much
    # as there are fewer leaves than pieces, and fewer steps.
    renumbered = np.arange(n_pieces + len(merges), dtype=np.int32) - 2 * n_small
    renumbered[standing] = leaf
    return RegionTree(leaf[pieces], renumbered[merges[n_small:]], sizes, means)
