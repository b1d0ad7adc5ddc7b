"""Training in the engine process, with the real network, while other work goes on."""

from __future__ import annotations

import numpy as np
import psutil
import pytest
from engine_harness import Heard, Window

from napari_regcon.config import FinetuneConfig
from napari_regcon.engine.finetune_events import FinetuneCheck, FinetuneStep
from napari_regcon.engine.finetuned import load_finetuned
from napari_regcon.types import Box
from napari_regcon.worker.client import EngineClient
from napari_regcon.worker.protocol import (
    CloseImage,
    Configure,
    EngineDied,
    FineTune,
    FinishTraining,
    JobDone,
    JobFailed,
    JobNote,
    PauseTraining,
    PreviewDone,
    SetClasses,
    ShowTraining,
    TrainingEvent,
    TrainingShown,
    TrainingWritten,
)

SHAPE = (2, 96, 120)
QUICK = {"crop_px": 64, "crops_per_step": 2, "width": 4, "levels": 2, "check_every": 5}
ENDLESS = FinetuneConfig(steps=10**6, **QUICK)


@pytest.fixture
def window():
    heard = Heard()
    client = EngineClient(heard)
    window = Window(client, heard, SHAPE)
    client.send(Configure("cpu", "pixel-head", (("sigma_max_px", 4.0),)))
    window.open()
    window.paint(plane=some_strokes(5))
    yield window
    client.close()
    window.close()


def some_strokes(n):
    plane = np.zeros(SHAPE[1:], np.uint8)
    for i in range(n):
        plane[4 + 12 * i : 10 + 12 * i, 10:14] = 1
        plane[4 + 12 * i : 10 + 12 * i, 100:104] = 2
    return plane


def train(window, out, config=ENDLESS, **more):
    generation = window.client.next_generation()
    window.client.send(FineTune(generation, out, config, device="cpu", **more))
    return generation


def steps_of(window, generation):
    events = [e for e in window.heard.of_type(TrainingEvent) if e.generation == generation]
    return [e.event.step for e in events if isinstance(e.event, FinetuneStep)]


def wait_for_step(window, generation, n):
    def is_it(event):
        return (
            isinstance(event, TrainingEvent)
            and event.generation == generation
            and event.event.step >= n
        )

    window.heard.wait_for(is_it)


def test_a_training_goes_to_its_end_and_its_network_segments(window, tmp_path):
    out = tmp_path / "net.safetensors"
    generation = train(window, out, FinetuneConfig(steps=20, **QUICK))
    done = window.heard.end_of(generation)
    assert done == JobDone(generation, cancelled=False, elapsed_s=done.elapsed_s)
    assert steps_of(window, generation) == list(range(1, 21))
    checks = [e.event for e in window.heard.of_type(TrainingEvent)]
    assert any(isinstance(e, FinetuneCheck) and e.is_best for e in checks)
    (written,) = window.heard.of_type(TrainingWritten)
    assert (written.path, written.steps) == (out, 20)
    assert written.best is not None
    _, card = load_finetuned(out)
    assert card.classes == ("dark", "bright")
    window.client.send(Configure("cpu", "fine-tuned", (), str(out)))
    window.out.array[:] = 0
    assert isinstance(window.heard.end_of(window.preview()), PreviewDone)
    assert set(np.unique(window.out.array)) <= {1, 2}


def test_previews_are_answered_while_it_trains(window, tmp_path):
    generation = train(window, tmp_path / "net.safetensors")
    wait_for_step(window, generation, 1)
    for _ in range(3):
        assert isinstance(window.heard.end_of(window.preview()), PreviewDone)
    # What is not on screen is part of the preview too.
    asked = window.preview(box=Box((0, 0), (20, 20)), whole_plane=True)
    window.heard.end_of(asked)
    told = list(window.heard.events)
    parts = [i for i, e in enumerate(told) if isinstance(e, PreviewDone) and e.generation == asked]
    assert len(parts) > 1
    assert not any(isinstance(e, TrainingEvent) for e in told[parts[0] : parts[-1]])
    before = len(steps_of(window, generation))
    wait_for_step(window, generation, before + 2)


def test_finishing_early_writes_the_best_so_far(window, tmp_path):
    out = tmp_path / "net.safetensors"
    generation = train(window, out)
    wait_for_step(window, generation, 6)
    window.client.send(FinishTraining(generation))
    assert window.heard.end_of(generation).cancelled is False
    assert load_finetuned(out)[1].classes == ("dark", "bright")


def test_a_training_waits_goes_on_and_draws_what_it_has_learnt(window, tmp_path):
    generation = train(window, tmp_path / "net.safetensors")
    wait_for_step(window, generation, 2)
    window.client.send(PauseTraining(generation, True))
    window.heard.end_of(window.preview())  # the request before it is taken in by now
    before = len(steps_of(window, generation))
    window.heard.end_of(window.preview())
    assert len(steps_of(window, generation)) == before
    window.client.send(PauseTraining(generation, False))
    wait_for_step(window, generation, before + 1)

    window.out.array[:] = 0
    box, out = Box((0, 0), (40, 60)), window.out.handle
    window.client.send(ShowTraining(generation, window.image_id, (0,), box, out))
    shown = window.heard.wait_for(lambda e: isinstance(e, TrainingShown))
    assert shown == TrainingShown(generation, window.image_id, (0,), box)
    assert set(np.unique(window.out.array[box.slices])) <= {1, 2}
    assert not window.out.array[40:].any()

    window.client.send(ShowTraining(generation, "gone", (0,), box, out))
    window.heard.wait_for(lambda e: isinstance(e, JobNote) and "gone" in e.note.text)
    wait_for_step(window, generation, len(steps_of(window, generation)) + 1)
    window.client.send(PauseTraining(generation, True))
    window.client.send(FinishTraining(generation))
    assert window.heard.end_of(generation).cancelled is False


def test_cancelling_writes_nothing(window, tmp_path):
    out = tmp_path / "net.safetensors"
    generation = train(window, out)
    wait_for_step(window, generation, 2)
    window.client.cancel(generation)
    assert window.heard.end_of(generation).cancelled is True
    assert not list(tmp_path.iterdir())
    assert isinstance(window.heard.end_of(window.preview()), PreviewDone)


def test_strokes_painted_meanwhile_are_learnt_from(window, tmp_path):
    out = tmp_path / "net.safetensors"
    generation = train(window, out)
    wait_for_step(window, generation, 2)
    window.paint(plane=some_strokes(7))
    count = len(steps_of(window, generation))
    wait_for_step(window, generation, count + 3)
    window.client.send(FinishTraining(generation))
    window.heard.end_of(generation)
    about = load_finetuned(out)[1].about
    assert about["painted_px"] == '{"dark": 168, "bright": 168}'


@pytest.mark.parametrize("what", ["image", "class"])
def test_training_ends_with_its_best_when_there_is_nothing_left_to_learn_from(
    window, tmp_path, what
):
    out = tmp_path / "net.safetensors"
    generation = train(window, out)
    wait_for_step(window, generation, 6)
    if what == "image":
        window.client.send(CloseImage(window.image_id))
    else:
        window.client.send(SetClasses(("dark", "bright", "new")))
    assert window.heard.end_of(generation).cancelled is False
    notes = [e.note.text for e in window.heard.of_type(JobNote)]
    assert any("Training ended early" in text for text in notes)
    assert out.exists()


def test_what_cannot_be_trained_is_told(window, tmp_path):
    window.paint(plane=np.where(some_strokes(5) == 1, 1, 0).astype(np.uint8))
    failed = window.heard.end_of(train(window, tmp_path / "net.safetensors"))
    assert isinstance(failed, JobFailed)
    assert "Nothing is painted yet for: bright" in failed.message
    window.paint(plane=some_strokes(5))
    missing = train(window, tmp_path / "net.safetensors", start=str(tmp_path / "none.safetensors"))
    failed = window.heard.end_of(missing)
    assert isinstance(failed, JobFailed)
    assert "none.safetensors" in failed.message
    assert not failed.details


def test_after_the_engine_was_killed_a_training_goes_on_from_what_was_kept(window, tmp_path):
    out, keep = tmp_path / "net.safetensors", tmp_path / "state.training"
    generation = train(window, out, keep=keep)
    wait_for_step(window, generation, 7)
    psutil.Process(window.client.pid).kill()
    assert isinstance(window.heard.end_of(generation), EngineDied)
    assert keep.exists()
    again = train(window, out, keep=keep)
    wait_for_step(window, again, 1)
    assert steps_of(window, again)[0] >= 6
    window.client.send(FinishTraining(again))
    assert isinstance(window.heard.end_of(again), JobDone)
    assert [path.name for path in tmp_path.iterdir()] == ["net.safetensors"]
