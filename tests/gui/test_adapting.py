"""Adapting features from the dock: started, followed, and its result used or thrown away."""

from __future__ import annotations

import numpy as np
import pytest

from napari_regcon.engine import weights
from napari_regcon.engine.embedding import save_network
from napari_regcon.engine.pretrain_events import PretrainLook, PretrainStep
from napari_regcon.nn.regcon import RegConNet
from napari_regcon.worker.protocol import (
    AdaptFeatures,
    Configure,
    FinishTraining,
    JobDone,
    PauseTraining,
    TrainingEvent,
    TrainingWritten,
)

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("folder")]


@pytest.fixture
def adapting(dock, qtbot):
    """Return a dock in which the user has just pressed Adapt; nothing is painted."""
    widget = dock()
    widget.panels.train.expand(animate=False)
    widget.panels.adapt.expand(animate=False)
    widget.panels.adapt._train.click()
    qtbot.waitUntil(lambda: widget.client.of(AdaptFeatures) != [], timeout=30_000)
    return widget


def say(widget, qtbot, event):
    """Let the engine say something, and wait until the window has heard it."""
    with qtbot.waitSignal(widget.core.link.event, timeout=30_000):
        widget.client.say(event)


def generation(widget):
    return widget.client.last(AdaptFeatures).generation


def finish(widget, qtbot):
    """Write the file that the engine was asked for, and say so."""
    request = widget.client.last(AdaptFeatures)
    sizes = {"embedding": 4, "regions": 4, "width": 4, "levels": 2}
    save_network(RegConNet(**sizes), request.out, sizes)
    with qtbot.waitSignal(widget.core.adapting.made, timeout=30_000):
        widget.client.say(TrainingWritten(request.generation, request.out, 40, None))
        widget.client.say(JobDone(request.generation, cancelled=False, elapsed_s=60.0))
    (name,) = [e.name for e in weights.entries() if e.name.startswith("adapted-cells-")]
    return name


def test_it_begins_with_what_ships_as_the_recipe_says_and_needs_no_labels(adapting):
    request = adapting.client.last(AdaptFeatures)
    assert request.start == "regcon-em"
    assert request.config.minutes == 10
    assert request.config.episodes_per_step == 2
    assert "Adapting" in adapting.state_line.text
    assert "being adapted" in adapting.panels.train._train.toolTip()
    adapting.panels.adapt._pause.click()
    assert adapting.client.last(PauseTraining) == PauseTraining(request.generation, True)
    assert "waits" in adapting.state_line.text
    adapting.panels.adapt._finish.click()
    assert adapting.client.last(FinishTraining).training == request.generation


def test_losses_rank_and_regions_are_shown_as_they_come(adapting, qtbot):
    panel, number = adapting.panels.adapt, generation(adapting)
    say(adapting, qtbot, TrainingEvent(number, PretrainStep(1, 0.1, {"semantic": 4.0}, 30.0)))
    say(adapting, qtbot, TrainingEvent(number, PretrainStep(2, 0.2, {"semantic": 2.0}, 60.0)))
    assert panel._bar.format().startswith("20 %")
    (_, first), (_, second) = panel._curves.points("region contrast")
    assert (first, second) == (1, pytest.approx(0.95))
    grey, regions = np.full((192, 192), 128, np.uint8), np.zeros((192, 192), np.uint8)
    say(adapting, qtbot, TrainingEvent(number, PretrainLook(2, 32, 8, 8.0)))
    assert panel._picture.isHidden()
    look = PretrainLook(2, 32, 8, 8.0, 6.0, grey, regions)
    say(adapting, qtbot, TrainingEvent(number, look))
    assert panel._curves.points("features that differ")[-1] == (2, 0.25)
    assert panel._curves.points("regions that differ") == [(2, 0.75)]
    assert panel._picture.pixmap().width() == 192
    assert "6.0 of 8 regions" in panel._state.text()


def test_the_result_can_be_chosen_at_once_and_is_used_when_wanted(adapting, folder, qtbot):
    before = adapting.client.last(Configure)
    name = finish(adapting, qtbot)
    assert (folder / f"{name}.safetensors").exists()
    assert adapting.client.last(Configure) is before  # nothing changes by itself
    panel = adapting.panels.adapt
    assert not panel._discard.isHidden()
    panel._use.click()
    told = adapting.client.last(Configure)
    assert (told.method, told.weights) == ("pixel-head", name)
    assert dict(told.parameters).get("features", "both") == "both"
    assert panel._discard.isHidden()


def test_the_result_can_be_thrown_away(adapting, folder, qtbot):
    finish(adapting, qtbot)
    adapting.panels.adapt._discard.click()
    assert not list(folder.glob("*.safetensors"))
    assert not [e for e in weights.entries() if e.name.startswith("adapted-")]
    assert "deleted" in adapting.panels.adapt._note.text()
    assert adapting.panels.adapt._use.isHidden()


def test_a_real_adaptation_in_a_real_dock(dock, qtbot):
    blocks = np.random.default_rng(0).integers(0, 200, (2, 6, 8)).repeat(16, 1).repeat(16, 2)
    widget = dock(blocks.astype(np.uint8), real=True)
    panel = widget.panels.adapt
    panel._form.set_values({"steps": 2, "episodes_per_step": 1, "views_per_step": 1})
    with qtbot.waitSignal(widget.core.adapting.made, timeout=60_000):
        panel._train.click()
    qtbot.waitUntil(lambda: not widget.core.adapting.running, timeout=30_000)
    assert len(panel._curves.points("small tasks")) == 2
    assert panel._picture.pixmap().width() == 192
    assert widget.state_line.kind != "failed"
