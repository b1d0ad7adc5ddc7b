"""The support set: what the user has said about which pixels.

Labels use 0 for "not said" and 1..n for the classes by position. In a part marked complete,
0 means the background class instead. A support set holds small boxes around what was painted,
not whole label volumes, so it stays small however large the image is. It does not know what a
segmenter makes of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_regcon.data.normalize import estimate_normalization
from napari_regcon.data.painted import painted_planes
from napari_regcon.data.plane_boxes import in_plane, lift, padded
from napari_regcon.data.support_checks import check_labels, check_patch
from napari_regcon.data.views import ImageView
from napari_regcon.errors import InputError
from napari_regcon.types import Box, LazyArray, Volume

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_regcon.data.normalize import Normalization

BACKGROUND = "background"
"""Name of the class that unpainted pixels belong to where a part is marked complete."""


@dataclass(frozen=True, eq=False)
class SupportExample:
    """Labels in a box of one plane of a volume.

    Parameters
    ----------
    volume : Volume
        The image they were painted on.
    normalization : Normalization
        Intensity normalisation of that image.
    box : Box
        Where, in the label axes of the volume; one plane thick along all but Y and X.
    labels : numpy.ndarray
        ``(y, x)`` uint16, 0 = not said, 1..n = classes.
    complete : bool
        Whether every pixel of the box is said.
    """

    volume: Volume
    normalization: Normalization
    box: Box
    labels: np.ndarray
    complete: bool

    @cached_property
    def counts(self) -> np.ndarray:
        """Number of pixels of each label value, up to the highest; that of 0 is not counted."""
        return np.bincount(self.labels[self.labels != 0])

    @cached_property
    def is_finished(self) -> bool:
        """Whether the box is marked complete, or is a plane in which every pixel is said."""
        # A straight stroke fills the box around it, but says nothing about its surroundings.
        is_plane = self.labels.shape == self.volume.label_shape[-2:]
        return self.complete or (is_plane and bool(self.labels.all()))

    def view(self, spatial_ndim: int) -> ImageView:
        """Return the plane or stack of the image that the box lies in."""
        n_outer = len(self.box.start) - spatial_ndim
        return ImageView(self.volume, self.normalization, self.box.start[:n_outer], spatial_ndim)


class SupportSet:
    """Named classes, and the examples a user has given of them.

    Parameters
    ----------
    classes : sequence of str
        Names of the classes; label value ``i + 1`` means ``classes[i]``. A class called
        ``"background"`` is what unpainted pixels are in parts marked complete.

    Raises
    ------
    InputError
        If there are fewer than two classes, or a name is empty or given twice.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        if len(self.classes) < 2:
            raise InputError(
                f"There are {len(self.classes)} classes: {list(self.classes)}.",
                expected="Expected at least two, one of which may be 'background'.",
            )
        if len(set(self.classes)) != len(self.classes) or not all(self.classes):
            raise InputError(
                f"The class names {list(self.classes)} are not usable.",
                expected="Expected different, non-empty names.",
            )
        self.examples: list[SupportExample] = []

    @property
    def background(self) -> int | None:
        """Label value of the background class, or None."""
        return self.classes.index(BACKGROUND) + 1 if BACKGROUND in self.classes else None

    def add(
        self,
        volume: Volume,
        labels: LazyArray,
        *,
        complete: bool | Sequence[Box] = False,
        normalization: Normalization | None = None,
    ) -> None:
        """Add what is painted on one volume.

        Parameters
        ----------
        volume : Volume
            The image.
        labels : array
            Integer labels of shape ``volume.label_shape``; 0 = not said, 1..n = classes. Read
            plane by plane, painted ones only.
        complete : bool or sequence of Box
            True: every painted plane is finished, its 0 means background. Boxes (in label
            axes): only these parts are finished.
        normalization : Normalization, optional
            Estimated from the volume where not given.

        Raises
        ------
        InputError
            If shapes or values do not fit, nothing is painted, or a part is marked complete
            although it has unpainted pixels and there is no background class. Nothing is
            added in that case.
        """
        boxes = () if isinstance(complete, bool) else tuple(complete)
        check_labels(volume, labels, boxes)
        normalization = normalization or estimate_normalization(volume)
        added = []
        for prefix, painted in zip(volume.prefixes(2), painted_planes(labels).flat, strict=True):
            finished = [part for box in boxes if (part := in_plane(box, prefix)) is not None]
            if not (painted or finished):
                continue
            plane = np.asarray(labels[prefix])
            if complete is True and plane.any():
                finished = [Box.of_shape(plane.shape)]
            added += self.plane_examples(volume, normalization, prefix, plane, complete=finished)
        if not added:
            raise InputError(
                f"Nothing is painted on {volume.name!r}: all labels are 0.",
                expected="Expected at least one stroke of each of two classes.",
            )
        self.examples += added

    def plane_examples(
        self,
        volume: Volume,
        normalization: Normalization,
        prefix: tuple[int, ...],
        labels: np.ndarray,
        *,
        origin: tuple[int, int] = (0, 0),
        complete: Sequence[Box] = (),
    ) -> list[SupportExample]:
        """Return the examples of one plane, without adding them.

        Parameters
        ----------
        volume : Volume
            The image.
        normalization : Normalization
            Intensity normalisation of the image.
        prefix : tuple of int
            Index of the plane in front of Y and X.
        labels : numpy.ndarray
            ``(y, x)`` labels of a patch of the plane; everything outside is 0.
        origin : tuple of int
            Y and X of the first pixel of ``labels``.
        complete : sequence of Box
            Y, X boxes of the plane that are finished.

        Raises
        ------
        InputError
            If the patch does not lie on the plane, or a label or a complete part cannot be used.
        """
        whole = Box.of_shape(volume.label_shape[-2:])
        finished = [part for box in complete if (part := box.intersect(whole)).size]
        if not (labels.size or finished):
            return []
        check_patch(volume, prefix, origin, labels)
        if finished:
            labels, origin = padded(labels, origin, finished)
        found, rest = [], labels
        for box in finished:
            inside = box.shift((-origin[0], -origin[1])).slices
            said = self._completed(labels[inside], prefix)
            found.append(SupportExample(volume, normalization, lift(box, prefix), said, True))
            rest = rest.copy()
            rest[inside] = 0
        if rest.any():
            rows, columns = np.nonzero(rest.any(1))[0], np.nonzero(rest.any(0))[0]
            box = Box((int(rows[0]), int(columns[0])), (int(rows[-1]) + 1, int(columns[-1]) + 1))
            said = self._valid(rest[box.slices], prefix)
            place = lift(box.shift(origin), prefix)
            found.append(SupportExample(volume, normalization, place, said, False))
        return found

    def painted_counts(self) -> np.ndarray:
        """Return the number of labelled pixels of each class, shape ``(n_classes,)``."""
        counts = np.zeros(len(self.classes) + 1, dtype=np.int64)
        for example in self.examples:
            counts[: len(example.counts)] += example.counts
        return counts[1:]

    def finished_share(self) -> float:
        """Return the share, 0 to 1, of the labelled pixels that lie in finished parts."""
        finished = sum(int(e.counts.sum()) for e in self.examples if e.is_finished)
        return finished / max(1, int(self.painted_counts().sum()))

    def require_classes(self) -> None:
        """Check that at least two classes are painted.

        Raises
        ------
        InputError
            Names the classes that are missing.
        """
        counts = self.painted_counts()
        if np.count_nonzero(counts) < 2:
            missing = [n for n, c in zip(self.classes, counts, strict=True) if not c]
            raise InputError(
                f"Nothing is painted yet for: {', '.join(missing)}.",
                expected="Expected strokes of at least two classes.",
                next_step="Paint one stroke of each class on any slice.",
            )

    def require_one_kind(self) -> None:
        """Check that all images have the same number of channels.

        Raises
        ------
        InputError
            Names two that differ.
        """
        first = self.examples[0].volume
        for volume in (example.volume for example in self.examples):
            if volume.n_channels != first.n_channels:
                raise InputError(
                    "Strokes on images with different numbers of channels cannot be mixed: "
                    f"{volume.name!r} has {volume.n_channels}, {first.name!r} has "
                    f"{first.n_channels}.",
                    next_step="Paint on images of one kind.",
                )

    def _completed(self, labels: np.ndarray, prefix: tuple[int, ...]) -> np.ndarray:
        labels = self._valid(labels, prefix)
        if not labels.all():
            if self.background is None:
                raise InputError(
                    f"Slice {list(prefix)} is marked complete but has unpainted pixels, and there "
                    f"is no class called {BACKGROUND!r} they could belong to.",
                    next_step=f"Name a class {BACKGROUND!r}, or paint every pixel.",
                )
            labels = np.where(labels == 0, np.uint16(self.background), labels)
        return labels

    def _valid(self, labels: np.ndarray, prefix: tuple[int, ...]) -> np.ndarray:
        if labels.min() < 0 or labels.max() > len(self.classes):
            bad = sorted({int(v) for v in np.unique(labels) if not 0 <= v <= len(self.classes)})
            raise InputError(
                f"The labels on slice {list(prefix)} hold the value(s) {bad[:5]}.",
                expected=f"Expected 0 (not said) or 1 to {len(self.classes)}, for the classes "
                f"{list(self.classes)}.",
            )
        return labels.astype(np.uint16)
