"""``napari-regcon demo``: a phantom volume, a few strokes, the whole volume segmented.

Plays a person at the window: paints on two slices, looks at what the method makes of them,
corrects the most visible mistakes, and lets it do the rest. Everything after the painting is
what ``segment`` does too.
"""

import importlib.util
import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.table import Table

from napari_regcon._cli.console import follow, peak_memory, stderr, stdout
from napari_regcon._cli.options import DeviceOption
from napari_regcon.errors import InputError
from napari_regcon.types import Volume

if TYPE_CHECKING:
    from napari_regcon.data.metrics import Confusion
    from napari_regcon.engine.segmenter import Predictor, Segmenter

CLASSES = ("background", "membrane", "mitochondrion")
"""What the demo looks for. The phantom's vesicles count as background here."""

STROKES_PER_CLASS = 3
"""First strokes of each class on each painted slice."""

CORRECTIONS = 6
"""Strokes added, one by one, where the result on a painted slice is most visibly wrong."""


FILES = ("image.tif", "strokes.tif", "truth.tif", "result.tif", "probabilities.tif", "overview.png")
"""What is written into the folder."""


def demo(
    *,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the results; older ones are replaced.")
    ] = Path("demo-output"),
    open_: Annotated[bool, typer.Option("--open", help="Show the result in napari.")] = False,
    device: DeviceOption = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Another seed gives another volume.")] = 0,
    depth: Annotated[int, typer.Option(min=3, help="Slices of the volume.")] = 32,
    size: Annotated[int, typer.Option(min=64, help="Rows and columns of the volume.")] = 256,
) -> None:
    """Segment a made-up EM volume from a few strokes, and show how good the result is."""
    _check(out, open_)
    with stderr.status("Making an EM phantom"):
        volume, truth = _phantom((depth, size, size), seed)
    with stderr.status("Loading the method"):
        from napari_regcon.engine.device import choose_device
        from napari_regcon.engine.registry import load_segmenter
        from napari_regcon.engine.volume import segment_volume

        chosen = choose_device(device)
        segmenter = load_segmenter("pixel-head", device=device)
    with stderr.status("Painting and correcting a few strokes"):
        painting = _paint(volume, truth, segmenter, np.random.default_rng(seed))
    _write_inputs(out, volume, truth, painting)
    result, probabilities = out / "result.tif", out / "probabilities.tif"
    events = segment_volume(
        volume, painting.predictor, result, probabilities=probabilities, overwrite=True
    )
    finished = follow(events, "Segmenting the volume")
    labels = _labels(result)
    confusion = _measure(truth, labels, painting.slices)
    _draw_overview(out / "overview.png", volume, truth, labels, painting, confusion)
    _report(painting, confusion, volume)
    _say("Device", chosen.label)
    _say("Time", f"{finished.elapsed_s:.1f} s for the volume, peak memory {peak_memory()}")
    _say("Written", f"{out}{'/' if out.name else ''} - open overview.png first")
    if open_:
        _show(out)


@dataclass(frozen=True)
class _Painting:
    """What was painted, how often the brush was set down, and what was learned from it."""

    strokes: np.ndarray
    n_strokes: int
    slices: tuple[int, ...]
    predictor: "Predictor"


def _say(what: str, text: str) -> None:
    stdout.print(f"{what + ':':<10}{text}", markup=False)


def _check(out: Path, open_: bool) -> None:
    """Refuse before any work what could only fail at its end."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{str(out)!r} is a file.", expected="Expected a folder for the results.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The folder {str(out)!r} cannot be made: {error.strerror}.",
            next_step="Choose another one with --out.",
        ) from error
    if open_ and importlib.util.find_spec("napari") is None:
        raise InputError(
            "napari is not installed, so --open cannot show the result.",
            next_step='Install it with: pip install "napari-regcon[all]", or leave --open out.',
        )


def _phantom(shape: tuple[int, int, int], seed: int) -> tuple[Volume, np.ndarray]:
    """Return a phantom and its truth in the classes of the demo."""
    from napari_regcon.data.phantom import make_phantom

    phantom = make_phantom(shape, seed=seed)
    values = [0] + [CLASSES.index(c) + 1 if c in CLASSES else 1 for c in phantom.classes]
    return phantom.volume, np.asarray(values, dtype=np.uint8)[phantom.labels]


def _paint(
    volume: Volume, truth: np.ndarray, segmenter: "Segmenter", rng: np.random.Generator
) -> _Painting:
    """Paint on two slices as a person would, correcting what the method gets wrong there."""
    from napari_regcon.data.strokes import corrective_stroke, first_strokes

    slices = (len(truth) // 4, 3 * len(truth) // 4)
    strokes = np.zeros(truth.shape, dtype=np.uint8)
    n_strokes = 0
    for z in slices:
        strokes[z] = first_strokes(truth[z], CLASSES, STROKES_PER_CLASS, rng)
        n_strokes += STROKES_PER_CLASS * len(np.unique(truth[z]))
    predictor = _fit(segmenter, volume, strokes)
    for _ in range(CORRECTIONS):
        predicted = np.stack([_predict(predictor, volume, z) for z in slices])
        correction = corrective_stroke(truth[list(slices)], predicted, rng)
        if correction is None:
            break
        for z, plane in zip(slices, correction, strict=True):
            strokes[z] = np.where(plane, plane, strokes[z])
        n_strokes += 1
        predictor = _fit(segmenter, volume, strokes)
    return _Painting(strokes, n_strokes, slices, predictor)


def _fit(segmenter: "Segmenter", volume: Volume, strokes: np.ndarray) -> "Predictor":
    from napari_regcon.data.support import SupportSet

    support = SupportSet(CLASSES)
    support.add(volume, strokes)
    return segmenter.fit(support)


def _predict(predictor: "Predictor", volume: Volume, z: int) -> np.ndarray:
    from napari_regcon.data.views import ImageView
    from napari_regcon.engine.segmenter import run

    view = ImageView(volume, predictor.normalization, (z,), 2)
    labels: np.ndarray = run(predictor.predict_box(view, view.box)).argmax(0) + 1
    return labels


def _write_inputs(out: Path, volume: Volume, truth: np.ndarray, painting: _Painting) -> None:
    import tifffile

    from napari_regcon.data.export import save_labels

    tifffile.imwrite(
        out / "image.tif",
        np.asarray(volume.data),
        imagej=True,
        resolution=(1 / volume.scale[2], 1 / volume.scale[1]),
        metadata={"axes": "ZYX", "spacing": volume.scale[0], "unit": "nm"},
    )
    named = tuple(enumerate(CLASSES, start=1))
    for name, labels in (("strokes.tif", painting.strokes), ("truth.tif", truth)):
        save_labels(out / name, labels, volume, classes=named, overwrite=True)


def _labels(path: Path) -> np.ndarray:
    from napari_regcon.data.volumes import open_volume

    return np.asarray(open_volume(path, axes="ZYX").data)


def _measure(truth: np.ndarray, labels: np.ndarray, painted: tuple[int, ...]) -> "Confusion":
    """Compare the slices nobody has painted on."""
    from napari_regcon.data.metrics import Confusion

    confusion = Confusion(CLASSES)
    for z in range(len(truth)):
        if z not in painted:
            confusion.add(truth[z], labels[z])
    return confusion


def _draw_overview(
    path: Path,
    volume: Volume,
    truth: np.ndarray,
    labels: np.ndarray,
    painting: _Painting,
    confusion: "Confusion",
) -> None:
    from napari_regcon.data.overview import ClassKey, SliceViews, render_overview
    from napari_regcon.session.classes import PALETTE

    first, last = painting.slices
    between, beyond = (first + last) // 2, len(truth) - 1
    rows = [
        SliceViews(
            f"z = {z}, {'painted' if z in painting.slices else 'nobody painted here'}",
            np.asarray(volume.data[z]),
            painting.strokes[z],
            labels[z],
            truth[z],
        )
        for z in dict.fromkeys((first, between, beyond))
    ]
    keys = [
        ClassKey(name, color, f"Dice {_number(dice)}", filled=name != CLASSES[0])
        for name, color, dice in zip(CLASSES, PALETTE, confusion.dice(), strict=False)
    ]
    subtitle = (
        f"{painting.n_strokes} strokes on {len(painting.slices)} of {len(truth)} slices; "
        "Dice is measured on the unpainted slices."
    )
    sheet = render_overview(
        rows,
        keys,
        title="A phantom, segmented from a few strokes",
        subtitle=subtitle,
        pixel_nm=volume.scale[2],
    )
    sheet.save(path)


def _number(dice: float) -> str:
    return "-" if math.isnan(dice) else f"{dice:.3f}"


def _report(painting: _Painting, confusion: "Confusion", volume: Volume) -> None:
    depth = volume.label_shape[0]
    shape = " x ".join(str(n) for n in volume.label_shape)
    painted = np.bincount(painting.strokes.ravel(), minlength=len(CLASSES) + 1)[1:]
    _say("Volume", f"{shape} voxels")
    _say(
        "Painted",
        f"{painting.n_strokes} strokes, {painted.sum():,} px, on slices "
        f"z = {' and '.join(str(z) for z in painting.slices)}: "
        f"{100 * painted.sum() / painting.strokes.size:.2f} % of the volume",
    )
    table = Table("class", "painted px", "Dice", "IoU", title="On the slices nobody painted")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, n, dice, iou in zip(CLASSES, painted, confusion.dice(), confusion.iou(), strict=True):
        table.add_row(name, f"{n:,}", _number(dice), _number(iou))
    if depth > len(painting.slices):
        stdout.print(table)


def _show(out: Path) -> None:
    """Show the files in napari, in a process of its own."""
    command = [sys.executable, "-m", "napari_regcon._qt.show", str(out)]
    status = subprocess.run(command, check=False).returncode  # noqa: S603 - our own module
    if status:
        raise InputError(
            f"napari ended with status {status}.",
            next_step=f"Start napari yourself and open the files in {str(out)!r}.",
        )
