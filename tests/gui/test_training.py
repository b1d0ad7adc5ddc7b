"""Training from the dock: started, followed, ended early, cancelled, and its result used."""

from __future__ import annotations

import numpy as np
import pytest

from napari_regcon.engine import weights
from napari_regcon.engine.finetune_events import FinetuneCheck, FinetuneStep
from napari_regcon.engine.finetuned import FinetunedCard, save_finetuned
from napari_regcon.nn.class_net import ClassNet
from napari_regcon.types import Note
from napari_regcon.worker.protocol import (
    Configure,
    EngineDied,
    FineTune,
    FinishTraining,
    JobDone,
    JobFailed,
    JobNote,
    Paint,
    TrainingEvent,
    TrainingWritten,
)

from .conftest import stroke

pytestmark = pytest.mark.gui


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    path = tmp_path / "weights"
    path.mkdir()
    monkeypatch.setenv("NAPARI_REGCON_WEIGHTS_DIR", str(path))
    return path


@pytest.fixture
def training(painted, qtbot):
    """Return a dock in which the user has just pressed Train."""
    painted.panels.train._train.click()
    qtbot.waitUntil(lambda: painted.client.of(FineTune) != [], timeout=30_000)
    return painted


def say(widget, qtbot, event):
    """Let the engine say something, and wait until the window has heard it."""
    with qtbot.waitSignal(widget.core.link.event, timeout=30_000):
        widget.client.say(event)


def generation(widget):
    return widget.client.last(FineTune).generation


def write(widget):
    """Write the file that the engine was asked for."""
    request = widget.client.last(FineTune)
    card = FinetunedCard(("background", "class 2"), 1, 4, 2, 1, {})
    save_finetuned(ClassNet(1, 2, 4, 2), request.out, card)
    return request.out


def test_there_is_nothing_to_train_on_at_first(dock):
    widget = dock()
    button = widget.panels.train._train
    assert not button.isEnabled()
    assert "Not now" in button.toolTip()


def test_all_that_is_painted_is_told_first(training):
    kinds = [type(r) for r in training.client.sent]
    assert Paint in kinds[: kinds.index(FineTune)]
    request = training.client.last(FineTune)
    assert request.config.minutes == 3
    assert request.start is None
    assert request.out.suffix == ".safetensors"
    assert training.panels.train._train.isHidden()
    assert not training.panels.train._cancel.isHidden()
    assert "Training" in training.state_line.text


def test_steps_and_checks_are_shown(training, qtbot):
    panel, number = training.panels.train, generation(training)
    say(training, qtbot, TrainingEvent(number, FinetuneStep(10, 0.25, 0.8, 45.0)))
    assert panel._bar.format().startswith("25 %")
    assert "2 min left" in panel._bar.format()
    say(training, qtbot, TrainingEvent(number, FinetuneCheck(10, {"background": 0.7}, True)))
    say(training, qtbot, TrainingEvent(number, FinetuneStep(11, 0.26, 0.6, 46.0)))
    assert panel._curves.points("background") == [(10, 0.7)]
    assert [x for x, _ in panel._curves.points("loss")] == [10, 11]
    assert panel._curves.points("loss")[1][1] == pytest.approx(0.78)


def test_answers_to_an_earlier_training_are_not_shown(training, qtbot):
    event = TrainingEvent(generation(training) + 50, FinetuneStep(10, 0.5, 0.8, 45.0))
    say(training, qtbot, event)
    assert training.panels.train._curves.points("loss") == []


def test_the_result_is_kept_by_a_name_and_used_when_wanted(training, folder, qtbot):
    panel, number = training.panels.train, generation(training)
    before = training.client.last(Configure)
    out = write(training)
    best = FinetuneCheck(40, {"background": 0.91, "class 2": 0.83}, True)
    with qtbot.waitSignal(training.core.training.made, timeout=30_000):
        training.client.say(TrainingWritten(number, out, 40, best))
        training.client.say(JobDone(number, cancelled=False, elapsed_s=60.0))
    (name,) = [e.name for e in weights.entries() if e.name.startswith("trained-cells-")]
    assert (folder / f"{name}.safetensors").exists()
    assert not out.exists()
    assert "class 2 0.83" in panel._note.text()
    assert training.client.last(Configure) is before  # nothing changes by itself
    assert not panel._train.isHidden()
    panel._use.click()
    told = training.client.last(Configure)
    assert (told.method, told.weights) == ("fine-tuned", name)
    training.panels.model.choose("pixel-head", {}, "", "auto")
    assert training.client.last(Configure).method == "pixel-head"


def test_finishing_early_asks_for_the_best_so_far(training):
    training.panels.train._finish.click()
    assert training.client.last(FinishTraining).training == generation(training)


def test_cancelling_keeps_nothing(training, folder, qtbot):
    training.panels.train._cancel.click()
    assert training.client.cancelled == [generation(training)]
    say(training, qtbot, JobDone(generation(training), cancelled=True, elapsed_s=1.0))
    assert "nothing has changed" in training.panels.train._note.text()
    assert not training.panels.train._train.isHidden()
    assert not list(folder.glob("*.safetensors"))


def test_strokes_painted_meanwhile_are_told_without_live_preview(training, qtbot):
    training.core.live.set_enabled(False)
    count = len(training.client.of(Paint))
    stroke(training, 1, [(3, 20, x) for x in range(5, 30)])
    qtbot.waitUntil(lambda: len(training.client.of(Paint)) > count, timeout=30_000)


@pytest.mark.parametrize(
    "end",
    [
        lambda n: JobFailed(n, "The memory is full."),
        lambda n: EngineDied("The engine was killed.", (n,)),
    ],
)
def test_a_failure_is_told_and_another_training_can_begin(training, qtbot, end):
    event = end(generation(training))
    say(training, qtbot, event)
    assert event.message in training.state_line.text
    training.panels.train._train.click()
    qtbot.waitUntil(lambda: len(training.client.of(FineTune)) == 2, timeout=30_000)


def test_a_note_is_shown(training, qtbot):
    say(training, qtbot, JobNote(generation(training), Note("Training ended early.")))
    assert training.panels.train._note.text() == "Training ended early."


def test_pre_trained_weights_that_are_here_can_be_begun_with(painted, folder, monkeypatch, qtbot):
    from dataclasses import replace

    entry = replace(
        weights.REGISTRY["universeg-v1"],
        name="pre-trained",
        method="pixel-head",
        research_only=False,
        file_name="pre.safetensors",
    )
    monkeypatch.setitem(weights.REGISTRY, entry.name, entry)
    panel = painted.panels.train
    panel.expand(animate=False)
    assert panel._start.findData("pre-trained") == -1
    (folder / "pre.safetensors").write_bytes(b"x")
    panel.collapse(animate=False)
    panel.expand(animate=False)
    panel._start.setCurrentIndex(panel._start.findData("pre-trained"))
    panel._train.click()
    qtbot.waitUntil(lambda: painted.client.of(FineTune) != [], timeout=30_000)
    assert painted.client.last(FineTune).start == "pre-trained"


def test_a_real_training_in_a_real_dock(dock, folder, qtbot):
    image = np.random.default_rng(0).normal(60, 8, (2, 96, 120))
    image[..., 60:] += 100
    widget = dock(image.clip(0, 255).astype(np.uint8), real=True)
    for i in range(5):
        stroke(widget, 1, [(0, 10 + 15 * i, x) for x in range(5, 25)])
    widget.core.classes.add()
    for i in range(5):
        stroke(widget, 2, [(0, 10 + 15 * i, x) for x in range(80, 100)])
    panel = widget.panels.train
    panel._form.set_values(
        {"steps": 6, "crop_px": 64, "crops_per_step": 2, "width": 4, "levels": 2, "check_every": 3}
    )
    qtbot.waitUntil(panel._train.isEnabled, timeout=30_000)
    with qtbot.waitSignal(widget.core.training.made, timeout=60_000):
        panel._train.click()
    qtbot.waitUntil(lambda: not widget.core.training.running, timeout=30_000)
    assert len(panel._curves.points("loss")) == 6
    with qtbot.waitSignal(widget.core.live.shown, timeout=60_000):
        panel._use.click()
    assert widget.state_line.kind != "failed"
