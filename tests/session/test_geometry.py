from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from napari_regcon.errors import InputError
from napari_regcon.session.geometry import Geometry, guess_axes


@pytest.mark.parametrize(
    ("shape", "names", "letters"),
    [
        ((50, 60), (), "YX"),
        ((9, 50, 60), ("axis -3", "axis -2", "axis -1"), "ZYX"),
        ((9, 50, 60), ("c", "y", "x"), "CYX"),
        ((9, 50, 60), ("Time", "Row", "Columns"), "TYX"),
        ((9, 20, 50, 60), (), "TZYX"),
        ((9, 3, 50, 60), (), "ZCYX"),
        ((9, 30, 2, 50, 60), (), "TZCYX"),
        ((9, 2, 30, 50, 60), (), "TCZYX"),
        ((50, 60, 9), ("y", "x", "z"), "YXZ"),
        ((9, 50, 60), ("z", "z", "x"), "ZYX"),
    ],
)
def test_axes_follow_names_then_shapes(shape, names, letters):
    assert guess_axes(shape, names) == letters


@pytest.mark.parametrize("shape", [(5,), (2, 2, 2, 2, 5, 5)])
def test_too_few_or_many_axes_are_refused(shape):
    with pytest.raises(InputError, match="2 to 5"):
        guess_axes(shape)


def test_channels_become_one_pixel_of_a_label_layer():
    geometry = Geometry("ZCYX", (5, 3, 20, 30))
    assert geometry.axes == "ZYXC"
    assert geometry.label_shape == (5, 20, 30)
    assert geometry.layer_shape == (5, 1, 20, 30)
    assert geometry.plane_sliders == (2, 3)
    layer = np.zeros(geometry.layer_shape, dtype=np.uint8)
    labels = geometry.label_array(layer)
    assert labels.shape == (5, 20, 30)
    labels[2, 3, 4] = 7
    assert layer[2, 0, 3, 4] == 7
    assert geometry.slider_index((2,), 3, 4) == (2, 0, 3, 4)
    assert geometry.prefix_at((2.3, 2.0, 0.0, 0.0)) == (2,)
    assert geometry.prefix_at((-4.0, 2.0, 0.0, 0.0)) == (0,)
    assert geometry.prefix_at((99.0, 2.0, 0.0, 0.0)) == (4,)


def test_unusual_orders_are_transposed():
    geometry = Geometry("YXZ", (20, 30, 5))
    image = np.arange(20 * 30 * 5).reshape(20, 30, 5)
    assert np.array_equal(geometry.image_array(image)[3], image[:, :, 3])
    labels = np.zeros(geometry.layer_shape, dtype=np.uint8)
    geometry.label_array(labels)[4, 1, 2] = 1
    assert labels[1, 2, 4] == 1
    assert geometry.slider_index((4,), 1, 2) == (1, 2, 4)
    with pytest.raises(InputError, match="unusual"):
        geometry.label_array(da.zeros(geometry.layer_shape, dtype=np.uint8))


def test_colours_are_channels():
    geometry = Geometry("YX", (20, 30), rgb=True)
    assert geometry.axes == "YXC"
    image = np.zeros((20, 30, 3))
    assert geometry.image_array(image) is image
    assert geometry.label_shape == geometry.layer_shape == (20, 30)
    with pytest.raises(InputError, match="colours and a channel"):
        Geometry("CYX", (2, 20, 30), rgb=True)


def test_plain_arrays_pass_through_and_lazy_ones_stay_lazy():
    geometry = Geometry("ZYX", (5, 20, 30))
    lazy = da.zeros((5, 20, 30))
    assert geometry.image_array(lazy) is lazy
    swapped = Geometry("CYX", (2, 20, 30)).image_array(da.zeros((2, 20, 30)))
    assert isinstance(swapped, da.Array)
    assert swapped.shape == (20, 30, 2)


def test_foreign_labels_are_refused():
    with pytest.raises(InputError, match="needs"):
        Geometry("ZYX", (5, 20, 30)).label_array(np.zeros((5, 20, 31), dtype=int))
    with pytest.raises(InputError, match="do not fit"):
        Geometry("ZYX", (20, 31))
