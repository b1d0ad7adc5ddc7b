"""``napari-regcon pretrain``: train the features that the pixel head builds on."""

import time
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from napari_regcon._cli.console import stderr, stdout
from napari_regcon._cli.options import DeviceOption, check_network_file
from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from napari_regcon.data.corpus import Corpus
    from napari_regcon.data.training import Recipe
    from napari_regcon.engine.pretrain_events import PretrainStep

SAY_EVERY = 50
"""Steps between two lines."""


def pretrain(
    recipe: Annotated[
        str, typer.Argument(help="A recipe that ships (regcon-em), or a TOML file.")
    ] = "regcon-em",
    *,
    out: Annotated[Path, typer.Option("--out", help="The weights, a .safetensors file.")],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Folder of data-set folders with a dataset.toml each; those with the role "
            "'train' are used. Phantoms alone where not given.",
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps, if not those of the recipe.")
    ] = None,
    stop_after: Annotated[
        int | None,
        typer.Option(min=1, help="Stop at this step; the same command goes on from there."),
    ] = None,
    device: DeviceOption = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing files and begin anew.")
    ] = False,
) -> None:
    """Train features on many images; an interrupted run goes on where it stopped."""
    checkpoint = out.with_suffix(".checkpoint.pt")
    check_network_file(out, overwrite=overwrite or checkpoint.exists())
    from dataclasses import replace

    from napari_regcon.data.training import read_recipe
    from napari_regcon.engine.checkpoint import read_checkpoint

    chosen = read_recipe(_recipe_path(recipe))
    if steps is not None:
        chosen = replace(chosen, train=replace(chosen.train, steps=steps))
    if overwrite:
        checkpoint.unlink(missing_ok=True)
    elif checkpoint.is_file():
        read_checkpoint(checkpoint, chosen.train)
    _train(recipe, chosen, data, out, checkpoint, device=device, stop_after=stop_after)


def _train(
    name: str,
    recipe: "Recipe",
    data: Path | None,
    out: Path,
    checkpoint: Path,
    *,
    device: str,
    stop_after: int | None,
) -> None:
    from napari_regcon.data.episodes import EpisodeSource
    from napari_regcon.data.training import recipe_corpora, recipe_planes
    from napari_regcon.engine.embedding import save_network
    from napari_regcon.engine.pretrain import load_average, pretrain
    from napari_regcon.engine.pretrain_events import CheckpointWritten

    with stderr.status("Reading the images and drawing the phantoms"):
        corpora = recipe_corpora(recipe, data)
        planes = list(recipe_planes(recipe, corpora))
    if not planes:
        raise InputError("There is nothing to train on: no data set of the role 'train'.")
    families = sorted({plane.group.partition("/")[0] for plane in planes})
    stderr.print(Text(f"{len(planes)} planes of {', '.join(families)}"))
    source = EpisodeSource(planes, recipe.draw, recipe.shares)
    card = _card(name, recipe, families, corpora)
    start = time.monotonic()
    for event in pretrain(source, recipe.train, checkpoint, device=device):
        if isinstance(event, CheckpointWritten):
            save_network(load_average(event.path), out, card | {"steps": event.step})
            if event.step == stop_after:
                break
        elif event.step % SAY_EVERY == 0:
            _say(event)
    stdout.print(f"Wrote {out} after {time.monotonic() - start:.0f} s.", markup=False)


def _recipe_path(name: str) -> Path:
    shipped = Path(str(resources.files("napari_regcon"))) / "recipes"
    path = shipped / f"{name}.toml"
    if path.is_file():
        return path
    if not Path(name).is_file():
        names = ", ".join(sorted(p.stem for p in shipped.glob("*.toml")))
        raise InputError(
            f"There is no recipe {name!r}.", expected=f"Expected {names}, or a TOML file."
        )
    return Path(name)


def _card(
    name: str, recipe: "Recipe", families: list[str], corpora: "list[Corpus]"
) -> dict[str, Any]:
    from dataclasses import asdict

    from napari_regcon import __version__

    train = recipe.train
    told = {c.name: ", ".join(filter(None, (c.licence, c.source))) for c in corpora}
    drawn = "drawn by napari-regcon"
    return {
        "name": Path(name).stem,
        "licence": recipe.licence,
        "embedding": train.embedding,
        "regions": train.regions,
        "width": train.width,
        "levels": train.levels,
        "seed": train.seed,
        "data": families,
        "data_licences": "\n".join(f"{name}: {told.get(name, drawn)}" for name in families),
        "recipe": asdict(recipe),
        "made_with": f"napari-regcon {__version__}",
    }


def _say(step: "PretrainStep") -> None:
    losses = ", ".join(f"{name} {value:.3f}" for name, value in step.losses.items())
    stderr.print(
        Text(
            f"step {step.step} of {step.total}: {losses}; rank {step.effective_rank:.1f}, "
            f"regions in use {step.region_use:.1f}, {step.elapsed_s:.0f} s"
        )
    )
