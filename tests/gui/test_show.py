import numpy as np
import pytest
from napari.components import ViewerModel

from napari_regcon._qt.show import add_demo
from napari_regcon.data.export import save_labels
from napari_regcon.types import Volume

SCALE = (30.0, 8.0, 8.0)


@pytest.fixture
def folder(tmp_path):
    """A demo folder with a small image and labels."""
    values = np.random.default_rng(0).integers(0, 4, (8, 20, 24)).astype(np.uint8)
    volume = Volume(values, "ZYX", SCALE, ("nanometer",) * 3)
    for name in ("image", "truth", "result", "strokes"):
        save_labels(tmp_path / f"{name}.tif", values, volume)
    return tmp_path, values


def test_a_demo_folder_becomes_layers_in_the_same_place(folder):
    path, values = folder
    viewer = ViewerModel()
    add_demo(viewer, path)
    assert [layer.name for layer in viewer.layers] == ["image", "truth", "result", "strokes"]
    for layer in viewer.layers:
        assert np.array_equal(layer.data, values)
        assert np.allclose(layer.scale, SCALE)
        assert [str(u) for u in layer.units] == ["nanometer"] * 3
    assert [layer.visible for layer in viewer.layers] == [True, False, True, True]
    assert viewer.dims.current_step[0] == 2


def test_the_background_is_clear_in_the_result_and_painted_in_the_strokes(folder):
    path, _ = folder
    viewer = ViewerModel()
    add_demo(viewer, path)
    assert viewer.layers["result"].get_color(1)[3] == 0
    assert viewer.layers["result"].get_color(2)[3] == 1
    assert viewer.layers["strokes"].get_color(1)[3] == 1
