"""Windows with engines of fake methods."""

from __future__ import annotations

import os
import sys

import pytest
from engine_harness import FAKE_ENGINE, Heard, Window

from napari_regcon.worker.client import EngineClient

sys.path.append(FAKE_ENGINE)


@pytest.fixture
def fake_env(tmp_path):
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, (FAKE_ENGINE, os.environ.get("PYTHONPATH")))),
        "FAKE_ENGINE": "methods",
        "FAKE_HANGS": str(tmp_path / "hangs"),
    }


@pytest.fixture
def make_window(fake_env, tmp_path):
    """Return a function that makes a window with an engine of fake methods."""
    made = []

    def make(shape=(6, 64, 96), *, env=(), is_open=True, **parameters):
        heard = Heard()
        client = EngineClient(heard, env={**fake_env, **dict(env)})
        window = Window(client, heard, shape)
        window.hangs = tmp_path / "hangs"
        made.append(window)
        if is_open:
            window.configure(**parameters)
            window.open()
            window.paint()
        return window

    yield make
    for window in made:
        window.client.close()
        window.close()


@pytest.fixture
def window(make_window):
    return make_window()
