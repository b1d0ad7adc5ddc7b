"""Weights in the dock: fetched, imported, and licences accepted while everything else goes on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QFileDialog
from safetensors.numpy import save_file

from napari_regcon.engine import weights
from napari_regcon.worker.protocol import Configure, Preview

from .conftest import stroke

pytestmark = pytest.mark.gui

OFFICIAL = "universeg_v1_nf64_ss64_STA.pt"


@pytest.fixture
def give(tmp_path, monkeypatch):
    """Return a function that makes a file of weights, which the user then picks."""

    def make(name):
        file = tmp_path / name
        save_file({"layer.weight": np.ones((2, 3), np.float32)}, file)
        monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(file), ""))
        return file

    return make


@pytest.fixture
def regcon_em(folder, monkeypatch):
    """Let the registry know pre-trained features, and return where their file belongs."""
    entry = replace(
        weights.REGISTRY["universeg-v1"],
        name="regcon-em",
        method="pixel-head",
        research_only=False,
        file_name="regcon_em.safetensors",
    )
    monkeypatch.setitem(weights.REGISTRY, entry.name, entry)
    return folder / entry.file_name


START = ("pixel-head", "regcon-em")
"""What is chosen to begin with."""


def choose_features(widget, features):
    widget.panels.model._form._controls["features"].value = features


def listed(model):
    return [model._weights.itemData(i) for i in range(model._weights.count())]


def come_back():
    """Let the application be the one in front again."""
    QApplication.instance().applicationStateChanged.emit(Qt.ApplicationState.ApplicationActive)


def methods_told(widget):
    return [(c.method, c.weights) for c in widget.client.of(Configure)]


def test_weights_that_are_not_here_are_told_and_the_method_before_stays(dock, folder):
    widget = dock()
    widget.panels.model.choose("in-context", {"downscale": 4}, "universeg-v1", "auto")
    model = widget.panels.model
    assert "not on this computer" in model._weights.currentText()
    assert "Press Download… or Import file…" in model._missing.text()
    assert "method before stays" in model._missing.text()
    assert methods_told(widget) == [START]
    model.choose("pixel-head", {}, "", "auto")
    assert model._missing.text() == ""


def test_the_network_in_context_works_without_a_download(dock, folder):
    widget = dock()
    widget.panels.model.choose("in-context", {}, "", "auto")
    assert widget.panels.model._missing.text() == ""
    assert methods_told(widget)[-1] == ("in-context", "universeg-em-light")


def test_a_download_waits_for_the_licence(dock, folder, qtbot):
    widget = dock()
    model = widget.panels.model
    model.choose("in-context", {}, "universeg-v1", "auto")
    model._fetch.click()
    assert model.isExpanded()
    assert not model.licence.isHidden()
    assert "research only" in model.licence._text.text()
    assert "LICENSE-model" in model.licence._text.text()
    assert widget.state_line.kind != "busy"
    model.licence._no.click()
    assert model.licence.isHidden()
    assert widget.state_line.kind in ("idle", "off")
    model._fetch.click()
    with qtbot.waitSignal(widget.shop.failed, timeout=30_000):
        model.licence._yes.click()  # the tests are offline
    assert widget.state_line.kind == "failed"
    assert "weights import" in widget.state_line.text
    with qtbot.waitSignal(widget.shop.failed, timeout=30_000):
        model._fetch.click()
    assert model.licence.isHidden()  # asked once


def test_an_import_waits_for_the_licence_and_nothing_else_does(painted, folder, give, qtbot):
    give(OFFICIAL)
    model = painted.panels.model
    model.choose("in-context", {}, "universeg-v1", "auto")
    with qtbot.waitSignal(painted.shop.licence_asked, timeout=30_000):
        model._import.click()
    n_before = len(painted.client.of(Preview))
    stroke(painted, 2, [(2, 50, x) for x in range(5, 30)])
    qtbot.waitUntil(lambda: len(painted.client.of(Preview)) > n_before, timeout=30_000)
    assert not model.licence.isHidden()
    assert not (folder / OFFICIAL).exists()

    with qtbot.waitSignal(painted.shop.changed, timeout=30_000):
        model.licence._yes.click()
    assert (folder / OFFICIAL).exists()
    assert methods_told(painted)[-1] == ("in-context", "universeg-v1")
    assert model._missing.text() == ""
    assert not model._fetch.isEnabled()
    assert weights.licence_accepted(weights.find("universeg-v1"))


def test_nothing_is_imported_without_the_licence(dock, folder, give, qtbot):
    give(OFFICIAL)
    widget = dock()
    widget.panels.model.choose("in-context", {}, "universeg-v1", "auto")
    with qtbot.waitSignal(widget.shop.licence_asked, timeout=30_000):
        widget.panels.model._import.click()
    widget.panels.model.licence._no.click()
    assert list(folder.iterdir()) == []
    assert widget.state_line.kind in ("idle", "off")


def test_weights_that_lie_there_already_need_the_licence_too(dock, folder, give):
    give(OFFICIAL).rename(folder / OFFICIAL)
    widget = dock()
    model = widget.panels.model
    model.choose("in-context", {}, "universeg-v1", "auto")
    assert "licence is accepted" in model._missing.text()
    assert methods_told(widget) == [START]
    assert model._fetch.text() == "Licence…"
    model._fetch.click()
    model.licence._yes.click()
    assert methods_told(widget)[-1] == ("in-context", "universeg-v1")
    assert model._missing.text() == ""


def test_weights_of_ones_own_need_no_licence(dock, folder, give, qtbot):
    give("kidney.safetensors")
    widget = dock()
    widget.panels.model.choose("in-context", {}, "universeg-v1", "auto")
    with qtbot.waitSignal(widget.shop.changed, timeout=30_000):
        widget.panels.model._import.click()
    assert widget.panels.model.licence.isHidden()
    assert methods_told(widget)[-1] == ("in-context", "kidney")


def test_damaged_weights_are_explained(dock, folder, give, qtbot):
    give("mine.pt").write_bytes(b"nothing of use")
    widget = dock()
    with qtbot.waitSignal(widget.shop.failed, timeout=30_000):
        widget.panels.model._import.click()
    assert "mine.pt" in widget.state_line.text


def test_features_of_a_network_ask_for_its_weights(dock, folder, monkeypatch):
    monkeypatch.delitem(weights.REGISTRY, "regcon-em", raising=False)
    widget = dock()
    model = widget.panels.model
    choose_features(widget, "filters")
    assert model._weights_box.isHidden()
    choose_features(widget, "both")
    assert not model._weights_box.isHidden()
    assert "needs the weights of a pre-trained network" in model._missing.text()
    assert "Import file…" in model._missing.text()
    assert not model._fetch.isEnabled()
    assert methods_told(widget)[-1] == ("pixel-head", None)
    choose_features(widget, "filters")
    assert model._weights_box.isHidden()
    assert model._missing.text() == ""


def test_weights_of_the_method_are_taken_unless_others_are_picked(dock, regcon_em, give, qtbot):
    give("mine.safetensors")
    give("regcon_em.safetensors").rename(regcon_em)
    widget = dock()
    model = widget.panels.model
    choose_features(widget, "network")
    assert listed(model) == ["regcon-em"]
    assert methods_told(widget)[-1] == ("pixel-head", "regcon-em")
    give("mine.safetensors")
    with qtbot.waitSignal(widget.shop.changed, timeout=30_000):
        model._import.click()
    assert listed(model) == ["regcon-em", "mine"]
    assert methods_told(widget)[-1] == ("pixel-head", "mine")
    model._weights.setCurrentIndex(0)
    assert methods_told(widget)[-1] == ("pixel-head", "regcon-em")
    model.choose("in-context", {}, "", "auto")
    assert listed(model) == ["universeg-em-light", "universeg-v1", "mine"]
    assert model._weights.currentData() == "universeg-em-light"


def test_a_fine_tuned_network_is_a_file_of_ones_own(dock, folder, give, qtbot):
    give("mito.safetensors")
    widget = dock()
    model = widget.panels.model
    model.choose("fine-tuned", {}, "", "auto")
    assert not model._weights_box.isHidden()
    assert "napari-regcon finetune" in model._missing.text()
    assert methods_told(widget) == [START]
    with qtbot.waitSignal(widget.shop.changed, timeout=30_000):
        model._import.click()
    assert model._missing.text() == ""
    assert methods_told(widget)[-1] == ("fine-tuned", "mito")


def test_a_choice_with_weights_is_told_once_and_as_a_whole(dock, regcon_em, give):
    give("regcon_em.safetensors").rename(regcon_em)
    widget = dock()
    widget.panels.model.choose("pixel-head", {"features": "network", "seed": 3}, "regcon-em", "cpu")
    assert widget.client.of(Configure)[1:] == [
        Configure("cpu", "pixel-head", (("features", "network"), ("seed", 3)), "regcon-em")
    ]


def test_weights_that_are_removed_or_arrive_by_another_way_are_noticed(dock, folder, give):
    file = give(OFFICIAL).rename(folder / OFFICIAL)
    widget = dock()
    model = widget.panels.model
    model.choose("in-context", {}, "universeg-v1", "auto")
    assert model._fetch.text() == "Licence…"
    content = file.read_bytes()
    file.unlink()
    come_back()
    assert model._fetch.text() == "Download…"
    assert "not on this computer" in model._missing.text()

    weights.require_licence(weights.find("universeg-v1"), accept=True)
    file.write_bytes(content)
    come_back()
    come_back()
    assert not model._fetch.isEnabled()
    assert methods_told(widget) == [START, ("in-context", "universeg-v1")]
    file.unlink()
    come_back()
    assert model._fetch.isEnabled()


def test_a_file_removed_while_its_licence_is_read_is_fetched(dock, folder, give, qtbot):
    file = give(OFFICIAL).rename(folder / OFFICIAL)
    widget = dock()
    model = widget.panels.model
    model.choose("in-context", {}, "universeg-v1", "auto")
    model._fetch.click()
    file.unlink()
    with qtbot.waitSignal(widget.shop.failed, timeout=30_000):
        model.licence._yes.click()  # the tests are offline
    assert model._fetch.text() == "Download…"
