"""``napari-regcon finetune``: train a small network on painted labels, and write it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from napari_regcon._cli.console import stderr, stdout
from napari_regcon._cli.learn import LabelFiles, read_support, report, report_classes
from napari_regcon._cli.options import (
    AxesOption,
    ClassesOption,
    DeviceOption,
    ImageArgument,
    check_network_file,
    described,
)
from napari_regcon.config import FinetuneConfig

if TYPE_CHECKING:
    from napari_regcon.engine.finetune import FineTuning
    from napari_regcon.engine.weights import WeightsInfo

SCRATCH = "scratch"
"""Stands for weights that are random to begin with."""
_SAY_EVERY_S = 10.0


def finetune(
    image: ImageArgument,
    *,
    labels: Annotated[
        list[Path],
        typer.Option(
            "--labels",
            help="Labels painted on the image, same shape: 0 = not said, any other value = a "
            "class. Repeat it with --support-image.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The network, a .safetensors file.")],
    minutes: Annotated[float, described(FinetuneConfig, "minutes")] = 3.0,
    steps: Annotated[int, described(FinetuneConfig, "steps")] = 0,
    start: Annotated[
        str,
        typer.Option(
            help="Weights to begin with: a registered name or a file, pre-trained or made by this "
            "command; 'scratch' for none."
        ),
    ] = "regcon-em",
    downscale: Annotated[int, described(FinetuneConfig, "downscale")] = 1,
    neighbours: Annotated[int, described(FinetuneConfig, "neighbours")] = 0,
    compact: Annotated[str, described(FinetuneConfig, "compact")] = "",
    seed: Annotated[int, described(FinetuneConfig, "seed")] = 0,
    complete: Annotated[
        bool,
        typer.Option(
            "--complete",
            help="Slices with any label are finished: what is not painted on them is background.",
        ),
    ] = False,
    classes: ClassesOption = None,
    support_image: Annotated[
        list[Path] | None,
        typer.Option(
            help="Another image that --labels were painted on. Repeat both options in the same "
            "order for several. One --labels more than these: the first is for IMAGE."
        ),
    ] = None,
    axes: AxesOption = None,
    device: DeviceOption = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing files, and begin anew.")
    ] = False,
) -> None:
    """Train a small network on painted labels; 'segment --method FILE' then uses it.

    Ctrl-C stops; the same command goes on where it was.
    """
    config = FinetuneConfig(
        minutes=minutes,
        steps=steps,
        downscale=downscale,
        neighbours=neighbours,
        compact=compact,
        seed=seed,
    )
    check_network_file(out, overwrite=overwrite)
    keep = out.with_suffix(".training")
    if overwrite:
        keep.unlink(missing_ok=True)
    files = LabelFiles(labels, support_image or [], axes, complete, classes)
    _, support, values = read_support(image, files)
    with stderr.status("Loading the method"):
        from napari_regcon.engine.finetune import FineTuning
        from napari_regcon.engine.finetune_start import load_start

        net, parent = (None, None) if start == SCRATCH else load_start(start)
    tuning = FineTuning(support, config, start=net, device=device)
    report("Device", f"{tuning.device.label} ({tuning.device.reason.rstrip('.')})")
    report_classes(support, values)
    _train(tuning, keep)
    _write(tuning, out, parent)
    keep.unlink(missing_ok=True)


def _train(tuning: "FineTuning", keep: Path) -> None:
    from napari_regcon.engine.finetune import finetune as train
    from napari_regcon.engine.finetune_events import FinetuneCheck, FinetuneStep

    if not tuning.has_held_out:
        stderr.print(
            Text(
                "No class has four strokes or more, so all are learnt from and none is left to "
                "judge the network by.",
                style="yellow",
            )
        )
    said_s = 0.0
    for event in train(tuning, keep):
        match event:
            case FinetuneStep(elapsed_s=elapsed) if elapsed - said_s >= _SAY_EVERY_S:
                said_s = elapsed
                stderr.print(Text(f"step {event.step}, {elapsed:.0f} s: loss {event.loss:.3f}"))
            case FinetuneCheck(is_best=True):
                found = ", ".join(f"{name} {value:.3f}" for name, value in event.dice.items())
                stderr.print(Text(f"step {event.step}: best so far, Dice {found}"))


def _write(tuning: "FineTuning", out: Path, parent: "WeightsInfo | None") -> None:
    from napari_regcon.engine.finetuned import card_of, save_finetuned

    save_finetuned(tuning.result(), out, card_of(tuning, parent))
    if tuning.best is not None:
        found = ", ".join(f"{name} {value:.3f}" for name, value in tuning.best.dice.items())
        report("Held out", f"Dice {found} (strokes not learnt from)")
    if tuning.best is not None and tuning.best.rival:
        found = ", ".join(f"{name} {value:.3f}" for name, value in tuning.best.rival.items())
        report("Pixel classifier", f"Dice {found} (the same strokes)")
    stdout.print(f"Wrote {out} after {tuning.step} steps, {tuning.elapsed_s:.0f} s.", markup=False)
