"""``napari-regcon weights`` as a user types it."""

import subprocess
import sys

import pytest
import torch
import typer
from typer.testing import CliRunner

from napari_regcon._cli import weights as commands
from napari_regcon._cli.app import app
from napari_regcon._cli.console import stdout
from napari_regcon.engine import weights
from weights_server import Answer, serve


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_REGCON_WEIGHTS_DIR", str(tmp_path / "weights"))
    monkeypatch.setattr(stdout, "width", 200)  # whatever the terminal is where tests run
    monkeypatch.delenv("NAPARI_REGCON_OFFLINE", raising=False)
    return tmp_path / "weights"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.pt"
    card = {"licence": "MIT", "trained on": "[bold]cells[/bold]\x1b[2J"}
    torch.save({"state_dict": {"conv.weight": torch.zeros(8, 2, 3)}, "card": card}, path)
    return path


def run(*arguments, status=0):
    result = CliRunner().invoke(app, ["weights", *map(str, arguments)])
    assert result.exit_code == status, result.output
    return result.output


def test_list_shows_what_there_is_and_where(folder, file):
    output = run("list")
    assert "universeg-v1" in output
    assert "OpenRAIL++-M" in output
    assert "no; fetch it" in output
    assert str(folder) in output.replace("\n", "")
    weights.import_file(file)
    assert "mine" in run("list")


def test_list_is_quick_because_it_leaves_torch_alone(folder):
    code = (
        "import sys; from napari_regcon._cli.app import app; "
        "app(['weights', 'list'], standalone_mode=False); "
        "sys.exit(bool({'torch', 'napari', 'qtpy'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


def test_import_then_info(folder, file):
    output = run("import", file, "--name", "net-1")
    assert "Imported as net-1, 48 parameters" in output
    sha256 = weights.load_state("net-1")[1].sha256
    assert sha256 in output
    for output in (run("info", "net-1"), run("info", file)):
        assert sha256 in output
        assert "MIT" in output
        assert "conv.weight" in output
        assert "8 x 2 x 3" in output
        assert "[bold]cells[/bold]?[2J" in output


def test_removed_weights_are_gone(folder, file):
    run("import", file, "--name", "net-1")
    assert "Deleted net-1" in run("remove", "net-1")
    assert "net-1" not in run("list")
    assert not list(folder.glob("net-1*"))


def test_info_before_the_first_fetch(folder):
    output = run("info", "universeg-v1")
    for words in ("LICENSE-model", "ICCV 2023", "universeg_v1_nf64_ss64_STA.pt", "no; fetch it"):
        assert words in output


def test_info_on_a_foreign_file_is_a_plain_error(folder, tmp_path):
    (tmp_path / "picture.pt").write_bytes(b"\x89PNG and so on")
    output = run("info", tmp_path / "picture.pt", status=2)
    assert "PNG image" in output
    assert "Traceback" not in output


@pytest.fixture
def server(folder, file, monkeypatch):
    with serve(Answer(file.read_bytes())) as server:
        official = weights.REGISTRY["universeg-v1"]
        entry = weights.WeightsEntry(
            name="toy",
            task="tests",
            method="in-context",
            licence="Only for research",
            licence_url="https://example.org/licence",
            research_only=True,
            size_bytes=file.stat().st_size,
            sha256=None,
            url=server.url,
            packaged_file=None,
            citation=official.citation,
            version="1",
        )
        monkeypatch.setitem(weights.REGISTRY, "toy", entry)
        yield server


def test_fetch_asks_for_the_licence_once(folder, server):
    output = run("fetch", "toy", status=2)
    assert "Only for research" in output
    assert "--accept-licence" in output
    assert str(folder / "toy_v1.pt") in run("fetch", "toy", "--accept-licence")
    assert str(folder / "toy_v1.pt") in run("fetch", "toy")
    assert len(server.requests) == 1
    assert "yes" in run("list")


@pytest.mark.parametrize("answer", [True, False])
def test_at_a_terminal_the_licence_is_a_question(folder, server, monkeypatch, answer):
    asked = []
    monkeypatch.setattr(commands.sys, "stdin", Terminal())
    monkeypatch.setattr(typer, "confirm", lambda text: asked.append(text) or answer)
    if answer:
        commands.fetch("toy")
        assert (folder / "toy_v1.pt").exists()
    else:
        with pytest.raises(weights.WeightsError, match="accepted once"):
            commands.fetch("toy")
    assert len(asked) == 1


class Terminal:
    def isatty(self):
        return True


def test_fetch_offline_says_how_to_import(folder, monkeypatch):
    monkeypatch.setenv("NAPARI_REGCON_OFFLINE", "1")
    output = run("fetch", "universeg-v1", "--accept-licence", status=2)
    assert "weights import FILE --name universeg-v1" in output
    assert "universeg_v1_nf64_ss64_STA.pt" in output


def test_unknown_name(folder):
    assert "universeg-v1" in run("fetch", "nothing", status=2)
    assert "There are no weights called" in run("info", "nothing", status=2)
