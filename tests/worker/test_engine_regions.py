"""Regions through the engine's loop, in this process."""

from __future__ import annotations

import numpy as np
import pytest
from engine_harness import two_tone
from fake_methods import load_segmenter

from napari_regcon.config import RegionsConfig
from napari_regcon.data.region_tree import RegionTree
from napari_regcon.engine.regions import partition
from napari_regcon.types import Box
from napari_regcon.worker.loop import EngineLoop
from napari_regcon.worker.pending import PendingJobs
from napari_regcon.worker.protocol import (
    Cancel,
    CloseImage,
    Configure,
    FindRegions,
    JobDone,
    JobFailed,
    OpenImage,
    RegionsFound,
)
from napari_regcon.worker.shared import SharedBuffer

SHAPE = (3, 40, 56)


class Engine:
    """A loop with one image, and an array for regions."""

    def __init__(self):
        self.events = []
        self.loop = EngineLoop(self.events.append)
        self.pixels = two_tone(SHAPE)
        self.image = SharedBuffer.from_array(self.pixels)
        self.leaves = SharedBuffer.create(SHAPE[1:], np.int32)
        self.loop.take(Configure("cpu", "fake"))
        self.loop.take(OpenImage("image", self.image.handle, "ZYX", "brain"))

    def ask(self, generation, prefix=(1,), box=None, leaves=None, **more):
        box = box or Box.of_shape(SHAPE[1:])
        handle = (leaves or self.leaves).handle
        config = RegionsConfig()
        self.loop.take(FindRegions(generation, "image", prefix, box, handle, config, **more))

    def answer(self, generation):
        while self.loop.is_busy:
            self.loop.step()
        (found,) = [e for e in self.events if getattr(e, "generation", None) == generation]
        return found


@pytest.fixture
def engine(monkeypatch):
    monkeypatch.setattr("napari_regcon.engine.registry.load_segmenter", load_segmenter)
    engine = Engine()
    yield engine
    engine.loop.take(CloseImage("image"))
    engine.loop.close()
    engine.image.close()
    engine.leaves.close()


def test_the_tree_is_that_of_the_plane(engine):
    engine.ask(7)
    found = engine.answer(7)
    assert isinstance(found, RegionsFound)
    tree = RegionTree(engine.leaves.array, found.merges, found.sizes, found.features)
    volume = partition(engine.pixels, 0.6)
    here, expected = tree.cut(0.6).labels, volume[1]
    pairs = np.unique(np.stack([here.ravel(), expected.ravel()]), axis=1)
    assert len(pairs[0]) == here.max() == len(np.unique(expected))


def test_a_newer_request_takes_the_place_of_an_older_one(engine):
    engine.ask(1)
    engine.loop.step()
    engine.ask(2, prefix=(2,))
    assert engine.answer(1) == JobDone(1, cancelled=True, elapsed_s=engine.answer(1).elapsed_s)
    assert isinstance(engine.answer(2), RegionsFound)


def test_it_can_be_cancelled(engine):
    engine.ask(1)
    engine.loop.step()
    engine.loop.take(Cancel(1))
    assert engine.answer(1).cancelled


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"prefix": (3,)}, "no plane"),
        ({"prefix": ()}, "no plane"),
        ({"box": Box((0, 0), (40, 57))}, "does not lie on a plane"),
        ({"box": Box((3, 3), (3, 9))}, "does not lie on a plane"),
        ({"box": Box((0, 0), (9, 9))}, "array for regions has shape"),
        ({"weights": "nobody-knows-these"}, "nobody-knows-these"),
    ],
)
def test_what_does_not_fit_is_refused(engine, more, what):
    engine.ask(1, **more)
    failed = engine.answer(1)
    assert isinstance(failed, JobFailed)
    assert what in failed.message
    assert not failed.details


def test_an_answer_ends_the_waiting(engine):
    pending = PendingJobs()
    pending.add(FindRegions(3, "image", (), Box((0,), (1,)), engine.leaves.handle, RegionsConfig()))
    assert pending.generations() == (3,)
    empty = np.zeros(0)
    found = RegionsFound(3, empty, empty, empty)
    assert pending.settle(found) is found
    assert pending.generations() == ()
    assert pending.settle(found) is None
