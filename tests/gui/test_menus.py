"""Where a napari user looks: menus, sample data, preferences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from npe2 import PluginManifest

import napari_regcon
from napari_regcon._qt.image_panel import SAMPLE
from napari_regcon._qt.widget import RegconWidget

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
    from napari.settings import get_plugin_settings

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
