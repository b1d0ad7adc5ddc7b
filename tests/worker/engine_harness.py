"""A window without a window: images in shared memory, a client, and what it is told."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np

from napari_regcon.types import Box
from napari_regcon.worker.protocol import (
    Configure,
    EngineDied,
    JobDone,
    JobFailed,
    OpenImage,
    PackedArray,
    Paint,
    PaintedPlane,
    Preview,
    PreviewDone,
    SegmentVolume,
    SetClasses,
)
from napari_regcon.worker.shared import SharedBuffer

FAKE_ENGINE = str(Path(__file__).parent / "fake_engine")
TIMEOUT_S = 60.0
"""Bound on every wait; nothing takes nearly as long unless it is broken."""


class Heard:
    """All events, for any thread to wait on."""

    def __init__(self):
        self.events = []
        self.times = []
        self._changed = threading.Condition()

    def __call__(self, event):
        with self._changed:
            self.events.append(event)
            self.times.append(time.perf_counter())
            self._changed.notify_all()

    def wait_for(self, matches, *, since=0, timeout_s=TIMEOUT_S):
        """Return the first event that matches, and wait for it if need be."""

        def find():
            return next((e for e in self.events[since:] if matches(e)), None)

        with self._changed:
            assert self._changed.wait_for(lambda: find() is not None, timeout_s), self.events
            return find()

    def end_of(self, generation):
        """Return the last event about a generation, and wait for it if need be."""
        return self.wait_for(lambda e: ends(e, generation))

    def of_type(self, *types):
        return [e for e in self.events if isinstance(e, types)]


def ends(event, generation):
    match event:
        case PreviewDone(final=True) | JobDone() | JobFailed():
            return event.generation == generation
        case EngineDied():
            return generation in event.pending
    return False


def two_tone(shape):
    """Return an image that is dark on the left and bright on the right, with some noise."""
    image = np.random.default_rng(1).normal(0, 5, shape) + 60
    image[..., shape[-1] // 2 :] += 120
    return image.clip(0, 255).astype(np.uint8)


def truth(shape):
    labels = np.ones(shape, np.uint8)
    labels[..., shape[-1] // 2 :] = 2
    return labels


def strokes(shape):
    """Return labels of one plane with a stroke of each class."""
    plane = np.zeros(shape[-2:], np.uint8)
    plane[10:14, 4:24] = 1
    plane[10:14, -24:-4] = 2
    return plane


def painted(prefix, plane, complete=()):
    return PaintedPlane(prefix, (0, 0), PackedArray(plane), complete)


class Window:
    """What the dock does with a client, for one image."""

    def __init__(self, client, heard, shape, image_id="image"):
        self.client = client
        self.heard = heard
        self.image_id = image_id
        self.shape = shape
        self.image = SharedBuffer.from_array(two_tone(shape))
        self.out = SharedBuffer.create(shape[-2:], np.uint8)
        self.volume = SharedBuffer.create(shape, np.uint8)

    def configure(self, **parameters):
        self.client.send(Configure("cpu", "fake", tuple(parameters.items())))

    def open(self):
        axes = "ZYX"[3 - len(self.shape) :]
        self.client.send(SetClasses(("dark", "bright")))
        self.client.send(OpenImage(self.image_id, self.image.handle, axes, self.image_id))

    def paint(self, prefix=None, plane=None):
        prefix = (0,) * (len(self.shape) - 2) if prefix is None else prefix
        plane = strokes(self.shape) if plane is None else plane
        self.client.send(Paint(self.image_id, (painted(prefix, plane),)))

    def preview(self, prefix=None, box=None, **more):
        generation = self.client.next_generation()
        prefix = (0,) * (len(self.shape) - 2) if prefix is None else prefix
        box = Box.of_shape(self.shape[-2:]) if box is None else box
        self.client.send(Preview(generation, self.image_id, prefix, box, self.out.handle, **more))
        return generation

    def segment(self, **more):
        generation = self.client.next_generation()
        more.setdefault("out", self.volume.handle)
        self.client.send(SegmentVolume(generation, self.image_id, **more))
        return generation

    def wait_until_it_hangs(self):
        deadline = time.monotonic() + TIMEOUT_S
        while not self.hangs.exists():
            assert time.monotonic() < deadline, "the method never hung"
            time.sleep(0.005)

    def check_preview(self, **more):
        """Ask for a preview, and check that it comes and is right."""
        self.out.array[:] = 0
        event = self.heard.end_of(self.preview(**more))
        assert isinstance(event, PreviewDone), event
        np.testing.assert_array_equal(self.out.array, truth(self.shape[-2:]))
        return event

    def close(self):
        for buffer in (self.image, self.out, self.volume):
            buffer.close()
