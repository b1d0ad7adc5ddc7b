import numpy as np
import pytest

from napari_regcon.data.overview import ClassKey, SliceViews, render_overview

RED, GREEN = "#ff0000", "#00ff00"
KEYS = (ClassKey("background", GREEN, filled=False), ClassKey("object", RED, "Dice 0.9"))


def views(shape=(40, 60), strokes=0, predicted=1, truth=2):
    image = np.tile(np.arange(shape[1], dtype=np.uint8), (shape[0], 1))
    labels = [np.full(shape, value, np.uint8) for value in (strokes, predicted, truth)]
    return SliceViews("slice 1", image, *labels)


def panel(sheet, column, panel_px=100, shape=(40, 60)):
    """Return the colours in the middle of a column of the first row."""
    x = 24 + column * (panel_px + 10)
    height = round(panel_px * shape[0] / shape[1])
    middle = np.asarray(sheet)[128 + height // 2, x + 2 : x + panel_px - 2]
    return middle.astype(int)


def test_each_column_shows_what_it_says():
    row = views(strokes=1, predicted=1, truth=2)
    sheet = render_overview([row], KEYS, title="A title", panel_px=100)
    image, strokes, predicted, truth = (panel(sheet, i) for i in range(4))
    assert np.ptp(image, axis=1).max() == 0  # grey
    assert (strokes == (0, 255, 0)).all()  # strokes are opaque, of the background too
    assert np.array_equal(predicted, image)  # the background is not filled
    assert (truth[:, 0] > truth[:, 1] + 100).all()  # the object is tinted, and
    assert np.ptp(truth[:, 1]) > 50  # the image shines through


def test_the_image_is_stretched_to_the_whole_grey_scale():
    sheet = render_overview([views()], KEYS, title="", panel_px=100)
    grey = panel(sheet, 0)[:, 0]
    assert grey.min() < 20
    assert grey.max() > 235


@pytest.mark.parametrize("value", [7, np.nextafter(1, 2)])
def test_a_constant_image_is_no_problem(value):
    row = views()
    flat = SliceViews("flat", np.full((40, 60), value), row.strokes, row.predicted, row.truth)
    assert render_overview([flat], KEYS, title="", panel_px=100).mode == "RGB"


def test_the_sheet_grows_with_rows_and_keeps_the_shape_of_the_slices():
    one, two = (render_overview([views()] * n, KEYS, title="", panel_px=90) for n in (1, 2))
    assert two.width == one.width
    assert two.height - one.height == 60 + 34


def test_slices_without_strokes_say_so_and_a_scale_bar_is_drawn_on_request():
    def picture(strokes, pixel_nm=None):
        row = views(strokes=strokes)
        return np.asarray(
            render_overview([row], KEYS, title="", panel_px=200, pixel_nm=pixel_nm), int
        )

    plain, marked = picture(0), picture(0, pixel_nm=8.0)
    first = (slice(128, 128 + 133), slice(24, 224))
    second = (slice(128, 128 + 133), slice(234, 434))
    assert (plain[first] != marked[first]).any()
    assert np.array_equal(plain[second], marked[second])
    assert (plain[second] != plain[first]).any()  # the note
    assert (picture(1)[second] == (0, 255, 0)).all()  # no note


def test_the_legend_names_the_colours():
    sheet = np.asarray(render_overview([views()], KEYS, title="", panel_px=100))
    below = sheet[-60:]
    for color in ((255, 0, 0), (0, 255, 0)):
        assert (below == color).all(-1).sum() > 200
