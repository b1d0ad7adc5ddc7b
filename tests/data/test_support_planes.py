"""Examples of one plane: a stroke costs one plane, and says the same as the whole volume."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_regcon.data.support import SupportSet
from napari_regcon.errors import InputError
from napari_regcon.types import Box, Volume

SHAPE = (3, 12, 10)
VOLUME = Volume(np.random.default_rng(0).random(SHAPE), "ZYX")


def normalization():
    support = SupportSet(("background", "a"))
    labels = np.ones(SHAPE, np.uint8)
    support.add(VOLUME, labels)
    return support.examples[0].normalization


NORMALIZATION = normalization()
spans = st.tuples(st.integers(-2, 12), st.integers(-2, 14))
boxes = st.builds(lambda y, x: Box((y[0], x[0]), (y[1], x[1])), spans, spans)


def said(examples):
    """Return what examples say as comparable values, whatever their order."""
    return sorted((e.box.start, e.box.stop, e.complete, e.labels.tobytes()) for e in examples)


@given(
    seed=st.integers(0, 1000),
    z=st.integers(0, 2),
    patch=st.tuples(st.integers(0, 11), st.integers(0, 9)),
    complete=st.lists(boxes, max_size=2),
)
def test_a_patch_says_the_same_as_the_whole_volume(seed, z, patch, complete):
    rng = np.random.default_rng(seed)
    plane = np.zeros(SHAPE[1:], np.uint8)
    inside = plane[patch[0] :, patch[1] :]
    inside[:] = rng.integers(0, 3, inside.shape) * (rng.random(inside.shape) < 0.3)
    classes = ("background", "a")
    support = SupportSet(classes)
    examples = support.plane_examples(
        VOLUME, NORMALIZATION, (z,), inside, origin=patch, complete=complete
    )
    assert not support.examples
    labels = np.zeros(SHAPE, np.uint8)
    labels[z] = plane
    lifted = [Box((z, *b.start), (z + 1, *b.stop)) for b in complete]
    if not examples:
        with pytest.raises(InputError, match="Nothing is painted"):
            support.add(VOLUME, labels, complete=lifted, normalization=NORMALIZATION)
        return
    support.add(VOLUME, labels, complete=lifted, normalization=NORMALIZATION)
    assert said(examples) == said(support.examples)
