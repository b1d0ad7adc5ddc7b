"""The client with real engine processes that run fake methods: all that can go wrong."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from engine_harness import FAKE_ENGINE, TIMEOUT_S, Heard, ends, strokes, truth

from napari_regcon.errors import EngineError
from napari_regcon.types import Box
from napari_regcon.worker import wire
from napari_regcon.worker.client import EngineClient
from napari_regcon.worker.process import EngineProcess
from napari_regcon.worker.protocol import (
    Cancel,
    CloseImage,
    Configure,
    EngineDied,
    EngineReady,
    JobDone,
    JobFailed,
    PreviewDone,
    SetClasses,
    Shutdown,
    VolumeBlockDone,
)
from napari_regcon.worker.shared import SharedBuffer

IS_POSIX = os.name == "posix"
CLOSES_WITHIN_S = 10.0
"""Far more than it gives the engine, far less than an engine that is never ended would take."""
posix_only = pytest.mark.skipif(not IS_POSIX, reason="needs signals, which Windows lacks")


def segments_in(pid):
    """Return the shared segments a process looks into; nothing where the system does not tell."""
    if sys.platform != "linux":
        return []
    return [m.path for m in psutil.Process(pid).memory_maps() if "psm_" in m.path]


def test_preview_of_a_plane(window):
    event = window.check_preview()
    assert event.box == Box.of_shape((64, 96))
    assert event.fit_s >= 0
    assert isinstance(window.heard.events[0], EngineReady)
    assert window.heard.events[0].pid == window.client.pid != os.getpid()
    assert window.client.pending == ()


def test_whole_volume(window):
    generation = window.segment(first=(4,))
    assert window.heard.end_of(generation) == window.heard.of_type(JobDone)[0]
    np.testing.assert_array_equal(window.volume.array, truth(window.shape))
    blocks = [e.box.start[0] for e in window.heard.of_type(VolumeBlockDone)]
    assert blocks[0] == 4
    assert sorted(blocks) == list(range(6))


def test_nothing_is_started_before_it_is_needed_nor_by_a_goodbye(fake_env):
    client = EngineClient(Heard(), env=fake_env)
    client.send(CloseImage("image"))
    client.cancel(17)
    client.close()
    assert client.pid is None


def test_send_after_close_is_refused_in_words(window):
    window.client.close()
    window.client.close()
    with pytest.raises(EngineError, match="closed"):
        window.client.send(SetClasses(("a", "b")))


def test_close_before_the_engine_is_up(fake_env):
    client = EngineClient(Heard(), env=fake_env)
    client.send(Configure("cpu", "fake"))
    begin = time.perf_counter()
    client.close()
    assert time.perf_counter() - begin < CLOSES_WITHIN_S


def test_a_killed_engine_starts_again_with_everything_that_was_painted(window):
    window.check_preview()
    window.paint((3,), np.zeros((64, 96), np.uint8))
    window.paint((5,), strokes(window.shape))
    window.paint((0,), np.zeros((64, 96), np.uint8))  # erased again: only plane 5 is left
    generation = window.segment()
    window.heard.wait_for(lambda e: isinstance(e, VolumeBlockDone))
    first = window.client.pid
    psutil.Process(first).kill()
    died = window.heard.wait_for(lambda e: isinstance(e, EngineDied))
    assert "memory ran out" in died.message or not IS_POSIX
    assert "Nothing painted is lost" in died.message
    # It may have been done a moment before.
    assert died.pending in ((generation,), ())
    window.check_preview(prefix=(2,))
    assert window.client.pid != first
    window.paint((5,), np.zeros((64, 96), np.uint8))
    failed = window.heard.end_of(window.preview())
    assert isinstance(failed, JobFailed)
    assert "Nothing is painted" in failed.message


def test_killed_while_idle_is_told_and_the_next_request_starts_a_new_one(window):
    window.check_preview()
    psutil.Process(window.client.pid).terminate()
    died = window.heard.wait_for(lambda e: isinstance(e, EngineDied))
    assert died.pending == ()
    assert "ended from outside" in died.message or not IS_POSIX
    window.check_preview()


@pytest.mark.parametrize(
    ("misdeed", "words"),
    [
        pytest.param("kill", "memory ran out", marks=posix_only),
        pytest.param("segfault", "segmentation fault", marks=posix_only),
        ("exit", "exit code 3.*fell off the bus"),
    ],
)
def test_sudden_death_at_work_is_told_in_words(make_window, misdeed, words):
    window = make_window(misdeed=misdeed)
    generation = window.preview()
    died = window.heard.end_of(generation)
    assert isinstance(died, EngineDied)
    assert died.pending == (generation,)
    assert re.search(words, died.message)
    window.configure()
    window.check_preview()


def test_engine_that_cannot_start_says_why_and_may_work_later(make_window):
    window = make_window(env={"FAKE_ENGINE": "broken"})
    generation = window.preview()
    died = window.heard.end_of(generation)
    assert isinstance(died, EngineDied)
    assert "could not start" in died.message
    assert "napari_regcon.worker.loop" in died.message
    assert "Traceback" in died.details
    window.client._env["FAKE_ENGINE"] = "methods"
    window.check_preview()


def test_missing_interpreter_is_told(monkeypatch, fake_env):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    heard = Heard()
    client = EngineClient(heard, env=fake_env)
    client.send(Configure())
    died = heard.wait_for(lambda e: isinstance(e, EngineDied))
    assert "could not be started" in died.message
    client.close()


def test_threads_of_the_engine_wait_without_spinning_unless_somebody_wants_them_to(monkeypatch):
    started = []

    def note(_command, *, env, **_options):
        started.append(env)
        raise OSError("that is enough")

    monkeypatch.setattr("subprocess.Popen", note)
    for name in ("OMP_WAIT_POLICY", "KMP_BLOCKTIME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(EngineError):
        EngineProcess({})
    monkeypatch.setenv("KMP_BLOCKTIME", "200")
    with pytest.raises(EngineError):
        EngineProcess({"GOMP_SPINCOUNT": "7"})
    names = ("OMP_WAIT_POLICY", "KMP_BLOCKTIME", "GOMP_SPINCOUNT")
    assert [[env[name] for name in names] for env in started] == [
        ["PASSIVE", "0", "0"],
        ["PASSIVE", "200", "7"],
    ]


def test_engine_that_never_says_a_word_is_given_up(make_window, fake_env, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import threading; threading.Event().wait()\n")
    heard = Heard()
    client = EngineClient(heard, env={"PYTHONPATH": str(tmp_path)}, start_timeout_s=0.2)
    client.send(Configure())
    died = heard.wait_for(lambda e: isinstance(e, EngineDied))
    assert "did not start within 0.2 s" in died.message
    client.close()


def test_plugin_updated_under_a_running_window(monkeypatch, fake_env):
    monkeypatch.setattr("napari_regcon.worker.process.PROTOCOL_VERSION", 10**6)
    heard = Heard()
    client = EngineClient(heard, env=fake_env)
    client.send(Configure())
    died = heard.wait_for(lambda e: isinstance(e, EngineDied))
    assert "restart napari" in died.message
    client.close()


def test_missing_device_leaves_the_engine_alive(window):
    window.client.send(Configure("cuda", "fake"))
    failed = window.heard.wait_for(lambda e: isinstance(e, JobFailed))
    assert failed.generation is None
    assert "no driver" in failed.message
    again = window.heard.end_of(window.preview())
    assert isinstance(again, JobFailed)
    assert "no driver" in again.message
    window.configure()
    window.check_preview()
    assert not window.heard.of_type(EngineDied)


def test_cancel_at_work_is_quick_and_keeps_what_is_done(make_window):
    window = make_window((200, 64, 96), slow_tiles=10**6, tile_s=0.01)
    n_late = []
    for _ in range(5):
        since = len(window.heard.events)
        generation = window.segment()
        window.heard.wait_for(lambda e: isinstance(e, VolumeBlockDone), since=since)
        n_heard = len(window.heard.events)
        window.client.cancel(generation, grace_s=TIMEOUT_S)
        window.client.cancel(generation, grace_s=TIMEOUT_S)
        done = window.heard.end_of(generation)
        n_late.append(sum(isinstance(e, VolumeBlockDone) for e in window.heard.events[n_heard:]))
        assert done == JobDone(generation, cancelled=True, elapsed_s=done.elapsed_s)
    # Counted in blocks of 10 ms, which a busy machine stretches as it does the cancelling.
    assert min(n_late) < 20
    blocks = {e.box for e in window.heard.of_type(VolumeBlockDone)}
    for box in blocks:
        np.testing.assert_array_equal(window.volume.array[box.slices], truth(box.shape))
    assert 0 < len(blocks) < 200
    # It goes on where it stopped.
    window.configure()
    since = len(window.heard.events)
    window.heard.end_of(window.segment(done=tuple(blocks)))
    np.testing.assert_array_equal(window.volume.array, truth(window.shape))
    again = [e.box for e in window.heard.events[since:] if isinstance(e, VolumeBlockDone)]
    assert len(again) == 200 - len(blocks)


def test_cancelled_before_it_began_and_after_it_ended(make_window):
    window = make_window((2, 64, 96), slow_tiles=1, tile_s=0.3)
    first = window.segment()
    second = window.segment()
    window.client.cancel(second, grace_s=TIMEOUT_S)
    assert window.heard.end_of(second).cancelled
    assert not window.heard.end_of(first).cancelled
    window.client.cancel(first)
    window.client.send(Cancel(first))
    window.check_preview()
    assert len([e for e in window.heard.events if ends(e, first)]) == 1


def test_engine_that_does_not_stop_is_ended(make_window):
    window = make_window(misdeed="hang")
    generation = window.segment()
    other = window.segment()
    window.wait_until_it_hangs()
    window.client.cancel(generation, grace_s=0.2)
    done = window.heard.end_of(generation)
    assert isinstance(done, JobDone)
    assert done.cancelled
    died = window.heard.wait_for(lambda e: isinstance(e, EngineDied))
    assert died.pending == (other,)
    assert "did not stop within 0.2 s" in died.message
    window.configure()
    window.check_preview()


def test_engine_that_is_stopped_with_a_full_pipe_is_ended(window):
    window.check_preview()
    psutil.Process(window.client.pid).suspend()
    noise = np.random.default_rng(0).integers(0, 3, (64, 96)).astype(np.uint8)
    for z in range(6):
        for _ in range(10):
            window.paint((z,), noise)
    for z in range(6):
        window.paint((z,), np.zeros_like(noise))
    window.paint()
    generation = window.preview()
    window.client.cancel(generation, grace_s=0.2)
    window.heard.wait_for(lambda e: isinstance(e, EngineDied))
    assert window.heard.end_of(generation)
    window.check_preview()


def test_a_request_is_written_although_the_caller_goes_on_to_draw(window, monkeypatch):
    window.check_preview()
    monkeypatch.setattr("napari_regcon.worker.client.HAND_OVER_S", TIMEOUT_S)
    written, send = [], EngineProcess.send
    monkeypatch.setattr(EngineProcess, "send", lambda p, m: (send(p, m), written.append(m)))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(TIMEOUT_S)  # as while Qt draws, no other thread is let in unasked
    try:
        for name in ("one", "two", "three"):
            window.client.send(SetClasses((name, "other")))
            assert written[-1].classes[0] == name
    finally:
        sys.setswitchinterval(interval)


def test_close_ends_a_stopped_engine(window):
    window.check_preview()
    process = psutil.Process(window.client.pid)
    process.suspend()
    begin = time.perf_counter()
    window.client.close()
    assert time.perf_counter() - begin < CLOSES_WITHIN_S
    assert not process.is_running()


@pytest.mark.parametrize("misdeed", ["hang", "none"])
def test_close_at_work(make_window, misdeed):
    window = make_window((300, 64, 96), misdeed=misdeed, after=50)
    window.segment()
    if misdeed == "hang":
        window.wait_until_it_hangs()
    window.heard.wait_for(lambda e: isinstance(e, VolumeBlockDone))
    process = psutil.Process(window.client.pid)
    begin = time.perf_counter()
    window.client.close()
    assert time.perf_counter() - begin < CLOSES_WITHIN_S
    assert not process.is_running()
    n_heard = len(window.heard.events)
    assert not window.heard.of_type(EngineDied)
    assert len(window.heard.events) == n_heard


def test_preview_comes_between_two_steps_of_a_volume(make_window):
    window = make_window((300, 64, 96), slow_tiles=10**6, tile_s=0.002)
    volume = window.segment()
    window.heard.wait_for(lambda e: isinstance(e, VolumeBlockDone))
    window.check_preview(prefix=(7,))
    assert not [e for e in window.heard.events if ends(e, volume)]
    window.client.cancel(volume, grace_s=TIMEOUT_S)
    assert window.heard.end_of(volume).cancelled


def test_only_the_newest_preview_is_drawn(make_window):
    window = make_window(slow_tiles=12, tile_s=0.05)
    generations = [window.preview(prefix=(z,)) for z in range(6)]
    last = window.heard.end_of(generations[-1])
    assert isinstance(last, PreviewDone)
    for generation in generations[:-1]:
        done = window.heard.end_of(generation)
        assert isinstance(done, JobDone)
        assert done.cancelled
    assert {e.generation for e in window.heard.of_type(PreviewDone)} == {generations[-1]}
    assert window.client.pending == ()


def test_nothing_is_fitted_again_unless_something_changed(make_window, tmp_path):
    log = tmp_path / "fits"
    window = make_window(env={"FAKE_FITS": str(log)})
    window.check_preview()
    window.check_preview(prefix=(1,))
    window.paint()  # the same again
    window.check_preview(prefix=(2,))
    window.heard.end_of(window.segment())
    assert log.read_text().count("fit") == 1
    window.paint((1,))
    window.check_preview()
    assert log.read_text().count("fit") == 2
    window.configure(after=1)
    window.check_preview()
    assert log.read_text().count("fit") == 3


def test_slow_previews_arrive_in_parts_from_the_middle(make_window):
    window = make_window((64, 240), slow_tiles=10**6, tile_s=0.03)
    box = Box((0, 100), (64, 200))
    window.heard.end_of(window.preview(box=box))
    parts = [e.box for e in window.heard.of_type(PreviewDone) if not e.final]
    assert len(parts) > 5
    middles = [abs((b.start[1] + b.stop[1]) / 2 - 150) for b in parts]
    assert np.mean(middles[:4]) < np.mean(middles[-4:])
    np.testing.assert_array_equal(window.out.array[:, 100:200], truth((64, 240))[:, 100:200])
    assert not window.out.array[:, :100].any()


def test_the_rest_of_the_plane_on_request_and_nothing_twice(window):
    box = Box((8, 20), (40, 52))
    window.heard.end_of(window.preview(box=box, whole_plane=True))
    shown = [event.box for event in window.heard.of_type(PreviewDone)]
    assert shown[0] == box
    times = np.zeros((64, 96), int)
    for part in shown:
        times[part.slices] += 1
    assert (times == 1).all()
    np.testing.assert_array_equal(window.out.array, truth((64, 96)))


def test_uncertainty_is_high_at_the_threshold_only(window):
    with SharedBuffer.create((64, 96), np.uint8) as uncertainty:
        window.image.array[:, :, 40:50] = 120
        window.heard.end_of(window.preview(uncertainty=uncertainty.handle))
        assert uncertainty.array[:, 41:49].min() > 200
        assert uncertainty.array[:, :30].max() < 180


def test_memory_that_runs_short_is_answered_by_smaller_steps(make_window):
    window = make_window(needs_steps_back=2)
    generation = window.preview()
    assert isinstance(window.heard.end_of(generation), PreviewDone)
    notes = [e.note.text for e in window.heard.events if type(e).__name__ == "JobNote"]
    assert len(notes) == 2
    assert "smaller steps" in notes[0]
    window.configure(needs_steps_back=3)
    failed = window.heard.end_of(window.preview())
    assert isinstance(failed, JobFailed)
    assert "smallest step" in failed.message


def test_what_a_library_prints_does_no_harm(make_window):
    make_window(misdeed="print").check_preview()


def test_mistakes_of_a_method_are_told_and_survived(make_window):
    window = make_window(misdeed="raise")
    failed = window.heard.end_of(window.preview())
    assert "report it" in failed.message
    assert "ZeroDivisionError" in failed.details
    window.configure(misdeed="refuse")
    failed = window.heard.end_of(window.segment())
    assert failed.message == "This image is too dark. Switch on the light."
    assert failed.details == ""
    window.configure(fit_needs_too_much=True)
    failed = window.heard.end_of(window.preview())
    assert failed.message.startswith("The memory is full")
    window.configure()
    window.check_preview()


def test_a_listener_that_fails_does_not_stop_the_events(fake_env, caplog):
    heard = Heard()

    def listen(event):
        heard(event)
        raise KeyError("a mistake in the dock")

    client = EngineClient(listen, env=fake_env)
    for device in ("cuda", "cpu"):
        client.send(Configure(device, "fake"))
    heard.wait_for(lambda e: isinstance(e, EngineReady))
    client.close()
    assert "a mistake in the dock" in caplog.text


def test_closed_image_stops_its_work_and_frees_its_memory(make_window):
    window = make_window((300, 64, 96), slow_tiles=10**6, tile_s=0.002)
    generation = window.segment()
    window.heard.wait_for(lambda e: isinstance(e, VolumeBlockDone))
    window.client.send(CloseImage("image"))
    assert window.heard.end_of(generation).cancelled
    window.close()
    failed = window.heard.end_of(window.preview())
    assert "No image 'image' is open" in failed.message
    assert not segments_in(window.client.pid)


def test_two_windows_do_not_disturb_each_other(make_window):
    one, other = make_window(), make_window((4, 32, 128))
    generations = one.segment(), other.segment()
    one.check_preview()
    other.check_preview()
    assert one.client.pid != other.client.pid
    psutil.Process(one.client.pid).kill()
    one.heard.wait_for(lambda e: isinstance(e, EngineDied))
    assert not other.heard.end_of(generations[1]).cancelled
    assert not other.heard.of_type(EngineDied)
    one.check_preview()


def test_engine_ended_on_request_gives_its_memory_back(window):
    window.check_preview()
    process = psutil.Process(window.client.pid)
    window.client.send(Shutdown())
    window.heard.wait_for(lambda e: isinstance(e, EngineDied))
    assert not process.is_running()
    window.check_preview()


@posix_only
def test_ctrl_c_is_left_to_the_window(window):
    window.check_preview()
    os.kill(window.client.pid, signal.SIGINT)
    window.check_preview()
    assert not window.heard.of_type(EngineDied)


def test_send_returns_at_once_even_if_the_engine_does_not_read(window):
    window.check_preview()
    process = psutil.Process(window.client.pid)
    process.suspend()
    noise = np.random.default_rng(0).integers(0, 3, (64, 96)).astype(np.uint8)
    begin = time.perf_counter()
    for _ in range(200):
        window.paint((1,), noise)
    # Waiting for the engine would take for ever: it is not running.
    assert time.perf_counter() - begin < TIMEOUT_S
    process.resume()
    window.paint((1,), np.zeros_like(noise))
    window.check_preview()


def test_requests_from_many_threads_are_all_answered(window):
    window.check_preview()
    generations = []
    threads = [
        threading.Thread(target=lambda: generations.append(window.preview())) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(generations)) == 20
    for generation in generations:
        window.heard.end_of(generation)


SEGMENTS = Path("/dev/shm")  # noqa: S108 - where Linux keeps them


def test_messages_that_cannot_be_read_are_refused_on_either_side(window):
    window.check_preview()
    process = window.client._process
    noise = np.random.default_rng(0).bytes(10_000)
    for body in (b"", b"not a pickle", noise, b"cno.such.module\nThing\n."):
        since = len(window.heard.events)
        wire.write(process._popen.stdin, body)
        failed = window.heard.wait_for(lambda e: isinstance(e, JobFailed), since=since)
        assert failed.generation is None
    window.check_preview()
    # One that cannot be written is told too, and those after it arrive.
    since = len(window.heard.events)
    window.client.send(lambda: None)
    failed = window.heard.wait_for(lambda e: isinstance(e, JobFailed), since=since)
    assert "could not be sent" in failed.message
    window.check_preview()
    assert not window.heard.of_type(EngineDied)


def test_nothing_grows_with_strokes_and_cancelled_volumes(make_window):
    window = make_window((40, 64, 96), slow_tiles=10**6, tile_s=0.0001)
    window.check_preview()
    process = psutil.Process(window.client.pid)
    strokes_so_far = strokes(window.shape)
    rng = np.random.default_rng(0)

    def measure():
        window.check_preview()
        return process.memory_info().rss, len(segments_in(process.pid)), process.num_threads()

    def work(n_strokes, n_volumes):
        for _ in range(n_strokes):
            y, x = rng.integers(0, 64), rng.integers(0, 40)
            strokes_so_far[y, x] = 1
            window.paint(plane=strokes_so_far.copy())
            window.heard.end_of(window.preview())
        for _ in range(n_volumes):
            since = len(window.heard.events)
            generation = window.segment()
            window.heard.wait_for(lambda e: isinstance(e, VolumeBlockDone), since=since)
            window.client.cancel(generation, grace_s=TIMEOUT_S)
            assert window.heard.end_of(generation)

    work(20, 3)
    n_threads = threading.active_count()
    before = measure()
    work(200, 20)
    after = measure()
    assert after[0] - before[0] < 8 * 1024**2
    assert after[1:] == before[1:]
    assert threading.active_count() <= n_threads + 1  # a timer may be on its way out


ORPHAN = """
import sys
sys.path.append({folder!r})
import engine_harness
from napari_regcon.worker.client import EngineClient
from napari_regcon.worker.process import EngineProcess
from napari_regcon.worker.protocol import VolumeBlockDone
heard = engine_harness.Heard()
window = engine_harness.Window(EngineClient(heard, env={env!r}), heard, (300, 64, 96))
window.configure({parameters})
window.open()
window.paint()
window.segment()
heard.wait_for(lambda e: isinstance(e, VolumeBlockDone))
names = [b.handle.name for b in (window.image, window.out, window.volume)]
print(window.client.pid, *names, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not SEGMENTS.is_dir(), reason="looks where Linux keeps segments")
@pytest.mark.parametrize("parameters", ["", "misdeed='hang', after=50"])
def test_nothing_outlives_a_killed_window(fake_env, parameters):
    code = ORPHAN.format(folder=str(Path(__file__).parent), env=fake_env, parameters=parameters)
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as parent:
        pid, *names = parent.stdout.readline().split() or pytest.fail(parent.stderr.read())
        engine = psutil.Process(int(pid))
        assert all((SEGMENTS / name).exists() for name in names)
        parent.kill()
        engine.wait(TIMEOUT_S)
        parent.stderr.read()  # ends when all that came from the window has ended
    assert not [name for name in names if (SEGMENTS / name).exists()]


def test_fakes_are_where_engines_find_them():
    assert (Path(FAKE_ENGINE) / "sitecustomize.py").is_file()
    assert TIMEOUT_S > 1
