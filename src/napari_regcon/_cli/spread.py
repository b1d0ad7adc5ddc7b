"""``napari-regcon spread``: strokes in, slices that are labelled to the last pixel out."""

from pathlib import Path
from typing import Annotated

import typer

from napari_regcon._cli.console import follow, peak_memory
from napari_regcon._cli.learn import LabelFiles, read_support, report, report_classes
from napari_regcon._cli.options import (
    AxesOption,
    ClassesOption,
    DeviceOption,
    ImageArgument,
    OverwriteOption,
    ResultOption,
)


def spread(
    image: ImageArgument,
    *,
    labels: Annotated[
        Path,
        typer.Option(
            "--labels",
            help="Strokes painted on the image, same shape: 0 = not said, any other value = a "
            "class. The result has the same values.",
        ),
    ],
    out: ResultOption,
    classes: ClassesOption = None,
    device: DeviceOption = "auto",
    axes: AxesOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Spread strokes over the regions of their slices, so that every pixel there has a class."""
    from napari_regcon.data.export import check_path

    check_path(out, overwrite=overwrite)
    files = LabelFiles([labels], [], axes, complete=False, classes=classes)
    volume, support, values = read_support(image, files)
    from napari_regcon.engine.spread import spread_volume

    report_classes(support, values)
    events = spread_volume(
        volume, support, out, class_values=values, device=device, overwrite=overwrite
    )
    finished = follow(events, "Spreading the strokes")
    for path in finished.outputs:
        report("Written", str(path))
    report("Time", f"{finished.elapsed_s:.1f} s, peak memory {peak_memory()}")
