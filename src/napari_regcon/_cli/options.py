"""Command-line options made from the configuration classes of the methods.

A parameter is described once, in :mod:`napari_regcon.config`; here it becomes an option with
the same name, help and range. Nothing here knows what a method does.
"""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_regcon.config import DEVICES, Parameter, parameters
from napari_regcon.engine.registry import METHODS, method_of_weights
from napari_regcon.errors import InputError

PANEL = "Parameters of the methods"


def with_method_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option for each parameter of each method.

    Parameters
    ----------
    command : callable
        Takes a keyword argument ``parameters``: the values the user gave, by name.

    Returns
    -------
    callable
        The same command, with the options in its signature in place of ``parameters``.
    """
    described: dict[str, list[tuple[str, Parameter]]] = {}
    for method, config in METHODS.items():
        for item in parameters(config):
            described.setdefault(item.name, []).append((method, item))

    @functools.wraps(command)
    def with_parameters(**values: Any) -> None:
        given = {name: values.pop(name) for name in described}
        command(**values, parameters={k: v for k, v in given.items() if v is not None})

    signature = inspect.signature(command)
    kept = [p for p in signature.parameters.values() if p.name != "parameters"]
    added = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_annotation(name, owners)
        )
        for name, owners in described.items()
    ]
    kept = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in kept]
    with_parameters.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*kept, *added]
    )
    with_parameters.__annotations__ = {p.name: p.annotation for p in (*kept, *added)}
    return with_parameters


def _annotation(name: str, owners: list[tuple[str, Parameter]]) -> Any:
    lines = [f"{item.help} {_facts(method, item)}" for method, item in owners]
    if len({item.help for _, item in owners}) == 1:
        lines = [owners[0][1].help, *(_facts(method, item) for method, item in owners)]
    option = typer.Option(
        f"--{name.replace('_', '-')}",
        help=" ".join(lines),
        rich_help_panel=PANEL,
        show_default=False,
    )
    return Annotated[type(owners[0][1].default) | None, option]


def _facts(method: str, item: Parameter) -> str:
    parts = [f"default {item.default}"]
    if item.choices:
        parts.append("one of " + ", ".join(str(choice) for choice in item.choices))
    if item.minimum is not None and item.maximum is not None:
        parts.append(f"{item.minimum} to {item.maximum}")
    return f"({method}: {', '.join(parts)})"


def check_method(method: str, given: dict[str, Any]) -> None:
    """Check that a method or file of weights exists and has the parameters given for it.

    Raises
    ------
    InputError
        Names the methods, or the methods that have the parameter.
    WeightsError
        If a file is given that is for no method.
    """
    if method not in METHODS and Path(method).is_file():
        method, _ = method_of_weights(Path(method))
    if method not in METHODS:
        raise InputError(
            f"There is no method {method!r}.",
            expected=f"Expected one of {', '.join(METHODS)}, or a file of weights.",
        )
    allowed = {item.name for item in parameters(METHODS[method])}
    for name in given:
        if name not in allowed:
            owners = [m for m, c in METHODS.items() if name in {p.name for p in parameters(c)}]
            raise InputError(
                f"--{name.replace('_', '-')} is not a parameter of the method {method!r}.",
                expected=f"It belongs to {', '.join(owners)}.",
            )


def described(config: type, name: str) -> Any:
    """Return the option for one field of a configuration class, with its help and range."""
    item = next(item for item in parameters(config) if item.name == name)
    return typer.Option(
        f"--{name.replace('_', '-')}", help=item.help, min=item.minimum, max=item.maximum
    )


def check_network_file(out: Path, *, overwrite: bool) -> None:
    """Check before any training that its result can be written there.

    Raises
    ------
    InputError
        If the name is of another kind, the folder is not there, or the file is and must stay.
    """
    if out.suffix != ".safetensors":
        raise InputError(f"{out} does not end in .safetensors.")
    if not out.parent.is_dir():
        raise InputError(f"The folder {out.parent} does not exist.")
    if out.exists() and not overwrite:
        raise InputError(
            f"{out} exists already.", next_step="Add --overwrite to replace it, or choose another."
        )


DEVICE: Any = typer.Option(
    "--device",
    help=f"What to compute on: {', '.join(DEVICES)}. auto takes the fastest that works.",
    metavar="|".join(DEVICES),
)
DeviceOption = Annotated[str, DEVICE]
"""The option of every command that computes."""

ImageArgument = Annotated[Path, typer.Argument(help="The image: TIFF, zarr, MRC, NPY or PNG.")]
"""The image that a command works on."""
ResultOption = Annotated[
    Path, typer.Option("--out", help="The result, a name that ends in .zarr, .tif or .tiff.")
]
"""Where a command writes labels."""
AxesOption = Annotated[
    str | None,
    typer.Option(help="Axes of IMAGE, such as ZYX, where the file does not say or is wrong."),
]
"""The option of every command that reads an image."""
ClassesOption = Annotated[
    str | None,
    typer.Option(help="Names of the painted values in increasing order, such as 'er,golgi'."),
]
"""The option of every command that reads painted labels."""
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")]
"""The option of every command that writes labels."""
