"""``napari-regcon segment``: labels on some slices in, the whole volume out."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_regcon._cli.console import follow, peak_memory, stderr, stdout
from napari_regcon._cli.options import DeviceOption, check_method, with_method_options
from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from napari_regcon.data.support import SupportSet
    from napari_regcon.types import Volume


KEPT_BYTES = 256 * 1024**2
"""Features kept while fitting. Each slice is seen once afterwards, so more would be of no use."""


@with_method_options
def segment(
    image: Annotated[Path, typer.Argument(help="The image: TIFF, zarr, MRC, NPY or PNG.")],
    *,
    labels: Annotated[
        list[Path],
        typer.Option(
            "--labels",
            help="Labels painted on the image, same shape: 0 = not said, any other value = a "
            "class. The result has the same values. Repeat it with --support-image.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", help="The result, a name that ends in .zarr, .tif or .tiff.")
    ],
    method: Annotated[
        str, typer.Option(help="pixel-head (needs no weights) or in-context.", metavar="METHOD")
    ] = "pixel-head",
    weights: Annotated[
        str | None, typer.Option(help="Weights for the method: a registered name, or a file.")
    ] = None,
    complete: Annotated[
        bool,
        typer.Option(
            "--complete",
            help="Slices with any label are finished: what is not painted on them is background, "
            "0 in the result.",
        ),
    ] = False,
    probabilities: Annotated[
        Path | None,
        typer.Option(help="Also write the probability of each class, as 0 to 255."),
    ] = None,
    device: DeviceOption = "auto",
    classes: Annotated[
        str | None,
        typer.Option(help="Names of the painted values in increasing order, such as 'er,golgi'."),
    ] = None,
    support_image: Annotated[
        list[Path] | None,
        typer.Option(
            help="The image that --labels were painted on, if not on IMAGE. Repeat both options "
            "in the same order for several. One --labels more than these: the first is for IMAGE.",
        ),
    ] = None,
    axes: Annotated[
        str | None,
        typer.Option(help="Axes of IMAGE, such as ZYX, where the file does not say or is wrong."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    parameters: dict[str, Any],
) -> None:
    """Segment a volume from labels painted on some of its slices, or of another volume."""
    check_method(method, parameters)
    _check_files(image, out, probabilities, [*labels, *(support_image or [])], overwrite)
    from napari_regcon.data.volumes import open_volume

    volume = open_volume(image, axes=axes)
    pairs = _pairs(volume, labels, support_image or [])
    painted = _paint(pairs, complete=complete, names=classes)

    with stderr.status("Loading the method"):
        from napari_regcon.engine.device import choose_device
        from napari_regcon.engine.features import FeatureStore
        from napari_regcon.engine.registry import load_segmenter
        from napari_regcon.engine.volume import segment_volume

        chosen = choose_device(device)
        segmenter = load_segmenter(
            method,
            weights=weights,
            device=device,
            store=FeatureStore(KEPT_BYTES),
            **parameters,
        )
    _report("Device", f"{chosen.label} ({chosen.reason.rstrip('.')})")
    _report("Method", method + "".join(f", {k} = {v}" for k, v in parameters.items()))
    for value, name, count in painted.table:
        _report(f"Value {value}", f"{name}, {count:,} px")
    with stderr.status("Learning from the labels"):
        predictor = segmenter.fit(painted.support)
    events = segment_volume(
        volume,
        predictor,
        out,
        probabilities=probabilities,
        class_values=painted.class_values,
        overwrite=overwrite,
    )
    finished = follow(events, "Segmenting")
    for path in finished.outputs:
        _report("Written", str(path))
    _report("Time", f"{finished.elapsed_s:.1f} s, peak memory {peak_memory()}")


@dataclass(frozen=True)
class _Painted:
    """The support set, and how its classes are numbered in the user's files."""

    support: "SupportSet"
    class_values: list[int]
    table: list[tuple[int, str, int]]


def _report(what: str, text: str) -> None:
    stdout.print(f"{what + ':':<10}{text}", markup=False)


def _check_files(
    image: Path, result: Path, probabilities: Path | None, others: list[Path], overwrite: bool
) -> None:
    """Refuse before any work what could only fail, or destroy an input, at its end."""
    from napari_regcon.data.export import check_path

    for path in (image, *others):
        if not path.exists():
            raise InputError(f"There is no file {str(path)!r}.")
    inputs = {path.resolve() for path in (image, *others)}
    for target in (result, probabilities):
        if target is not None:
            check_path(target, overwrite=overwrite)
            if target.resolve() in inputs:
                raise InputError(
                    f"{str(target)!r} is one of the inputs.",
                    next_step="Choose another name for the result.",
                )


def _pairs(
    volume: "Volume", labels: list[Path], support_images: list[Path]
) -> list[tuple["Volume", "Volume"]]:
    """Return each image with the labels that were painted on it."""
    from napari_regcon.data.volumes import open_volume

    images = [open_volume(path) for path in support_images]
    if len(labels) == len(images) + 1:
        images.insert(0, volume)
    if len(labels) != len(images):
        raise InputError(
            f"There are {len(labels)} --labels for {len(support_images)} --support-image.",
            expected="Expected one --labels for each --support-image, and one first for the "
            "image itself if it has labels.",
        )
    return [(img, open_volume(path)) for img, path in zip(images, labels, strict=True)]


def _paint(
    pairs: list[tuple["Volume", "Volume"]], *, complete: bool, names: str | None
) -> _Painted:
    """Make a support set of label images with any values."""
    from napari_regcon.data.painted import labels_for, painted_values, renumbered
    from napari_regcon.data.support import BACKGROUND, SupportSet

    lazy = [labels_for(label, img) for img, label in pairs]
    counts: dict[int, int] = {}
    for array, (_, label) in zip(lazy, pairs, strict=True):
        for value, count in painted_values(array, label.name).items():
            counts[value] = counts.get(value, 0) + count
    values = sorted(counts)
    class_names = _class_names(values, names)
    if len(values) < 2 and not complete:
        raise InputError(
            f"Only one class is painted (value {values[0]}).",
            expected="Expected at least two.",
            next_step="Paint a second class, or give --complete if what is not painted on the "
            "painted slices is background.",
        )
    support = SupportSet((BACKGROUND, *class_names) if complete else class_names)
    for array, (img, _) in zip(lazy, pairs, strict=True):
        support.add(img, renumbered(array, values, 2 if complete else 1), complete=complete)
    class_values = [0, *values] if complete else values
    table = [
        (value, name, int(count))
        for value, name, count in zip(
            class_values, support.classes, support.painted_counts(), strict=True
        )
    ]
    return _Painted(support, class_values, table)


def _class_names(values: list[int], names: str | None) -> list[str]:
    if names is None:
        return [f"class {value}" for value in values]
    given = [name.strip() for name in names.split(",")]
    if len(given) != len(values):
        raise InputError(
            f"--classes has {len(given)} name(s), but the labels have the values {values}.",
            expected="Expected one name for each value, in increasing order.",
        )
    return given
