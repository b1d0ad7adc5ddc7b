"""The guided filter against a slow transcription, and what it is for."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_regcon.nn.guided import FLATNESS, STEP, guided_filter, reach


def transcribed(values, guide, radius):
    """Equations 5, 6 and 8 of He, Sun and Tang 2013, windows being squares of lattice cells."""
    height, width = guide.shape
    n_rows, n_columns = -(-height // STEP), -(-width // STEP)

    def cells(y, x):
        for j in range(max(0, y - radius), min(n_rows, y + radius + 1)):
            for i in range(max(0, x - radius), min(n_columns, x + radius + 1)):
                yield j, i

    def mean_of_cell(plane, j, i):
        return plane[STEP * j : STEP * (j + 1), STEP * i : STEP * (i + 1)].mean()

    def mean_in_window(plane, y, x):
        return np.mean([mean_of_cell(plane, j, i) for j, i in cells(y, x)])

    result = np.empty_like(values)
    for k, plane in enumerate(values):
        slope, offset = np.empty((2, n_rows, n_columns))
        for y, x in np.ndindex(n_rows, n_columns):
            grey, mean = mean_in_window(guide, y, x), mean_in_window(plane, y, x)
            together = mean_in_window(plane * guide, y, x) - grey * mean
            spread = mean_in_window(guide**2, y, x) - grey**2
            slope[y, x] = together / (spread + FLATNESS)
            offset[y, x] = mean - slope[y, x] * grey
        lines = np.empty((2, n_rows, n_columns))
        for y, x in np.ndindex(n_rows, n_columns):
            lines[0, y, x] = np.mean([slope[c] for c in cells(y, x)])
            lines[1, y, x] = np.mean([offset[c] for c in cells(y, x)])
        for y, x in np.ndindex(height, width):
            place = [(y + 0.5) / STEP - 0.5, (x + 0.5) / STEP - 0.5]
            a, b = (between(line, *place) for line in lines)
            result[k, y, x] = a * guide[y, x] + b
    return result


def between(lattice, y, x):
    """Interpolate linearly; beyond the outermost points all is as on them."""
    y, x = (min(max(v, 0), n - 1) for v, n in zip((y, x), lattice.shape, strict=True))
    j, i = int(y), int(x)
    below, right = min(j + 1, lattice.shape[0] - 1), min(i + 1, lattice.shape[1] - 1)
    top = lattice[j, i] * (1 - (x - i)) + lattice[j, right] * (x - i)
    bottom = lattice[below, i] * (1 - (x - i)) + lattice[below, right] * (x - i)
    return top * (1 - (y - j)) + bottom * (y - j)


def run(values, guide, radius):
    planes = torch.from_numpy(values.astype(np.float32))
    return guided_filter(planes, torch.from_numpy(guide.astype(np.float32)), radius).numpy()


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 13), st.integers(1, 13), st.integers(0, 3), st.integers(0, 99)
)
def test_it_is_the_transcribed_one(n, height, width, radius, seed):
    rng = np.random.default_rng(seed)
    values, guide = rng.random((n, height, width)), rng.random((height, width))
    found = run(values, guide, radius)
    np.testing.assert_allclose(found, transcribed(values, guide, radius), atol=2e-4)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 15), st.integers(16, 60), st.integers(0, 3), st.sampled_from([40, 99, 130, 301])
)
def test_a_part_is_as_the_whole_but_for_its_reach(start, stop, radius, width):
    rng = np.random.default_rng(0)
    values, guide = rng.random((2, 60, width)), rng.random((60, width))
    whole = run(values, guide, radius)[:, start:stop]
    first = max(0, start - reach(radius))
    first -= first % STEP
    last = min(60, stop + reach(radius))
    part = run(values[:, first:last], guide[first:last], radius)
    np.testing.assert_array_equal(part[:, start - first : stop - first], whole)


def test_edges_of_the_image_stay_and_noise_goes():
    rng = np.random.default_rng(1)
    truth = np.zeros((64, 64))
    truth[:, 30:] = 1
    noisy = (truth + rng.normal(0, 0.5, truth.shape))[None]
    found = run(noisy, truth, 1)[0]
    assert np.abs(found - truth).mean() < 0.3 * np.abs(noisy[0] - truth).mean()
    assert found[:, 30].mean() - found[:, 29].mean() > 0.7


def test_sums_stay_what_they_are():
    rng = np.random.default_rng(2)
    shares = rng.dirichlet(np.ones(4), (30, 31)).transpose(2, 0, 1)
    np.testing.assert_allclose(run(shares, rng.random((30, 31)), 2).sum(0), 1, atol=1e-5)
