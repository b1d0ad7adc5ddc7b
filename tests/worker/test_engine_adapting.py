"""Adapting features to the open images in the engine process, while other work goes on."""

from __future__ import annotations

import json

import pytest
from engine_harness import Heard, Window

from napari_regcon.config import PretrainConfig
from napari_regcon.engine.embedding import load_network
from napari_regcon.engine.pretrain_events import PretrainStep
from napari_regcon.worker.client import EngineClient
from napari_regcon.worker.protocol import (
    AdaptFeatures,
    CloseImage,
    Configure,
    FinishTraining,
    JobFailed,
    TrainingEvent,
    TrainingWritten,
)

SHAPE = (2, 96, 120)
SMALL = {"embedding": 4, "regions": 4, "width": 4, "levels": 2}
QUICK = SMALL | {"episodes_per_step": 1, "views_per_step": 1}
ENDLESS = PretrainConfig(steps=10**6, **QUICK)


@pytest.fixture
def window():
    heard = Heard()
    client = EngineClient(heard)
    window = Window(client, heard, SHAPE)
    client.send(Configure("cpu", "pixel-head", (("sigma_max_px", 4.0),)))
    window.open()
    yield window
    client.close()
    window.close()


def adapt(window, out, config=ENDLESS, **more):
    generation = window.client.next_generation()
    window.client.send(AdaptFeatures(generation, out, config, device="cpu", **more))
    return generation


def told(window, generation, kind):
    events = [e for e in window.heard.of_type(TrainingEvent) if e.generation == generation]
    return [e.event for e in events if isinstance(e.event, kind)]


def wait_for_step(window, generation, n):
    window.heard.wait_for(
        lambda e: isinstance(e, TrainingEvent) and e.generation == generation and e.event.step >= n
    )


def test_it_needs_no_strokes_ends_early_or_is_cancelled_and_says_what_cannot_be(window, tmp_path):
    out = tmp_path / "mine.safetensors"
    missing = adapt(window, out, start=str(tmp_path / "none.safetensors"))
    failed = window.heard.end_of(missing)
    assert isinstance(failed, JobFailed)
    assert "none.safetensors" in failed.message

    cancelled = adapt(window, out)
    wait_for_step(window, cancelled, 1)
    window.client.cancel(cancelled)
    assert window.heard.end_of(cancelled).cancelled is True
    assert not list(tmp_path.iterdir())

    finished = adapt(window, out)
    wait_for_step(window, finished, 1)
    window.client.send(CloseImage(window.image_id))  # what was read of it is enough
    before = len(told(window, finished, PretrainStep))
    wait_for_step(window, finished, before + 2)
    window.client.send(FinishTraining(finished))
    assert window.heard.end_of(finished).cancelled is False
    (written,) = window.heard.of_type(TrainingWritten)
    assert (written.path, written.best) == (out, None)
    net, info = load_network(out)
    assert net.width == 4
    assert json.loads(info.card["images"])[0]["fingerprint"]

    failed = window.heard.end_of(adapt(window, out))
    assert isinstance(failed, JobFailed)
    assert "no image" in failed.message
