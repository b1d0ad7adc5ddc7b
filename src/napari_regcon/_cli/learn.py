"""What ``segment`` learns from: labels in files, or a session of the dock.

Either way the result is a volume and a predictor for it. Nothing here writes files.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_regcon._cli.console import stderr, stdout
from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from napari_regcon.data.support import SupportSet
    from napari_regcon.engine.device import Device
    from napari_regcon.engine.feature_store import FeatureStore
    from napari_regcon.engine.segmenter import Predictor
    from napari_regcon.session.saved import SessionState
    from napari_regcon.types import Volume

KEPT_BYTES = 256 * 1024**2
"""Features kept while fitting. Each slice is seen once afterwards, so more would be of no use."""


@dataclass(frozen=True, eq=False)
class Learnt:
    """A volume, what can segment it, and the label value of each class in the user's files."""

    volume: "Volume"
    predictor: "Predictor"
    class_values: list[int]


@dataclass(frozen=True)
class LabelFiles:
    """Labels in files, and what the user said about them.

    Parameters
    ----------
    labels : list of pathlib.Path
        One for the image, if it has labels, and one for each of the others.
    support_images : list of pathlib.Path
        The other images.
    axes : str or None
        Of the image.
    complete : bool
        Whether painted slices are finished.
    classes : str or None
        Names of the classes.
    spread : bool
        Whether strokes are to be spread over their slices first.
    """

    labels: list[Path]
    support_images: list[Path]
    axes: str | None
    complete: bool
    classes: str | None
    spread: bool = False


def report(what: str, text: str) -> None:
    """Print a line of the summary."""
    stdout.print(f"{what + ':':<10}{text}", markup=False)


def learn_from_labels(
    image: Path,
    files: LabelFiles,
    method: str,
    parameters: dict[str, Any],
    weights: str | None,
    device: str,
) -> Learnt:
    """Learn from labels in files."""
    volume, support, values = read_support(image, files)
    with stderr.status("Loading the method"):
        from napari_regcon.engine.device import choose_device
        from napari_regcon.engine.registry import load_segmenter

        chosen = choose_device(device)
        segmenter = load_segmenter(
            method, weights=weights, device=device, store=_store(), **parameters
        )
    _report_method(chosen, method, parameters)
    report_classes(support, values)
    with stderr.status("Learning from the labels"):
        if files.spread:
            from napari_regcon.engine.spread import spread_support

            support = spread_support(support, device=device)
        predictor = segmenter.fit(support)
    return Learnt(volume, predictor, values)


def read_support(image: Path, files: LabelFiles) -> tuple["Volume", "SupportSet", list[int]]:
    """Return the image, what is said in files of labels, and the label value of each class."""
    from napari_regcon.data.volumes import open_volume

    volume = open_volume(image, axes=files.axes)
    pairs = _pairs(volume, files.labels, files.support_images)
    support, values = _paint(pairs, complete=files.complete, names=files.classes)
    return volume, support, values


def learn_from_session(
    session: "SessionState",
    folder: Path,
    image: Path | None,
    others: list[Path],
    device: str | None,
) -> Learnt:
    """Learn from a session of the dock.

    Parameters
    ----------
    session : SessionState
        The session.
    folder : pathlib.Path
        The folder of its file.
    image : pathlib.Path or None
        Where its image is now, if not where it was.
    others : list of pathlib.Path
        Where its other images are now.
    device : str or None
        Another one than that of the session.
    """
    from napari_regcon.session.replay import fit_session

    with stderr.status("Learning from the strokes of the session"):
        fitted = fit_session(
            session, image=image, others=others, folder=folder, device=device, store=_store()
        )
    for note in fitted.notes:
        stderr.print(note, style="yellow", markup=False)
    report("Image", str(fitted.volume.source))
    _report_method(fitted.device, session.method, session.parameters)
    if session.weights:
        report("Weights", f"{session.weights}, SHA-256 {session.weights_sha256}")
    values = list(range(1, len(fitted.support.classes) + 1))
    report_classes(fitted.support, values)
    return Learnt(fitted.volume, fitted.predictor, values)


def _store() -> "FeatureStore":
    from napari_regcon.engine.feature_store import FeatureStore

    return FeatureStore(KEPT_BYTES)


def _report_method(device: "Device", method: str, parameters: dict[str, Any]) -> None:
    report("Device", f"{device.label} ({device.reason.rstrip('.')})")
    report("Method", method + "".join(f", {k} = {v}" for k, v in parameters.items()))


def report_classes(support: "SupportSet", values: list[int]) -> None:
    """Print the classes, their values in files, and how much of each is painted."""
    counts = support.painted_counts()
    for value, name, count in zip(values, support.classes, counts, strict=True):
        report(f"Value {value}", f"{name}, {int(count):,} px")


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
) -> tuple["SupportSet", list[int]]:
    """Return a support set of label images with any values, and the value of each class."""
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
    return support, [0, *values] if complete else values


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
