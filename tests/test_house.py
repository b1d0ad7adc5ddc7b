"""The promises of the house: what importing costs, and that the leak fixture works."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import napari_regcon as rc

ROOT = Path(__file__).parents[1]


def _imports(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_imports_nothing_heavy():
    loaded = _imports("import napari_regcon")
    assert not loaded & {"torch", "napari", "numpy", "qtpy", "skimage"}


@pytest.mark.parametrize(
    "module", ["data.volumes", "data.support", "session", "worker.client", "worker.protocol"]
)
def test_what_the_window_uses_never_imports_torch(module):
    loaded = _imports(f"import napari_regcon.{module}")
    assert not loaded & {"torch", "napari", "qtpy"}


def test_the_command_line_starts_without_torch():
    loaded = _imports("import napari_regcon._cli.app")
    assert not loaded & {"torch", "napari", "qtpy"}


@pytest.mark.gui
def test_the_dock_never_imports_torch():
    loaded = _imports("import napari_regcon._qt.widget")
    assert "napari" in loaded
    assert "torch" not in loaded


@pytest.mark.parametrize("name", rc.__all__)
def test_every_public_name_resolves(name):
    assert getattr(rc, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        _ = rc.nonsense


def test_public_names_are_listed():
    assert set(rc.__all__) <= set(dir(rc))


def test_the_leak_fixture_fails_a_test_that_leaks(pytester):
    conftest = (
        (ROOT / "tests" / "conftest.py")
        .read_text()
        .replace("PATIENCE_S = 20.0", "PATIENCE_S = 0.1")
    )
    pytester.makeconftest(conftest)
    pytester.makepyfile(
        """
        import subprocess, sys, threading

        stop = threading.Event()

        def test_thread():
            threading.Thread(target=stop.wait, name="left-behind").start()

        def test_end():
            stop.set()

        child = []

        def test_process():
            child.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))

        def test_kill():
            child[0].kill()
            child[0].communicate()
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:xvfb", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=4, errors=2)
    result.stdout.fnmatch_lines(["*left-behind*", "*processes*"])
