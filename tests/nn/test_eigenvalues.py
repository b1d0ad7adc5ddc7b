"""Closed-form eigenvalues against a library's general solver."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_regcon.nn.eigenvalues import symmetric_eigenvalues


def reference(entries, n):
    matrix = np.zeros((*entries[0].shape, n, n))
    for value, (i, j) in zip(entries, zip(*np.triu_indices(n), strict=True), strict=True):
        matrix[..., i, j] = matrix[..., j, i] = value
    return np.linalg.eigvalsh(matrix)[..., ::-1]


@pytest.mark.parametrize("n", [2, 3])
@given(data=st.data())
def test_agrees_with_a_general_solver(n, data):
    n_entries = n * (n + 1) // 2
    values = st.floats(-10, 10, width=32)
    entries = data.draw(hnp.arrays(np.float32, (n_entries, 5), elements=values))
    found = symmetric_eigenvalues([torch.from_numpy(e.copy()) for e in entries])
    expected = reference(entries, n)
    scale = max(1e-3, np.abs(entries).max())
    np.testing.assert_allclose(torch.stack(found, -1), expected, atol=3e-6 * scale)


@pytest.mark.parametrize("diagonal", [(0, 0, 0), (1, 1, 1), (2, 2, -1), (-1e-20, 1e-20, 0)])
def test_equal_eigenvalues_are_no_trouble(diagonal):
    xx, yy, zz = (torch.tensor([float(d)]) for d in diagonal)
    off = torch.zeros(1)
    found = torch.cat(symmetric_eigenvalues([xx, off, off, yy, off, zz]))
    np.testing.assert_allclose(found, sorted(diagonal, reverse=True), atol=1e-6)


def test_nearly_equal_eigenvalues_keep_their_digits():
    # A rotated diag(1, 1 + 1e-5, 3); the naive float32 formula is wrong by 1e-4 here.
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    matrix = rotation @ np.diag([1, 1 + 1e-5, 3]) @ rotation.T
    entries = [torch.tensor([v], dtype=torch.float32) for v in matrix[np.triu_indices(3)]]
    found = torch.cat(symmetric_eigenvalues(entries))
    np.testing.assert_allclose(found, [3, 1 + 1e-5, 1], atol=2e-6)
