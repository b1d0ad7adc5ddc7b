"""Pixels to write, and the check that they are read again."""

import numpy as np


def pixels(shape, dtype=np.uint8, seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(size=shape).astype(dtype)
    return rng.integers(0, 2 if np.dtype(dtype) == bool else 120, shape).astype(dtype)


def same(volume, expected, axes):
    """Check pixels and axes, and that the file is not loaded as a whole where it need not be."""
    assert volume.axes == axes
    assert tuple(volume.data.shape) == expected.shape
    np.testing.assert_array_equal(np.asarray(volume.data), expected)
