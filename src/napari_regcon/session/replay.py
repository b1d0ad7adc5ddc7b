"""Do again what a session says: find its images, learn from its strokes, without a window.

The dock's engine and this take the same strokes in the same order to the same method, so on one
computer both give the same bytes. Nothing here knows where the result goes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_regcon.data.fingerprint import fingerprint, type_name
from napari_regcon.data.normalize import estimate_normalization
from napari_regcon.data.support import SupportSet
from napari_regcon.data.volumes import open_volume
from napari_regcon.engine import registry
from napari_regcon.errors import InputError
from napari_regcon.session.classes import ClassTable
from napari_regcon.session.saved import versions_here
from napari_regcon.session.weights import find_weights
from napari_regcon.types import Volume

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    from napari_regcon.engine.device import Device
    from napari_regcon.engine.feature_store import FeatureStore
    from napari_regcon.engine.segmenter import Predictor
    from napari_regcon.session.saved import SessionImage, SessionState

_COUNTING_VERSIONS = ("napari-regcon", "torch", "numpy")


@dataclass(frozen=True, eq=False)
class FittedSession:
    """A session that is ready to segment.

    Parameters
    ----------
    volume : Volume
        The image that was chosen.
    predictor : Predictor
        What was learnt from the strokes.
    support : SupportSet
        The strokes.
    device : Device
        What computes.
    notes : tuple of str
        Why the result may be another one than when the session was saved; empty where nothing
        speaks for that.
    """

    volume: Volume
    predictor: Predictor
    support: SupportSet
    device: Device
    notes: tuple[str, ...]


def fit_session(
    session: SessionState,
    *,
    image: str | os.PathLike[str] | None = None,
    others: Sequence[str | os.PathLike[str]] = (),
    folder: str | os.PathLike[str] | None = None,
    device: str | None = None,
    store: FeatureStore | None = None,
) -> FittedSession:
    """Learn from the strokes of a session as the dock did.

    Parameters
    ----------
    session : SessionState
        From :func:`napari_regcon.load_session`.
    image : str or pathlib.Path, optional
        Where the image that was chosen is now; looked for where it was, if not given.
    others : sequence of str or pathlib.Path
        Where other images with strokes are now, in any order.
    folder : str or pathlib.Path, optional
        Another folder to look for images in, such as that of the session file.
    device : str, optional
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``; that of the session where not given.
    store : FeatureStore, optional
        Features that are computed already.

    Returns
    -------
    FittedSession
        ``segment_volume(fitted.volume, fitted.predictor, "result.zarr")`` does the rest.

    Raises
    ------
    InputError
        If an image is missing or is another one than it was, or nothing usable is painted.
    WeightsError
        If the weights are missing or are others than they were.
    DeviceError
        If the device is not there.
    """
    from napari_regcon.engine.device import choose_device

    volumes = [
        _find(item, _places(item, [image] if item is session.image and image else others, folder))
        for item in session.images
    ]
    chosen = choose_device(device or session.device)
    segmenter = registry.load_segmenter(
        session.method,
        weights=find_weights(session),
        device=device or session.device,
        store=store,
        **session.parameters,
    )
    support = _support(session, volumes)
    return FittedSession(
        volumes[session.chosen],
        segmenter.fit(support),
        support,
        chosen,
        tuple(_notes(session, chosen)),
    )


def _support(session: SessionState, volumes: Sequence[Volume]) -> SupportSet:
    """Return the support set, in the order in which the engine makes it."""
    support = SupportSet(ClassTable(session.classes).engine_names())
    for image, volume in zip(session.images, volumes, strict=True):
        normalization = estimate_normalization(volume)
        for prefix in sorted({*image.patches, *(mark.prefix for mark in image.marks)}):
            patch = image.patch(prefix)
            support.examples += support.plane_examples(
                volume,
                normalization,
                prefix,
                patch.labels,
                origin=patch.origin,
                complete=image.complete_on(prefix),
            )
    return support


def _notes(session: SessionState, device: Device) -> Iterable[str]:
    here = versions_here()
    for name in _COUNTING_VERSIONS:
        then = session.versions.get(name, "an unknown version")
        if then != here[name]:
            yield (
                f"The session was saved with {name} {then}, and this is {here[name]}: the result "
                "may differ in single pixels."
            )
    if session.computed_on not in ("", device.label):
        yield (
            f"The session computed on {session.computed_on}, and this is {device.label}: the "
            "result may differ in single pixels."
        )


def _places(image: SessionImage, given: Iterable[Any], folder: Any) -> list[Path]:
    """Return where an image may be, the likeliest place first."""
    places = [Path(path).expanduser() for path in given]
    if image.path:
        places.append(Path(image.path))
        if folder is not None:
            # Whatever system it was saved on.
            places.append(Path(folder) / image.path.replace("\\", "/").rpartition("/")[2])
    return places


def _find(image: SessionImage, places: Sequence[Path]) -> Volume:
    """Open an image of a session, wherever it is now."""
    problems: list[str] = []
    for path in places:
        if not path.exists():
            continue
        volume, problem = _open_as(path, image)
        if volume is not None:
            return volume
        problems.append(problem)
    if problems:
        raise InputError(" ".join(dict.fromkeys(problems)), next_step=_how_to_point(image))
    looked = f" It was looked for at {', '.join(map(str, places))}." if places else ""
    never = "" if image.path else " It was not in a file when the session was saved."
    raise InputError(
        f"The image {image.name!r} of the session is not there.{never}{looked}",
        next_step=_how_to_point(image),
    )


def _how_to_point(image: SessionImage) -> str:
    return (
        f"Say where {image.name!r} is now: as IMAGE if it is the one to segment, with "
        "--support-image if it is another with strokes. If it was never saved, save it as TIFF."
    )


def _open_as(path: Path, image: SessionImage) -> tuple[Volume | None, str]:
    """Open a file as an image of a session; None, and why, if it is another one."""
    problem = ""
    for axes in (None, image.axes):  # as the file says, then as the user said in the dock
        try:
            data: Any = _in_shape(open_volume(path, axes=axes).data, image.shape)
        except InputError as error:
            problem = problem or str(error)
            continue
        if tuple(data.shape) != image.shape or type_name(data.dtype) != image.dtype:
            kind = type_name(data.dtype)
            problem = (
                f"{str(path)!r} has shape {tuple(data.shape)} and type {kind}, but the image "
                f"{image.name!r} of the session had {image.shape} and {image.dtype}."
            )
        elif fingerprint(data) != image.fingerprint:
            problem = (
                f"{str(path)!r} is not the image {image.name!r} of the session, or it was "
                "changed since: its pixels are others."
            )
        else:
            place = image.scale, image.units, image.translate
            return Volume(data, image.axes, *place, image.name, path), ""
    return None, problem


def _in_shape(data: Any, shape: tuple[int, ...]) -> Any:
    """Return an array with axes of length 1 where a shape has them, without a copy."""
    if [n for n in data.shape if n != 1] != [n for n in shape if n != 1]:
        return data
    data = data[tuple(0 if n == 1 else slice(None) for n in data.shape)]
    return data[tuple(None if n == 1 else slice(None) for n in shape)]
