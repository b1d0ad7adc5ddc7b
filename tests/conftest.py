"""Fixtures for all tests. Every test fails if it leaves a widget, a thread or a process behind."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time

# Set before torch is imported anywhere, so that runs are quick and repeatable on busy machines.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("NAPARI_REGCON_OFFLINE", "1")

import psutil
import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says more about what else the machine does than about the code.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

# Pools that libraries, and the classifier, keep for the life of the interpreter on purpose.
LIBRARY_THREADS = (
    "regcon-shares",
    "ThreadPoolExecutor",
    "zarr",
    "asyncio",
    "Dummy",
    "QtDBus",
    "fsspec",
    "pytest_timeout",
)
PATIENCE_S = 20.0


def _threads() -> set[threading.Thread]:
    return {
        t
        for t in threading.enumerate()
        if not t.name.startswith(LIBRARY_THREADS) and t is not threading.current_thread()
    }


def _children() -> set[int]:
    found = set()
    for child in psutil.Process().children(recursive=True):
        try:
            command = " ".join(child.cmdline())
        except psutil.Error:
            continue
        # Python's own helper for shared memory, and the virtual screen, live as long as we do.
        if child.status() != psutil.STATUS_ZOMBIE and not any(
            word in command for word in ("resource_tracker", "Xvfb", "dbus")
        ):
            found.add(child.pid)
    return found


def _widgets() -> set[int]:
    widgets = sys.modules.get("qtpy.QtWidgets")
    app = widgets.QApplication.instance() if widgets else None
    return {id(w) for w in app.topLevelWidgets()} if app else set()


def _left(before: tuple[set, set, set]) -> str:
    threads = _threads() - before[0]
    children = _children() - before[1]
    widgets = _widgets() - before[2]
    parts = []
    if threads:
        parts.append(f"threads {sorted(t.name for t in threads)}")
    if children:
        parts.append(f"processes {sorted(children)}")
    if widgets:
        from qtpy.QtWidgets import QApplication

        kinds = [repr(w) for w in QApplication.topLevelWidgets() if id(w) in widgets]
        parts.append(f"widgets {kinds}")
    return ", ".join(parts)


def _settle() -> None:
    gc.collect()
    core = sys.modules.get("qtpy.QtCore")
    app = core.QCoreApplication.instance() if core else None
    if app:
        app.sendPostedEvents(None, core.QEvent.Type.DeferredDelete.value)
        app.processEvents()


@pytest.fixture(autouse=True)
def no_leaks():
    """Fail a test that leaves widgets, threads or processes behind."""
    before = (_threads(), _children(), _widgets())
    yield
    deadline = time.monotonic() + PATIENCE_S
    while left := _left(before):
        _settle()
        if time.monotonic() > deadline:
            pytest.fail(f"The test left behind: {left}")
        time.sleep(0.02)
