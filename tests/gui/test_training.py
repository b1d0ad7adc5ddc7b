"""Training from the dock: started, followed, ended early, cancelled, and its result used."""

from __future__ import annotations

import pytest
from qtpy.QtWidgets import QLabel

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
    PauseTraining,
    ShowTraining,
    TrainingEvent,
    TrainingShown,
    TrainingWritten,
)
from napari_regcon.worker.shared import SharedBuffer

from .conftest import stroke

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("folder")]


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
    assert request.start == "regcon-em"
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
    legend = " ".join(label.text() for label in panel._curves.findChildren(QLabel))
    assert legend.index("loss") < legend.index("background")
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


def made(widget, qtbot, dice, rival, n_held):
    """Let the engine have made a network that is so good."""
    number, out = generation(widget), write(widget)
    best = FinetuneCheck(40, {"class 2": dice}, True, {"class 2": rival}, n_held)
    with qtbot.waitSignal(widget.core.training.made, timeout=30_000):
        widget.client.say(TrainingWritten(number, out, 40, best))
        widget.client.say(JobDone(number, cancelled=False, elapsed_s=60.0))
    return widget.panels.train._note.text()


def test_a_network_that_is_better_takes_over_and_there_is_a_way_back(training, qtbot):
    note = made(training, qtbot, 0.8, 0.7, 3)
    assert "the pixel classifier: class 2 0.70. The network is better. It is in use now" in note
    assert training.client.last(Configure).method == "fine-tuned"
    assert training.panels.train._use.isHidden()


@pytest.mark.parametrize(
    ("dice", "rival", "n_held", "said"),
    [(0.6, 0.7, 5, "not better"), (0.7, 0.7, 5, "not better"), (0.8, 0.7, 2, "may be chance")],
)
def test_what_is_worse_or_hardly_judged_never_takes_over(
    training, qtbot, dice, rival, n_held, said
):
    before = training.client.last(Configure)
    assert said in made(training, qtbot, dice, rival, n_held)
    assert training.client.last(Configure) is before
    assert not training.panels.train._use.isHidden()


@pytest.mark.parametrize("why", ["switched off", "another method"])
def test_a_network_takes_over_only_from_the_pixel_classifier_and_if_wanted(training, qtbot, why):
    if why == "switched off":
        training.panels.train._take_over.click()
    else:
        training.panels.model.choose("in-context", {}, "", "auto")
    assert "The network is better." in made(training, qtbot, 0.8, 0.7, 3)
    assert training.panels.model.method != "fine-tuned"


def test_it_waits_and_goes_on(training, qtbot):
    panel, number = training.panels.train, generation(training)
    panel._pause.click()
    assert training.client.last(PauseTraining) == PauseTraining(number, True)
    assert panel._pause.text() == "Go on"
    assert "waits" in training.state_line.text
    panel._pause.click()
    assert training.client.last(PauseTraining) == PauseTraining(number, False)
    assert panel._pause.text() == "Pause"
    say(training, qtbot, JobDone(number, cancelled=False, elapsed_s=1.0))
    panel._train.click()
    assert panel._pause.text() == "Pause"


def test_after_the_engine_died_training_goes_on_from_what_was_kept(training, qtbot):
    panel, request = training.panels.train, training.client.last(FineTune)
    assert panel._go_on.isHidden()
    request.keep.write_bytes(b"state")
    say(training, qtbot, EngineDied("The engine was killed.", (request.generation,)))
    assert not panel._go_on.isHidden()
    panel._go_on.click()
    qtbot.waitUntil(lambda: len(training.client.of(FineTune)) == 2, timeout=30_000)
    again = training.client.last(FineTune)
    assert (again.keep, again.out, again.config) == (request.keep, request.out, request.config)
    assert again.generation != request.generation
    assert panel._go_on.isHidden()


def test_what_was_kept_is_dropped_when_another_training_begins(training, qtbot):
    request = training.client.last(FineTune)
    request.keep.write_bytes(b"state")
    say(training, qtbot, EngineDied("The engine was killed.", (request.generation,)))
    training.panels.train._train.click()
    qtbot.waitUntil(lambda: len(training.client.of(FineTune)) == 2, timeout=30_000)
    assert not request.keep.exists()


def training_layers(widget):
    layers = widget.core.workspace.viewer.layers
    return [layer for layer in layers if layer.name.startswith("training: ")]


def test_the_visible_slice_is_shown_while_it_learns_and_gone_after(training, qtbot):
    number = generation(training)
    say(training, qtbot, TrainingEvent(number, FinetuneStep(1, 0.01, 0.8, 0.5)))
    assert training.client.of(ShowTraining) == []
    say(training, qtbot, TrainingEvent(number, FinetuneStep(20, 0.05, 0.8, 5.5)))
    asked = training.client.last(ShowTraining)
    assert asked.training == number
    with SharedBuffer.attach(asked.out) as out:
        out.array[:] = 2
    shown = TrainingShown(number, asked.image_id, asked.prefix, asked.box)
    say(training, qtbot, shown)
    (layer,) = training_layers(training)
    assert not layer.editable
    assert (layer.data[asked.prefix][asked.box.slices] == 2).all()
    say(training, qtbot, JobDone(number, cancelled=True, elapsed_s=1.0))
    assert training_layers(training) == []


def test_nothing_is_shown_where_it_is_not_wanted(training, qtbot):
    number = generation(training)
    training.panels.train._watch.click()
    say(training, qtbot, TrainingEvent(number, FinetuneStep(20, 0.05, 0.8, 9.0)))
    assert training.client.of(ShowTraining) == []


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
