"""``napari-regcon segment``: labels on some slices, or a session, in; the whole volume out."""

from pathlib import Path
from typing import Annotated, Any

import typer

from napari_regcon._cli.console import follow, peak_memory
from napari_regcon._cli.learn import (
    LabelFiles,
    Learnt,
    learn_from_labels,
    learn_from_session,
    report,
)
from napari_regcon._cli.options import (
    DEVICE,
    AxesOption,
    ClassesOption,
    OverwriteOption,
    check_method,
    with_method_options,
)
from napari_regcon.errors import InputError


@with_method_options
def segment(
    image: Annotated[
        Path | None,
        typer.Argument(
            help="The image: TIFF, zarr, MRC, NPY or PNG. With --session only needed if the image "
            "is no longer where it was."
        ),
    ] = None,
    *,
    labels: Annotated[
        list[Path] | None,
        typer.Option(
            "--labels",
            help="Labels painted on the image, same shape: 0 = not said, any other value = a "
            "class. The result has the same values. Repeat it with --support-image.",
        ),
    ] = None,
    session: Annotated[
        Path | None,
        typer.Option(
            "--session",
            help="A session saved in the dock, in place of --labels: its strokes, method, "
            "parameters, seed and weights are used.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="The result, a name that ends in .zarr, .tif or .tiff. With --session, the name "
            "of the session and _segmented.zarr where not given.",
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="pixel-head (needs no download; the default), in-context, or a file of weights, "
            "which stands for the method it is for.",
            metavar="METHOD|FILE",
        ),
    ] = None,
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
    spread: Annotated[
        bool,
        typer.Option(
            "--spread",
            help="Spread the strokes over the regions of their slices first, for methods that "
            "need finished slices (in-context).",
        ),
    ] = False,
    probabilities: Annotated[
        Path | None,
        typer.Option(help="Also write the probability of each class, as 0 to 255."),
    ] = None,
    device: Annotated[str | None, DEVICE] = None,
    classes: ClassesOption = None,
    support_image: Annotated[
        list[Path] | None,
        typer.Option(
            help="The image that --labels were painted on, if not on IMAGE. Repeat both options "
            "in the same order for several. One --labels more than these: the first is for IMAGE. "
            "With --session: where other images with strokes are now.",
        ),
    ] = None,
    axes: AxesOption = None,
    overwrite: OverwriteOption = False,
    parameters: dict[str, Any],
) -> None:
    """Segment a volume from labels painted on some of its slices, or repeat a session."""
    others = support_image or []
    if session is not None:
        said: dict[str, Any] = {
            "--labels": labels,
            "--method": method,
            "--weights": weights,
            "--axes": axes,
        }
        said |= {"--complete": complete, "--spread": spread, "--classes": classes}
        said |= {f"--{name.replace('_', '-')}": True for name in parameters}
        _refuse_beside_session([option for option, value in said.items() if value])
        out = out or Path(f"{session.stem}_segmented.zarr")
        given = [session, *others, *([image] if image is not None else [])]
        _check_files([out, probabilities], given, overwrite=overwrite)
        from napari_regcon.session.files import load_session

        state = load_session(session)
        _check_inputs([out, probabilities], [Path(i.path) for i in state.images if i.path])
        learnt = learn_from_session(state, session.absolute().parent, image, others, device)
    else:
        image, labels, out = _required(image, labels, out)
        method = method or "pixel-head"
        check_method(method, parameters)
        _check_files([out, probabilities], [image, *labels, *others], overwrite=overwrite)
        files = LabelFiles(labels, others, axes, complete, classes, spread)
        learnt = learn_from_labels(image, files, method, parameters, weights, device or "auto")
    _write(learnt, out, probabilities, overwrite=overwrite)


def _write(learnt: Learnt, out: Path, probabilities: Path | None, *, overwrite: bool) -> None:
    """Segment the whole volume."""
    from napari_regcon.engine.volume import segment_volume

    events = segment_volume(
        learnt.volume,
        learnt.predictor,
        out,
        probabilities=probabilities,
        class_values=learnt.class_values,
        overwrite=overwrite,
    )
    finished = follow(events, "Segmenting")
    for path in finished.outputs:
        report("Written", str(path))
    report("Time", f"{finished.elapsed_s:.1f} s, peak memory {peak_memory()}")


def _required(
    image: Path | None, labels: list[Path] | None, out: Path | None
) -> tuple[Path, list[Path], Path]:
    """Check that there is all that is needed where no session says it."""
    if not labels:
        raise InputError(
            "Nothing says what to look for.",
            expected="Expected labels that are painted on the image (--labels), or a session of "
            "the dock (--session).",
        )
    if image is None or out is None:
        missing = "--out says where the result goes" if image else "the image is named first"
        raise InputError(
            f"{'--out' if image else 'The image'} is missing.",
            expected=f"Expected that {missing}: napari-regcon segment IMAGE --labels LABELS "
            "--out OUT.",
        )
    return image, labels, out


def _refuse_beside_session(options: list[str]) -> None:
    if options:
        raise InputError(
            f"{', '.join(options)} cannot be used with --session: the session says it already.",
            next_step="Leave it out, or give --labels in place of --session.",
        )


def _check_files(targets: list[Path | None], given: list[Path], *, overwrite: bool) -> None:
    """Refuse before any work what could only fail, or destroy an input, at its end."""
    from napari_regcon.data.export import check_path

    for path in given:
        if not path.exists():
            raise InputError(f"There is no file {str(path)!r}.")
    for target in targets:
        if target is not None:
            check_path(target, overwrite=overwrite)
    _check_inputs(targets, given)


def _check_inputs(targets: list[Path | None], inputs: list[Path]) -> None:
    taken = {path.resolve() for path in inputs}
    for target in targets:
        if target is not None and target.resolve() in taken:
            raise InputError(
                f"{str(target)!r} is one of the inputs.",
                next_step="Choose another name for the result.",
            )
