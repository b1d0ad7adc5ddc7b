"""``napari-regcon pretrain``: train features, or a network that segments in context."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from napari_regcon._cli.console import stderr, stdout
from napari_regcon._cli.options import DeviceOption, check_network_file, described
from napari_regcon.config import PretrainConfig
from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from napari_regcon.data.context_tasks import ContextSource
    from napari_regcon.data.episodes import EpisodeSource
    from napari_regcon.data.recipe import Recipe
    from napari_regcon.engine.pretrain_events import ContextLook, PretrainLook, PretrainStep
    from napari_regcon.engine.pretrained import Origin


def pretrain(
    recipe: Annotated[
        str | None,
        typer.Argument(
            help="A recipe that ships (regcon-em, adapt, universeg-em-light), or a TOML file. "
            "Where not given, adapt with --image and regcon-em without."
        ),
    ] = None,
    *,
    out: Annotated[Path, typer.Option("--out", help="The weights, a .safetensors file.")],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Folder of data-set folders with a dataset.toml each; those with the role "
            "'train' are used.",
        ),
    ] = None,
    image: Annotated[
        list[Path] | None,
        typer.Option(
            "--image", help="An image of your own, without labels. Repeat it for several."
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            help="Weights to begin with, such as regcon-em: a registered name or a file. Random "
            "ones where not given."
        ),
    ] = None,
    minutes: Annotated[float | None, described(PretrainConfig, "minutes")] = None,
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
    """Train features on many images, or adapt some to your own (--start regcon-em --image FILE).

    No labels are needed. An interrupted run goes on where it stopped.
    """
    checkpoint = out.with_suffix(".checkpoint.pt")
    check_network_file(out, overwrite=overwrite or checkpoint.exists())
    from napari_regcon.data.recipe import read_recipe

    name = recipe or ("adapt" if image else "regcon-em")
    chosen = read_recipe(name)
    if steps is not None:
        chosen = replace(chosen, train=replace(chosen.train, steps=steps, minutes=0.0))
    if minutes is not None:
        chosen = replace(chosen, train=replace(chosen.train, minutes=minutes))
    files = _Files(out, checkpoint, data, image or [])
    _train(Path(name).stem, chosen, files, start, device, overwrite=overwrite, until=stop_after)


@dataclass(frozen=True)
class _Files:
    out: Path
    checkpoint: Path
    data: Path | None
    images: list[Path]


def _train(
    name: str,
    recipe: "Recipe",
    files: _Files,
    start: str | None,
    device: str,
    *,
    overwrite: bool,
    until: int | None,
) -> None:
    from napari_regcon.engine.checkpoint import read_checkpoint
    from napari_regcon.engine.pretrain import pretrain
    from napari_regcon.engine.pretrain_events import (
        CheckpointWritten,
        ContextLook,
        PretrainLook,
        PretrainStep,
    )
    from napari_regcon.engine.pretrained import save_pretrained
    from napari_regcon.engine.train_recipe import training_of

    training, parent = training_of(recipe, start=start, device=device)
    recipe = replace(recipe, train=training.config)
    if overwrite:
        files.checkpoint.unlink(missing_ok=True)
    elif files.checkpoint.is_file():
        read_checkpoint(files.checkpoint, recipe.train)
    source, origin = _sources(name, recipe, files)
    origin = replace(origin, parent=parent)
    begin = time.monotonic()
    last: PretrainStep | None = None
    for event in pretrain(training, source, files.checkpoint):
        if isinstance(event, CheckpointWritten):
            save_pretrained(training, files.out, origin)
            if event.step == until:
                break
        elif isinstance(event, PretrainStep):
            last = event
        elif last is not None and isinstance(event, ContextLook | PretrainLook):
            _say(last, event)
    stdout.print(f"Wrote {files.out} after {time.monotonic() - begin:.0f} s.", markup=False)


def _sources(
    name: str, recipe: "Recipe", files: _Files
) -> "tuple[EpisodeSource | ContextSource, Origin]":
    """Read all there is to learn from, and say what it is."""
    from napari_regcon.data.fingerprint import about_image
    from napari_regcon.data.normalize import estimate_normalization
    from napari_regcon.data.training import recipe_corpora, recipe_planes
    from napari_regcon.data.volumes import open_volume
    from napari_regcon.data.windows import image_windows
    from napari_regcon.engine.pretrained import Origin
    from napari_regcon.engine.train_recipe import source_of

    with stderr.status("Reading the images and drawing the phantoms"):
        images = [open_volume(path) for path in files.images]
        corpora = recipe_corpora(recipe, files.data)
        planes = list(recipe_planes(recipe, corpora))
        families = sorted({plane.group.partition("/")[0] for plane in planes})
        if images:
            known = [(volume, estimate_normalization(volume)) for volume in images]
            planes += image_windows(known, seed=recipe.train.seed)
    if not planes:
        raise InputError(
            "There is nothing to train on: no --image, and no data set of the role 'train'."
        )
    names = ", ".join([*families, *(volume.name for volume in images)])
    stderr.print(Text(f"{len(planes)} planes of {names}"))
    source = source_of(recipe, planes)
    return source, Origin(name, recipe, families, corpora, list(map(about_image, images)))


def _say(step: "PretrainStep", look: "PretrainLook | ContextLook") -> None:
    from napari_regcon.engine.pretrain_events import ContextLook

    losses = ", ".join(f"{name} {value:.3f}" for name, value in step.losses.items())
    seen = (
        f"Dice of the last queries {look.dice:.2f}"
        if isinstance(look, ContextLook)
        else f"rank {look.effective_rank:.1f}, regions in use {look.region_use:.1f}"
    )
    stderr.print(
        Text(f"step {step.step} ({step.done:.0%}): {losses}; {seen}, {step.elapsed_s:.0f} s")
    )
