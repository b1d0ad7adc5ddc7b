"""``napari-regcon regions``: the pieces that an image falls into, as a label file."""

from typing import Annotated

import typer

from napari_regcon._cli.console import follow, peak_memory
from napari_regcon._cli.learn import report
from napari_regcon._cli.options import (
    AxesOption,
    DeviceOption,
    ImageArgument,
    OverwriteOption,
    ResultOption,
    described,
)
from napari_regcon.config import RegionsConfig


def regions(
    image: ImageArgument,
    *,
    out: ResultOption,
    granularity: Annotated[
        float, described(RegionsConfig, "granularity")
    ] = RegionsConfig.granularity,
    smoothing_px: Annotated[
        float, described(RegionsConfig, "smoothing_px")
    ] = RegionsConfig.smoothing_px,
    smallest_px: Annotated[
        int, described(RegionsConfig, "smallest_px")
    ] = RegionsConfig.smallest_px,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Also cut along what pre-trained features see: a registered name, or a file.",
            metavar="NAME|FILE",
        ),
    ] = None,
    device: DeviceOption = "auto",
    axes: AxesOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Cut an image into regions that follow its edges; no labels needed."""
    from napari_regcon.data.volumes import open_volume
    from napari_regcon.engine.regions import partition_volume

    config = RegionsConfig(granularity, smoothing_px, smallest_px)
    volume = open_volume(image, axes=axes)
    events = partition_volume(
        volume, out, config, weights=weights, device=device, overwrite=overwrite
    )
    finished = follow(events, "Cutting into regions")
    for path in finished.outputs:
        report("Written", str(path))
    report("Time", f"{finished.elapsed_s:.1f} s, peak memory {peak_memory()}")
