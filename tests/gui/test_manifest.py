"""What napari learns from the manifest: the dock, the sample, the menus, the preferences."""

from __future__ import annotations

import pytest
from npe2 import PluginManager, PluginManifest

from napari_regcon._qt import preferences
from napari_regcon._qt.shortcuts import CLASS_KEYS, KEYS
from napari_regcon._qt.widget import RegconWidget

pytestmark = pytest.mark.gui


@pytest.fixture
def manifest():
    return PluginManifest.from_distribution("napari-regcon")


def test_every_command_can_be_run(manifest):
    for command in manifest.contributions.commands:
        module, name = command.python_name.split(":")
        assert callable(getattr(__import__(module, fromlist=[name]), name))
    places = manifest.contributions.menus
    assert {"napari/layers/segment", "napari/layers/annotate"} <= set(places)


def test_napari_opens_the_dock_by_its_name(make_napari_viewer, manifest, monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_REGCON_SESSIONS_DIR", str(tmp_path))
    manager = PluginManager.instance()
    if "napari-regcon" not in manager:
        manager.register(manifest)
    viewer = make_napari_viewer()
    _, widget = viewer.window.add_plugin_dock_widget("napari-regcon", "Regcon")
    assert isinstance(widget, RegconWidget)
    assert widget.viewer is viewer  # not napari's proxy, in which layers have no identity


def test_napari_opens_the_sample(make_napari_viewer, manifest):
    manager = PluginManager.instance()
    if "napari-regcon" not in manager:
        manager.register(manifest)
    viewer = make_napari_viewer()
    layers = viewer.open_sample("napari-regcon", "phantom_em")
    assert [layer.ndim for layer in layers] == [3, 3]
    assert str(layers[0].units[0]) == "nanometer"


def test_preferences_have_the_defaults_of_the_manifest(manifest):
    properties = manifest.contributions.configurations["general"].properties
    defaults = preferences.Preferences()
    assert properties["device"].default == defaults.device
    assert properties["weights"].default == defaults.weights
    assert properties["live"].default == defaults.live
    assert set(properties) == {"device", "weights", "live", "scratch_folder"}


def test_preferences_are_read(monkeypatch, tmp_path):
    class General:
        device = "cpu"
        weights = " mine "
        live = False
        scratch_folder = str(tmp_path)

    class Settings:
        general = General

    monkeypatch.setattr("napari.settings.get_plugin_settings", lambda _name: Settings)
    assert preferences.load_preferences() == preferences.Preferences(
        "cpu", "mine", live=False, scratch_folder=tmp_path
    )

    def missing(_name):
        raise KeyError

    monkeypatch.setattr("napari.settings.get_plugin_settings", missing)
    assert preferences.load_preferences() == preferences.Preferences()


def test_no_key_of_napari_is_taken():
    from napari.utils.shortcuts import default_shortcuts

    taken = {str(key).replace("Ctrl", "Control").replace("+", "-") for keys in
             default_shortcuts.values() for key in keys}  # fmt: skip
    assert not {*CLASS_KEYS, *KEYS.values()} & taken
