"""Strokes spread over the regions of a plane, so that every pixel is said.

A random walker goes from region to region, more easily where the edge between them is weak, until
it meets a stroke (Grady 2006, Random walks for image segmentation). What a classifier thinks of a
region holds it back there (Grady 2005, Multilabel random walker image segmentation using prior
models). How likely it ends at each class, times what the classifier thinks of the single pixel,
decides. What is painted is never changed. It knows neither files nor classifiers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu
from skimage.segmentation import watershed

if TYPE_CHECKING:
    from napari_regcon.data.region_graph import RegionGraph

STEEPNESS = 4.0
"""How much an edge hinders: one that differs as much as is usual lets ``exp(-4)`` pass."""

TRUST = 0.003
"""How much the opinion about a pixel counts, beside a border of one pixel with no edge."""

FLOOR = 0.02
"""Probabilities below this count as this: neither walker nor classifier is ever so sure."""

_LEAK = 1e-6
"""What even the strongest edge lets pass, so that all regions hang together."""


def spread(
    regions: np.ndarray,
    graph: RegionGraph,
    edges: np.ndarray,
    painted: np.ndarray,
    opinion: np.ndarray,
) -> np.ndarray:
    """Give every pixel of a plane a class.

    Parameters
    ----------
    regions : numpy.ndarray
        int ``(Y, X)``, 0..n-1, each of them one piece.
    graph : RegionGraph
        Of these regions.
    edges : numpy.ndarray
        float32 ``(Y, X)`` edge strength.
    painted : numpy.ndarray
        int ``(Y, X)``, 0 = not said, 1..k = classes.
    opinion : numpy.ndarray
        float32 ``(k, Y, X)``, what is thought of each pixel: probabilities of the classes.

    Returns
    -------
    numpy.ndarray
        uint16 ``(Y, X)``, 1..k; as painted where something is painted.
    """
    n, k = len(graph.sizes), len(opinion)
    touches = np.bincount(regions.ravel() * (k + 1) + painted.ravel(), minlength=n * (k + 1))
    touches = touches.reshape(n, k + 1)[:, 1:]
    held = np.where(touches.any(axis=1), touches.argmax(axis=1) + 1, 0)
    thought = np.stack([np.bincount(regions.ravel(), p.ravel(), n) for p in opinion], axis=1)
    ends = np.maximum(_walk(graph, held, thought), FLOOR).T[:, regions]
    best = (ends * np.maximum(opinion, FLOOR)).argmax(axis=0) + 1
    labels: np.ndarray = np.where(held[regions] > 0, held[regions], best).astype(np.uint16)
    shared = ((touches > 0).sum(axis=1) > 1)[regions]
    if shared.any():  # strokes of several classes meet in it, and cut it along its edges
        labels[shared] = watershed(edges, painted, mask=shared)[shared]
    said = painted > 0
    labels[said] = painted[said]
    return labels


def _walk(graph: RegionGraph, held: np.ndarray, thought: np.ndarray) -> np.ndarray:
    """Return ``(n, k)`` how likely a walker from each region ends at each class.

    With ``L`` the Laplacian of the graph, ``x`` is the solution of ``(L + t diag(size)) x = t
    thought`` where nothing is painted, and 1 at the class that is (Grady 2005, equation 11).

    Parameters
    ----------
    graph : RegionGraph
        The regions.
    held : numpy.ndarray
        ``(n,)`` the class that is painted on each, 0 = none.
    thought : numpy.ndarray
        ``(n, k)`` sum of the opinion over the pixels of each.
    """
    n, k = thought.shape
    result: np.ndarray = np.eye(k + 1)[held][:, 1:]
    free = held == 0
    if not free.any():
        return result
    a, b = graph.pairs.T
    ease = _ease(graph)
    joined = sparse.coo_array((np.r_[ease, ease], (np.r_[a, b], np.r_[b, a])), (n, n)).tocsr()
    held_back = TRUST * thought.sum(axis=1)
    matrix = sparse.diags_array(joined.sum(axis=1) + held_back) - joined
    known = TRUST * thought[free] + joined[free][:, ~free] @ result[~free]
    result[free] = splu(matrix.tocsc()[free][:, free].tocsc()).solve(known)
    return result


def _ease(graph: RegionGraph) -> np.ndarray:
    """Return ``(m,)`` how easily a walker crosses each border."""
    if not len(graph.pairs):
        return np.zeros(0)
    a, b = graph.pairs.T
    apart = np.linalg.norm(graph.features[a] - graph.features[b], axis=1)
    hindrance = graph.strengths / graph.lengths + apart
    usual = np.average(hindrance, weights=graph.lengths)
    scaled = hindrance / usual if usual > 0 else hindrance
    ease: np.ndarray = graph.lengths * np.exp(-STEEPNESS * scaled) + _LEAK
    return ease
