"""What a benchmark ran on: commit, versions, device. Goes into every result once."""

from __future__ import annotations

import datetime as dt
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


def code_version() -> str:
    """Return the newest commit that changed code, with a mark where it was changed since."""
    commit = _git("log", "-1", "--format=%h", "--", "src", "benchmarks")
    changed = _git("status", "--porcelain", "--", "src", "benchmarks")
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
