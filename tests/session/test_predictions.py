from __future__ import annotations

from napari_regcon.session.predictions import PredictionBook, planes_of
from napari_regcon.types import Box


def test_planes_that_hold_something_are_known_and_a_volume_is_forgotten():
    book = PredictionBook((6, 10, 10))
    book.preview_done((5,), generation=1)
    book.start_volume(resume=False)
    book.block_done(Box((0, 0, 0), (2, 10, 10)))
    assert book.planes() == [(5,), (0,), (1,)]
    assert book.done_planes() == [(0,), (1,)]
    assert book.can_resume
    book.forget_volume()
    assert book.planes() == [(5,)]
    assert not book.can_resume


def test_an_older_answer_never_replaces_a_newer_one():
    book = PredictionBook((6, 10, 10))
    book.preview_done((2,), generation=7)
    book.preview_done((2,), generation=5)
    assert not book.may_write((2,), generation=6)
    assert book.may_write((2,), generation=7)
    assert book.may_write((3,), generation=1)


def test_what_is_missing_is_said_and_done_parts_are_resumed():
    book = PredictionBook((6, 10, 10))
    assert not book.can_resume
    assert book.start_volume(resume=False) == ()
    assert book.describe_missing() == "All slices are missing."
    boxes = [Box((0, 0, 0), (2, 10, 10)), Box((3, 0, 0), (4, 10, 5)), Box((4, 0, 0), (5, 10, 10))]
    for box in boxes:
        book.block_done(box)
    assert book.describe_missing() == "3 of 6 slices are done. Missing: 2–3, 5."
    assert book.can_resume
    assert book.start_volume(resume=True) == tuple(boxes)
    book.block_done(Box((3, 0, 5), (4, 10, 10)))
    assert book.missing() == [(2,), (5,)]
    book.block_done(Box((2, 0, 0), (3, 10, 10)))
    book.block_done(Box((5, 0, 0), (6, 10, 10)))
    assert book.describe_missing() == ""
    assert not book.can_resume
    assert book.start_volume(resume=False) == ()
    assert len(book.missing()) == 6


def test_time_and_depth_and_single_images():
    book = PredictionBook((2, 3, 4, 4))
    book.start_volume(resume=False)
    book.block_done(Box((0, 1, 0, 0), (1, 3, 4, 4)))
    assert book.describe_missing() == "2 of 6 slices are done. Missing: 4."
    flat = PredictionBook((4, 4))
    flat.start_volume(resume=False)
    assert flat.missing() == [()]
    flat.block_done(Box((0, 0), (4, 4)))
    assert flat.missing() == []
    assert list(planes_of(Box((0, 0), (4, 4)))) == [()]
    assert list(planes_of(Box((1, 2, 0, 0), (2, 4, 4, 4)))) == [(1, 2), (1, 3)]


def test_a_book_knows_whether_anything_was_predicted():
    book = PredictionBook((6, 10, 10))
    assert book.is_empty
    book.preview_done((2,), 1)
    assert not book.is_empty
