from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_regcon.engine.segmenter import run
from napari_regcon.session.before import Before

volumes = arrays(np.uint8, (3, 4, 5), elements=st.integers(0, 3))
PLANES = [(z,) for z in range(3)]


def put(edit, labels, *, forward):
    for change in edit.changes:
        change.apply(labels, forward=forward)


@given(volumes, volumes)
def test_what_was_written_can_be_undone_and_done_again(start, written):
    before = Before()
    run(before.keep(start, PLANES))
    labels = written.copy()
    edit = run(before.edit("write", labels, PLANES, "prediction"))
    put(edit, labels, forward=False)
    assert np.array_equal(labels, start)
    put(edit, labels, forward=True)
    assert np.array_equal(labels, written)
    assert edit.target == "prediction"


def test_empty_planes_take_no_memory_and_need_not_be_kept():
    labels = np.zeros((3, 64, 64), np.uint8)
    before = Before()
    run(before.keep(labels, PLANES[:2]))
    assert before.nbytes == 0
    labels[2] = 1
    (change,) = run(before.edit("write", labels, PLANES, "prediction")).changes
    assert change.box.start == (2, 0, 0)
    assert change.nbytes < 100
