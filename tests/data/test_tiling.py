"""Tile grids and blending, for any size and tile."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_regcon.data.tiling import TileGrid, blend_weights
from napari_regcon.types import Box


@st.composite
def lines(draw):
    """Length of the view, of the tile, and the overlap, along one axis."""
    tile = draw(st.integers(1, 24))
    return draw(st.integers(1, 60)), tile, draw(st.integers(0, tile - 1))


@st.composite
def grids(draw, max_ndim=3):
    axes = draw(st.lists(lines(), min_size=1, max_size=max_ndim))
    while len(list(itertools.product(*(range(-(-n // (t - o))) for n, t, o in axes)))) > 400:
        axes.pop()
    axes = axes or [(7, 3, 1)]
    return TileGrid(*(tuple(values) for values in zip(*axes, strict=True)))


@st.composite
def grids_and_boxes(draw):
    grid = draw(grids())
    corners = [
        sorted(draw(st.lists(st.integers(0, n), min_size=2, max_size=2))) for n in grid.shape
    ]
    return grid, Box(tuple(a for a, _ in corners), tuple(b for _, b in corners))


@given(grids())
def test_tiles_lie_inside_and_cover_every_pixel(grid):
    covered = np.zeros(grid.shape, int)
    tiles = list(grid.tiles())
    for tile in tiles:
        assert tile.size
        assert tile.intersect(Box.of_shape(grid.shape)) == tile
        covered[tile.slices] += 1
    assert covered.min() == 1 or any(grid.overlap)
    assert covered.min() >= 1
    assert len(tiles) == len(set(tiles)) == grid.n_tiles


@given(grids())
def test_axes_without_overlap_are_partitioned_and_others_have_equal_tiles(grid):
    for axis, overlap in enumerate(grid.overlap):
        spans = sorted({(t.start[axis], t.stop[axis]) for t in grid.tiles()})
        assert len({b - a for a, b in spans}) == 1 or not overlap
        assert spans[0][0] == 0
        assert spans[-1][1] == grid.shape[axis]
        for (_, before), (after, _) in itertools.pairwise(spans):
            assert before - after >= overlap if overlap else before == after


@given(grids_and_boxes())
def test_touching_is_what_brute_force_finds(grid_and_box):
    grid, box = grid_and_box
    expected = [tile for tile in grid.tiles() if tile.intersect(box).size]
    assert list(grid.touching(box)) == expected


@given(grids(), st.floats(-1e6, 1e6, width=32, allow_subnormal=False))
def test_blending_reproduces_a_constant(grid, constant):
    total = np.zeros(grid.shape, np.float32)
    weight = np.zeros(grid.shape, np.float32)
    for tile in grid.tiles():
        window = blend_weights(grid, tile)
        assert window.shape == tile.shape
        assert window.dtype == np.float32
        assert window.min() > 0
        assert window.max() <= 1
        total[tile.slices] += np.float32(constant) * window
        weight[tile.slices] += window
    np.testing.assert_allclose(total / weight, constant, rtol=1e-6)


@given(grids())
def test_one_is_reproduced_to_the_last_bit(grid):
    total, weight = np.zeros(grid.shape, np.float32), np.zeros(grid.shape, np.float32)
    for tile in grid.tiles():
        total[tile.slices] += np.ones(tile.shape, np.float32) * blend_weights(grid, tile)
        weight[tile.slices] += blend_weights(grid, tile)
    assert (total / weight == 1).all()


def test_without_overlap_every_weight_is_one():
    grid = TileGrid((10, 23), (4, 8), (0, 0))
    assert all((blend_weights(grid, tile) == 1).all() for tile in grid.tiles())


def test_neighbours_add_up_to_one_and_the_seam_is_smooth():
    grid = TileGrid((56,), (32,), (8,))
    tiles = list(grid.tiles())
    assert tiles == [Box((0,), (32,)), Box((24,), (56,))]
    left, right = (blend_weights(grid, tile) for tile in tiles)
    np.testing.assert_allclose(left[24:] + right[:8], 1, atol=1e-6)
    assert left[0] == right[-1] == 1  # no fading at the border of the view
    assert np.abs(np.diff(left)).max() < 0.25
    assert (np.diff(left[24:]) < 0).all()


def test_a_tile_larger_than_the_view_is_the_view():
    grid = TileGrid((5, 100), (128, 64), (32, 32))
    assert [t.shape for t in grid.tiles()] == [(5, 64), (5, 64), (5, 64)]
    assert list(TileGrid((5,), (5,), (4,)).tiles()) == [Box((0,), (5,))]


def test_a_large_grid_answers_at_once():
    grid = TileGrid((10**6, 10**6), (64, 64), (32, 32))
    assert len(list(grid.touching(Box((500_000, 3), (500_010, 5))))) in (1, 2)
    assert grid.n_tiles == 31249**2


@pytest.mark.parametrize(
    "arguments", [((4,), (0,), (0,)), ((4,), (3,), (3,)), ((4,), (3,), (-1,)), ((4, 4), (3,), (0,))]
)
def test_impossible_grids_are_refused(arguments):
    with pytest.raises(ValueError, match=r"overlap < tile|different numbers"):
        TileGrid(*arguments)


def test_an_empty_view_has_no_tiles():
    grid = TileGrid((0, 5), (4, 4), (0, 2))
    assert grid.n_tiles == 0
    assert list(grid.tiles()) == []


@given(st.lists(st.tuples(*[st.integers(-5, 5)] * 4), min_size=1, max_size=4))
def test_the_box_around_some_is_the_smallest_that_holds_them(corners):
    boxes = [Box((y, x), (y + 1 + abs(h), x + 1 + abs(w))) for y, x, h, w in corners]
    around = boxes[0].around(*boxes[1:])
    assert all(box.intersect(around) == box for box in boxes)
    for axis in (0, 1):
        assert around.start[axis] in {box.start[axis] for box in boxes}
        assert around.stop[axis] in {box.stop[axis] for box in boxes}
