"""``napari-regcon weights``: list, fetch, import and look at weights.

Only shows and asks; everything is decided in :mod:`napari_regcon.engine.weights`. torch is
imported by the commands that read tensors, not by ``list`` and ``fetch``.
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from napari_regcon._cli.console import follow, stdout
from napari_regcon.engine import weights

app = typer.Typer(help="List, fetch, import and look at weights.", no_args_is_help=True)

_AcceptLicence = Annotated[
    bool, typer.Option("--accept-licence", help="Accept a research-only licence, once for all.")
]


@app.command("list")
def list_weights() -> None:
    """Show the weights there are, and whether they are on this computer."""
    table = Table("name", "for", "method", "size", "licence", "here")
    for column in table.columns:
        column.overflow = "fold"
    table.columns[0].no_wrap = True
    for entry in weights.entries():
        size = decimal(entry.size_bytes)
        row = (entry.name, entry.task, entry.method, size, entry.licence, _state(entry))
        table.add_row(*map(_text, row))
    stdout.print(table, soft_wrap=False)
    _say(f"Folder: {weights.weights_dir()}")


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A name from 'weights list'.")],
    accept_licence: _AcceptLicence = False,
) -> None:
    """Get weights from the network, once, and check them."""
    accepted = accept_licence or _ask_for_licence(weights.find(name))
    finished = follow(weights.iter_fetch(name, accept_licence=accepted), name)
    _say(f"{name} is at {finished.outputs[0]}")


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="A PyTorch or safetensors file.")],
    name: Annotated[str | None, typer.Option(help="What to call the weights.")] = None,
    accept_licence: _AcceptLicence = False,
) -> None:
    """Check a file from elsewhere and copy it into the weights folder."""
    info = weights.import_file(file, name=name, accept_licence=accept_licence)
    _say(f"Imported as {info.name}, {info.n_parameters:,} parameters, to {info.path}")
    _say(f"SHA-256 {info.sha256}")


@app.command()
def remove(name: Annotated[str, typer.Argument(help="A name from 'weights list'.")]) -> None:
    """Delete weights that were fetched, imported or made."""
    weights.remove(name)
    _say(f"Deleted {name}.")


@app.command()
def info(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A name, or a file.")],
) -> None:
    """Show checksum, licence, tensors and description of weights."""
    entry = next((entry for entry in weights.entries() if entry.name == name), None)
    if entry and not weights.path_of(entry).exists():
        expected = {
            "SHA-256": weights.known_sum(entry) or "recorded at the first fetch",
            "expected at": str(weights.path_of(entry)),
            "here": _state(entry),
        }
        _say_facts(_entry_facts(entry) | expected)
        return
    state, read = weights.load_state(name)
    facts = {
        "name": read.name,
        "licence": read.licence,
        "file": str(read.path),
        "size": f"{read.size_bytes:,} bytes",
        "SHA-256": read.sha256,
        "tensors": f"{read.n_tensors}, with {read.n_parameters:,} parameters in all",
    }
    _say_facts(facts | (_entry_facts(entry) if entry else {}))
    if read.card:
        _say("\nThe file says about itself:")
        _say_facts({key: str(value) for key, value in read.card.items()})
    _print_tensors(state)


def _entry_facts(entry: weights.WeightsEntry) -> dict[str, str]:
    facts = {
        "name": entry.name,
        "for": entry.task,
        "method": entry.method,
        "version": entry.version,
        "licence": f"{entry.licence} {entry.licence_url}".strip(),
        "cite": entry.citation,
        "from": entry.url or "",
    }
    return {key: value for key, value in facts.items() if value}


def _print_tensors(state: dict[str, Any]) -> None:
    table = Table("tensor", "shape", "type")
    for key, tensor in state.items():
        shape = " x ".join(map(str, tensor.shape)) or "one number"
        table.add_row(_text(key), shape, str(tensor.dtype).removeprefix("torch."))
    stdout.print(table, soft_wrap=False)


def _ask_for_licence(entry: weights.WeightsEntry) -> bool:
    """Show a licence that has to be accepted, and ask where somebody can answer."""
    if weights.licence_accepted(entry) or not sys.stdin.isatty():
        return False
    _say(f"{entry.name} comes under the licence {entry.licence}.")
    _say(f"Read it at {entry.licence_url}")
    return typer.confirm("Do you accept it?")


def _state(entry: weights.WeightsEntry) -> str:
    if entry.packaged_file:
        return "ships with the plugin"
    if not weights.path_of(entry).exists():
        return "no; fetch it" if entry.url else "no; import it again"
    return "yes" if weights.licence_accepted(entry) else "yes, licence not accepted"


def _say(line: str) -> None:
    stdout.print(_text(line))


def _say_facts(facts: dict[str, str]) -> None:
    width = max(map(len, facts)) + 1
    for key, value in facts.items():
        _say(f"{key + ':':<{width}} " + value.replace("\n", "\n" + " " * (width + 1)))


def _text(value: str) -> Text:
    """Return text in which neither markup nor control characters of a file take effect."""
    return Text("".join(c if c.isprintable() or c == "\n" else "?" for c in value))
