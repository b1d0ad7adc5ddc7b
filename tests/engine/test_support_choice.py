"""Which examples are chosen for an image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_regcon.engine.device import choose_device
from napari_regcon.engine.support_choice import Looks, nearest


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(1, 12), share=st.floats(0, 1))
def test_the_nearest_are_chosen_and_most_of_them_show_the_class(seed, n, share):
    rng = np.random.default_rng(seed)
    looks, query = rng.normal(size=(10, 4)), rng.normal(size=4)
    shows = rng.random(10) < share
    chosen = nearest(looks, shows, query, n)
    assert len(set(chosen)) == len(chosen) == min(n, 10)
    assert shows[chosen].sum() >= min(shows.sum(), np.ceil(0.75 * n))
    likeness = looks @ query
    for kind in (True, False):  # of each kind, none that was left out is nearer
        inside = [likeness[i] for i in range(10) if shows[i] == kind and i in chosen]
        outside = [likeness[i] for i in range(10) if shows[i] == kind and i not in chosen]
        assert not inside or not outside or min(inside) >= max(outside)


@pytest.fixture(scope="module")
def looks():
    return Looks(choose_device("cpu"))


def test_what_looks_alike_is_near_and_it_is_remembered(looks):
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64] / 64

    def stripes(period):
        image = 0.5 + 0.4 * np.sin(2 * np.pi * x / period + rng.uniform(0, 6))
        return (image + rng.normal(0, 0.02, y.shape)).clip(0, 1).astype(np.float32)

    fine, also_fine, coarse = stripes(0.1), stripes(0.1), stripes(0.8)
    one, two, other = map(looks.of, (fine, also_fine, coarse))
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-4)
    assert one @ two > one @ other
    assert looks.of(fine.copy()) is one
