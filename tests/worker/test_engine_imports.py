"""The window's side must start fast: it never imports torch."""

from __future__ import annotations

import subprocess
import sys


def test_the_window_never_imports_torch_nor_qt():
    code = (
        "import importlib, pkgutil, sys, napari_regcon\n"
        "for package in ('session', 'data'):\n"
        "    parent = importlib.import_module('napari_regcon.' + package)\n"
        "    for m in pkgutil.walk_packages(parent.__path__, parent.__name__ + '.'):\n"
        "        importlib.import_module(m.name)\n"
        "for name in ('client', 'protocol', 'shared', 'state', 'process', 'pending'):\n"
        "    importlib.import_module('napari_regcon.worker.' + name)\n"
        "wrong = {'torch', 'napari', 'qtpy', 'PyQt6'} & set(sys.modules)\n"
        "sys.exit(f'imported: {wrong}' if wrong else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_engine_has_its_pipes_before_it_imports_torch():
    code = (
        "import sys, napari_regcon.worker.server\n"
        "sys.exit(bool({'torch', 'numpy.testing', 'dask'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
