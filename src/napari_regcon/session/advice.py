"""Which method suits what is painted, and why.

A rule in words, so that whoever follows it knows when not to. It follows what was measured on
images of several kinds (see the page on benchmarks); this module only counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_regcon.session.marks import CompleteMarks
    from napari_regcon.session.painted import PaintedPlanes

MANY = 12
"""So many complete parts are worth a training."""


@dataclass(frozen=True)
class Advice:
    """A method, and why.

    Parameters
    ----------
    method : str
        Name of the method.
    why : str
        A sentence.
    """

    method: str
    why: str


def advise(n_stroked: int, n_complete: int) -> Advice | None:
    """Recommend a method.

    Parameters
    ----------
    n_stroked : int
        Slices with strokes on them that are not complete.
    n_complete : int
        Slices and boxes that are marked complete.

    Returns
    -------
    Advice or None
        None while nothing is painted.
    """
    if not n_complete:
        why = (
            "Only strokes are painted, and it learns from strokes in a moment. Other methods need "
            "complete slices; “Fill slice” (section Labels) makes one."
        )
        return Advice("pixel-head", why) if n_stroked else None
    parts = "1 slice or box is" if n_complete == 1 else f"{n_complete} slices or boxes are"
    if n_complete < MANY:
        return Advice(
            "pixel-head",
            f"{parts} complete. It learns from them too, and did as well as the in-context network "
            "or better on the images that were measured. That one needs them, and is worth a try "
            "where shape tells more than texture.",
        )
    return Advice(
        "fine-tuned",
        f"{parts} complete: enough to try a training of your own (section Train).",
    )


def count_parts(images: Iterable[tuple[PaintedPlanes, CompleteMarks]]) -> tuple[int, int]:
    """Return how many slices have strokes only, and how many parts are complete, in all images."""
    n_stroked = n_complete = 0
    for painted, marks in images:
        marked = {mark.prefix for mark in marks}
        n_complete += len(marks)
        n_stroked += sum(prefix not in marked for prefix, _ in painted.items())
    return n_stroked, n_complete
