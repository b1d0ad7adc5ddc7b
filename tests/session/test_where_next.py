from __future__ import annotations

import numpy as np

from napari_regcon.session.painted import EMPTY, crop
from napari_regcon.session.where_next import best_place, candidates, slices_away


def test_the_most_uncertain_place_is_found():
    unsure = np.zeros((600, 800), dtype=np.uint8)
    unsure[400:440, 600:640] = 255
    unsure[50:60, 50:60] = 255
    place = best_place((3,), unsure, EMPTY, 4)
    assert 390 < place.y < 450
    assert 590 < place.x < 650
    assert "slice 3" in place.reason()
    assert "4 slices from the nearest strokes" in place.reason()


def test_places_near_strokes_count_less():
    unsure = np.zeros((200, 200), dtype=np.uint8)
    unsure[20:40, 20:40] = 255
    unsure[150:170, 150:170] = 230
    strokes = np.zeros_like(unsure)
    strokes[25:35, 25:35] = 1
    assert best_place((), unsure, EMPTY, None).y < 100
    place = best_place((), unsure, crop(strokes), None)
    assert place.y > 100
    assert "this place" in place.reason()


def test_slices_far_from_painted_ones_count_more():
    unsure = np.full((50, 50), 200, dtype=np.uint8)
    near, far = (best_place((z,), unsure, EMPTY, z) for z in (1, 9))
    assert far.score > near.score


def test_slices_to_look_at_are_spread_and_unpainted():
    painted = [(0, 3), (0, 4)]
    picks = candidates((2, 20), (0, 7), painted, 5)
    assert picks == [(0, 0), (0, 6), (0, 10), (0, 15), (0, 19)]
    assert candidates((), (), [], 5) == [()]
    assert candidates((2,), (0,), [(0,), (1,)], 5) == [(0,), (1,)]
    assert slices_away((0, 9), painted) == 5
    assert slices_away((1, 9), painted) is None
    assert slices_away((), painted) is None
