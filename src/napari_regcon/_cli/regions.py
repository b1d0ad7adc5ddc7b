"""``napari-regcon regions``: the pieces that an image falls into, as a label file."""

from pathlib import Path
from typing import Annotated

import typer

from napari_regcon._cli.console import follow, peak_memory
from napari_regcon._cli.learn import report
from napari_regcon._cli.options import DeviceOption, described
from napari_regcon.config import RegionsConfig


def regions(
    image: Annotated[Path, typer.Argument(help="The image: TIFF, zarr, MRC, NPY or PNG.")],
    *,
    out: Annotated[
        Path, typer.Option("--out", help="The result, a name that ends in .zarr, .tif or .tiff.")
    ],
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
    axes: Annotated[
        str | None,
        typer.Option(help="Axes of IMAGE, such as ZYX, where the file does not say or is wrong."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
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
