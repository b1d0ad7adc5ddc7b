"""What a benchmark ran on: commit, versions, device. Goes into every result once."""

from __future__ import annotations

import datetime as dt
import functools
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("napari-regcon", "torch", "numpy", "scikit-image", "scikit-learn")


def environment() -> dict[str, Any]:
    """Return commit, date, versions and device, as plain values for JSON."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return {
        "commit": code_version(),
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "device": device,
        "cpu": _cpu(),
        "cpu_count": os.cpu_count(),
        "platform": platform.platform(terse=True),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }


@functools.cache
def code_version(*places: str) -> str:
    """Return the newest commit that changed some places, marked where they were changed since.

    Parameters
    ----------
    *places : str
        Files and folders; all code where none is given.
    """
    places = places or ("src", "benchmarks")
    commit = _git("log", "-1", "--format=%h", "--", *places)
    changed = _git("status", "--porcelain", "--", *places)
    return f"{commit}-changed" if changed else commit or "unknown"


def _git(*words: str) -> str:
    done = subprocess.run(
        ["git", *words],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
