"""Parts of a prediction add up to the whole, in whatever order they are asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_regcon.data.normalize import Normalization
from napari_regcon.data.views import ImageView
from napari_regcon.engine.segmenter import Segmenter, run
from napari_regcon.types import Box, Volume

IMAGE = np.random.default_rng(0).integers(0, 256, (30, 26)).astype(np.uint8)
VIEW = ImageView(Volume(IMAGE, "YX"), Normalization((0.0,), (255.0,)), (), 2)


@given(
    corner=st.tuples(st.integers(0, 20), st.integers(0, 20)),
    size=st.tuples(st.integers(1, 10), st.integers(1, 6)),
    order=st.randoms(use_true_random=False),
    blended=st.booleans(),
)
def test_parts_in_any_order_add_up_to_the_box(
    make_exact, make_blended, corner, size, order, blended
):
    predictor = (make_blended if blended else make_exact)()
    box = Box(corner, (corner[0] + size[0], corner[1] + size[1]))
    tiles = list(predictor.grid(VIEW.shape).touching(box))
    order.shuffle(tiles)
    drawn = np.full((2, *IMAGE.shape), np.nan, np.float32)
    for part, values in predictor.predict_parts(VIEW, box, tiles):
        assert part.intersect(box) == part
        drawn[:, *part.slices] = values
    whole = run(predictor.predict_box(VIEW, box))
    np.testing.assert_allclose(drawn[:, *box.slices], whole, atol=1e-6)
    assert np.isnan(drawn).sum() == drawn.size - 2 * box.size
    assert len(predictor.tiles) == 2 * len(tiles)


@pytest.mark.parametrize("kind", ["make_exact", "make_blended"])
def test_every_part_is_a_probability_when_it_is_shown(kind, request):
    predictor = request.getfixturevalue(kind)()
    tiles = predictor.grid(VIEW.shape).tiles()
    for _, values in predictor.predict_parts(VIEW, VIEW.box, tiles):
        np.testing.assert_allclose(values.sum(0), 1, atol=1e-5)


def test_a_fit_without_steps_of_its_own_can_be_stepped():
    class Plain(Segmenter):
        def fit(self, support):
            return f"fitted on {support}"

    assert run(Plain().fit_in_steps("strokes")) == "fitted on strokes"
