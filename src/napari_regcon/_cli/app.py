"""The ``napari-regcon`` command: its subcommands, and how errors end it.

An error that the tool raises on purpose is printed in plain words and ends the command with
exit status 2; ``--debug`` shows where it came from. Ctrl-C ends it with 130, after tidying up.
Commands import what they need when they run, so that ``--help`` is quick.
"""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from napari_regcon import __version__
from napari_regcon._cli import weights
from napari_regcon._cli.console import show_error, stderr, stdout
from napari_regcon._cli.demo import demo
from napari_regcon._cli.finetune import finetune
from napari_regcon._cli.pretrain import pretrain
from napari_regcon._cli.regions import regions
from napari_regcon._cli.segment import segment
from napari_regcon._cli.spread import spread
from napari_regcon.errors import RegconError


class _Commands(TyperGroup):
    """A group of commands that ends with a message instead of a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command the user asked for."""
        try:
            return super().invoke(ctx)
        except RegconError as error:
            if ctx.params.get("debug"):
                raise
            show_error(error)
            raise typer.Exit(2) from error
        except KeyboardInterrupt as error:
            stderr.print("Stopped. Nothing incomplete was left behind.")
            raise typer.Exit(130) from error


app = typer.Typer(
    name="napari-regcon",
    cls=_Commands,
    help="Paint a few labels, get the whole microscopy volume segmented.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        stdout.print(f"napari-regcon {__version__}")
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
) -> None:
    """Paint a few labels, get the whole microscopy volume segmented."""


app.command()(segment)
app.command()(demo)
app.command()(regions)
app.command()(spread)
app.command()(finetune)
app.command()(pretrain)
app.add_typer(weights.app, name="weights")


def main() -> None:
    """Run the command line."""
    app()
