"""Where a napari user looks: menus, sample data, preferences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.settings import get_plugin_settings
from npe2 import PluginManifest

import napari_regcon
from napari_regcon._qt.image_panel import SAMPLE
from napari_regcon._qt.widget import RegconWidget
from napari_regcon.worker.protocol import UseCache

pytestmark = pytest.mark.gui


@pytest.fixture
def viewer(plugin_settings, npe2pm, make_napari_viewer):
    """Return a viewer in which this plugin is the only one."""
    file = Path(napari_regcon.__file__).with_name("napari.yaml")
    npe2pm.register(PluginManifest.from_file(file))
    return make_napari_viewer()


def entry(viewer, *path):
    """Return an entry of the window's menus, by how the words on the way to it begin."""
    menu = viewer.window._qt_window.menuBar()
    for words in path:
        if hasattr(menu, "aboutToShow"):
            menu.aboutToShow.emit()
        found = [a for a in menu.actions() if a.text().replace("&", "").startswith(words)]
        assert found, [a.text() for a in menu.actions()]
        menu = found[0].menu()
    return found[0]


def open_dock(viewer, *path):
    entry(viewer, *path).trigger()
    (dock,) = viewer.window._qt_window.findChildren(RegconWidget)
    return dock


@pytest.mark.parametrize("menu", [("Layers", "Segment"), ("Layers", "Annotate"), ("Plugins",)])
def test_the_dock_is_in_the_menus(viewer, menu):
    image = viewer.add_image(np.zeros((3, 20, 20)))
    dock = open_dock(viewer, *menu, "Regcon")
    assert dock.core.workspace.current.layer is image


def test_the_sample_is_in_the_menus_and_where_the_dock_says(viewer):
    dock = open_dock(viewer, "Plugins", "Regcon")
    assert f"File > Open Sample > {SAMPLE}" in dock.panels.image._about.text()
    entry(viewer, "File", "Open Sample", SAMPLE).trigger()
    work = dock.core.workspace.current
    assert work.layer in viewer.layers
    assert work.layer.ndim == 3
    assert "nm" in dock.panels.image._about.text()


def test_new_docks_follow_the_preferences(viewer):
    from napari._qt.dialogs.preferences_dialog import PreferencesDialog

    window = viewer.window._qt_window
    dialog = PreferencesDialog(parent=window)
    pages = [dialog._list.item(i).text() for i in range(dialog._list.count())]
    assert "Regcon" in pages
    dialog.close()
    dialog.deleteLater()
    chosen = get_plugin_settings("napari-regcon").general
    chosen.device, chosen.live = "cpu", False
    dock = open_dock(viewer, "Plugins", "Regcon")
    assert dock.panels.model.choice.device == "cpu"
    assert not dock.core.live.enabled


def test_preferences_for_cache_and_large_results_reach_new_docks(viewer, tmp_path):
    chosen = get_plugin_settings("napari-regcon").general
    chosen.cache_memory_gb, chosen.cache_disk_gb = 0.5, 3
    chosen.cache_folder = str(tmp_path / "fast")
    chosen.scratch_folder = f" {tmp_path} "
    dock = open_dock(viewer, "Plugins", "Regcon")
    assert dock.core.cache == UseCache(2**29, 3 * 2**30, tmp_path / "fast")
    assert str(tmp_path / "fast") in dock.panels.model._cache_hint.toolTip()
    assert dock.core.results._scratch.parent == tmp_path


def test_preferred_weights_are_taken_by_each_method_that_can_use_them(
    viewer, tmp_path, monkeypatch
):
    monkeypatch.setenv("NAPARI_REGCON_WEIGHTS_DIR", str(tmp_path))
    get_plugin_settings("napari-regcon").general.weights = "universeg-v1"
    dock = open_dock(viewer, "Plugins", "Regcon")
    model = dock.panels.model
    model.use_method("in-context")
    assert model.choice.weights == "universeg-v1"
    assert "universeg-v1" in model._missing.text()
    model.use_method("pixel-head")
    model._form._controls["features"].value = "both"
    assert model.choice.weights == "regcon-em"
    assert dock.state_line.kind != "failed"


def test_preferred_weights_that_are_not_there_are_told(viewer):
    get_plugin_settings("napari-regcon").general.weights = "regcon-me"
    dock = open_dock(viewer, "Plugins", "Regcon")
    assert "no weights called 'regcon-me'" in dock.state_line.text
    assert dock.panels.model.choice.weights in (None, "regcon-em")
