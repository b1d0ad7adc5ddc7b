"""Which method is recommended for what is painted."""

import numpy as np

from napari_regcon.session.advice import MANY, advise, count_parts
from napari_regcon.session.marks import CompleteMarks
from napari_regcon.session.painted import PaintedPlanes
from napari_regcon.types import Box


def test_what_is_recommended_goes_by_how_much_is_complete():
    assert advise(0, 0) is None
    strokes, one, some, many = advise(3, 0), advise(3, 1), advise(0, 4), advise(0, MANY)
    assert (strokes.method, "strokes" in strokes.why) == ("pixel-head", True)
    assert (one.method, "1 slice or box is complete" in one.why) == ("pixel-head", True)
    assert "in-context network" in some.why
    assert "4 slices or boxes are complete" in some.why
    assert (many.method, "section Train" in many.why) == ("fine-tuned", True)


def test_parts_of_all_images_are_counted():
    marks = CompleteMarks((4, 20, 30))
    painted = PaintedPlanes(marks)
    for z in (0, 2, 3):
        plane = np.zeros((20, 30), np.uint8)
        plane[3, 4:9] = 1
        painted.update((z,), plane)
    assert count_parts([(painted, marks)]) == (3, 0)
    marks.add_slice((2,))
    marks.add_box((3,), Box((0, 0), (5, 5)))
    assert count_parts([(painted, marks), (painted, marks)]) == (2, 4)
