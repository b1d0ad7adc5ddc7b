"""Methods that need no torch and do on purpose what real ones do by accident.

Takes the place of the real methods where :func:`install` was called: in tests of this process,
and in engine processes that find this folder on their ``PYTHONPATH``.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import types
from pathlib import Path

import numpy as np

from napari_regcon.engine.segmenter import Predictor, Segmenter
from napari_regcon.errors import DeviceError, InputError

TILE_PX = 16


class FakePredictor(Predictor):
    """Takes pixels above the middle between two classes' mean brightness for the second."""

    overlap = (0, 0)
    spatial_ndim = 2
    n_channels = 1
    tile_shape = (TILE_PX, TILE_PX)

    def __init__(self, classes, threshold, normalization, misdeeds):
        self.classes = classes
        self.threshold = threshold
        self.normalization = normalization
        self.misdeeds = misdeeds
        self.steps_back = misdeeds.get("steps_back", 2)
        self.n_tiles = 0

    def predict_tile(self, view, tile):
        misbehave(self.misdeeds, self.n_tiles)
        self.n_tiles += 1
        if self.misdeeds.get("needs_steps_back", 0) > self.misdeeds.get("steps_back", 2) - (
            self.steps_back
        ):
            raise MemoryError("CUDA out of memory")
        result = np.zeros((len(self.classes), *tile.shape), np.float32)
        second = np.clip(0.5 + view.read(tile)[0] - self.threshold, 0, 1)
        result[1] = second
        result[0] = 1 - second
        return result

    def draft(self, view, box, step):
        if not self.misdeeds.get("drafts"):
            return None
        second = np.clip(0.5 + view.read(box)[0, ::step, ::step] - self.threshold, 0, 1)
        return np.stack([1 - second, second])

    def reduce_memory(self):
        self.steps_back -= 1
        return self.steps_back >= 0


class FakeSegmenter(Segmenter):
    def __init__(self, **misdeeds):
        self.misdeeds = misdeeds

    def fit(self, support):
        raise AssertionError("the engine fits in steps")

    def fit_in_steps(self, support):
        support.require_classes()
        if self.misdeeds.get("fit_needs_too_much"):
            raise MemoryError
        values = {1: [], 2: []}
        for example in support.examples:
            image = example.view(2).read(example.view(2).box)[0]
            n = len(example.box.start) - 2
            part = image[
                tuple(
                    slice(a, b)
                    for a, b in zip(example.box.start[n:], example.box.stop[n:], strict=True)
                )
            ]
            for label in values:
                values[label] += part[example.labels == label].tolist()
            yield
        threshold = (np.mean(values[1]) + np.mean(values[2])) / 2
        n_fits = os.environ.get("FAKE_FITS")
        if n_fits:
            with Path(n_fits).open("a") as file:
                file.write("fit\n")
        return FakePredictor(
            support.classes, threshold, support.examples[0].normalization, self.misdeeds
        )


def misbehave(misdeeds, n_tiles):
    """Do what the parameters of the method ask for, once so many tiles are done."""
    if n_tiles < misdeeds.get("after", 0):
        return
    if n_tiles < misdeeds.get("slow_tiles", 0):
        threading.Event().wait(misdeeds["tile_s"])
    match misdeeds.get("misdeed"):
        case "hang":
            Path(os.environ["FAKE_HANGS"]).touch()
            threading.Event().wait()
        case "raise":
            raise ZeroDivisionError("on purpose")
        case "refuse":
            raise InputError("This image is too dark.", next_step="Switch on the light.")
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "exit":
            print("the device fell off the bus", file=sys.stderr, flush=True)  # noqa: T201
            os._exit(3)
        case "print":
            print("a library says hello")  # noqa: T201


def load_segmenter(method="fake", *, weights=None, device="auto", store=None, **parameters):
    if method != "fake":
        raise InputError(f"There is no method {method!r}.", expected="Expected 'fake'.")
    return FakeSegmenter(**parameters)


def choose_device(name="auto"):
    if name == "cuda":
        raise DeviceError("The device 'cuda' cannot be used: no driver.")
    return types.SimpleNamespace(label="fake device", reason="Asked for.")


class FakeStore:
    """Stands for the feature store; nothing is kept."""

    usage_bytes = 0
    disk = None

    def forget(self, data):
        pass

    def clear(self):
        pass


def install():
    """Put the fakes in place of methods, devices and features, without importing torch."""
    from napari_regcon.engine import registry

    device = types.ModuleType("napari_regcon.engine.device")
    device.choose_device = choose_device
    device.is_out_of_memory = lambda error: isinstance(error, MemoryError)
    device.free_memory = lambda *_: None
    device.held_memory = lambda: 0
    features = types.ModuleType("napari_regcon.engine.feature_store")
    features.FeatureStore = FakeStore
    sys.modules[device.__name__] = device
    sys.modules[features.__name__] = features
    registry.load_segmenter = load_segmenter
