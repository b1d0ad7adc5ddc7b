"""The engine process with the real pixel head, on real work."""

from __future__ import annotations

import numpy as np
import psutil
import pytest
from engine_harness import Heard, Window, two_tone

from napari_regcon.types import Box
from napari_regcon.worker.client import EngineClient
from napari_regcon.worker.protocol import (
    CacheUse,
    ClearCache,
    Configure,
    EngineDied,
    EngineReady,
    JobDone,
    JobProgress,
    PreviewDone,
    UseCache,
    VolumeBlockDone,
)

SHAPE = (4, 300, 280)


@pytest.fixture
def window():
    heard = Heard()
    client = EngineClient(heard)
    window = Window(client, heard, SHAPE)
    client.send(Configure("cpu"))
    window.open()
    window.paint(plane=long_strokes())
    yield window
    client.close()
    window.close()


def long_strokes():
    plane = np.zeros(SHAPE[1:], np.uint8)
    plane[10:290, [30, 100]] = 1
    plane[10:290, [180, 250]] = 2
    return plane


def agreement(labels, around):
    """Fraction of pixels with the right label, away from the border between the halves."""
    middle = labels.shape[-1] // 2
    left, right = labels[..., : middle - around], labels[..., middle + around :]
    return ((left == 1).sum() + (right == 2).sum()) / (left.size + right.size)


def test_strokes_to_preview_to_volume_and_back_after_a_kill(window):
    heard = window.heard
    event = heard.end_of(window.preview())
    assert isinstance(event, PreviewDone), event
    assert agreement(window.out.array, 20) > 0.95
    ready = heard.of_type(EngineReady)[0]
    assert "CPU" in ready.device
    assert ready.reason
    first = window.out.array.copy()

    # From cached features, to the last pixel the same.
    window.out.array[:] = 0
    heard.end_of(window.preview())
    np.testing.assert_array_equal(window.out.array, first)

    use = heard.wait_for(lambda e: isinstance(e, CacheUse))
    assert use.memory_bytes >= 300 * 280 * 4
    window.client.send(ClearCache())
    heard.wait_for(lambda e: isinstance(e, CacheUse) and e.memory_bytes == 0)

    # Killed in the middle of a volume.
    generation = window.segment(first=(2,))
    heard.wait_for(lambda e: isinstance(e, JobProgress))
    psutil.Process(window.client.pid).kill()
    died = heard.wait_for(lambda e: isinstance(e, EngineDied))
    assert died.pending in ((generation,), ())
    window.out.array[:] = 0
    assert isinstance(heard.end_of(window.preview()), PreviewDone)
    np.testing.assert_array_equal(window.out.array, first)

    # What is missing is done now; the whole is what the previews were.
    blocks = tuple(e.box for e in heard.of_type(VolumeBlockDone))
    assert isinstance(heard.end_of(window.segment(done=blocks)), JobDone)
    np.testing.assert_array_equal(window.volume.array[0], first)
    assert agreement(window.volume.array, 20) > 0.95


def test_features_survive_a_restart_on_disk_until_they_are_cleared(window, tmp_path):
    heard, client = window.heard, window.client
    client.send(UseCache(2**30, 2**30, tmp_path))
    first = heard.end_of(window.preview())
    assert isinstance(first, PreviewDone), first
    labels = window.out.array.copy()
    # The plane is one tile; in memory its every few pixels are kept a second time.
    heard.wait_for(lambda e: isinstance(e, CacheUse) and e.memory_bytes > e.disk_bytes > 0)

    # Another engine finds them again, and makes the same of them.
    psutil.Process(client.pid).kill()
    heard.wait_for(lambda e: isinstance(e, EngineDied))
    files = {f: f.stat().st_mtime_ns for f in tmp_path.rglob("*.zarr.zip")}
    assert files
    window.out.array[:] = 0
    since = len(heard.events)
    assert isinstance(heard.end_of(window.preview()), PreviewDone)
    np.testing.assert_array_equal(window.out.array, labels)
    assert all(file.stat().st_mtime_ns > used for file, used in files.items())

    client.send(ClearCache())
    heard.wait_for(
        lambda e: isinstance(e, CacheUse) and not (e.memory_bytes or e.disk_bytes), since=since
    )
    assert list(tmp_path.rglob("*.zarr.zip")) == []


def test_a_folder_that_cannot_be_used_is_told_and_the_preview_comes(window, tmp_path):
    (tmp_path / "file").write_text("in the way")
    window.client.send(UseCache(2**30, 2**30, tmp_path / "file"))
    assert isinstance(window.heard.end_of(window.preview()), PreviewDone)
    use = window.heard.wait_for(lambda e: isinstance(e, CacheUse) and e.problem)
    assert "cannot be written to" in use.problem
    assert use.memory_bytes > 0


def test_stacks_and_files_too(window, tmp_path):
    from napari_regcon.worker.protocol import CloseImage, FileArray, OpenImage

    np.save(tmp_path / "image.npy", two_tone(SHAPE))
    window.client.send(CloseImage("image"))
    window.image_id = "file"
    window.client.send(OpenImage("file", FileArray(tmp_path / "image.npy"), "ZYX", "file"))
    window.client.send(Configure("cpu", "pixel-head", (("dimensions", 3), ("sigma_max_px", 4.0))))
    window.paint((1,), long_strokes())
    box = Box((0, 60), (40, 220))
    event = window.heard.end_of(window.preview(prefix=(2,), box=box))
    assert isinstance(event, PreviewDone), event
    assert agreement(window.out.array[box.slices], 20) > 0.95
    assert not window.out.array[40:].any()
