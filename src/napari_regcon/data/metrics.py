"""How well a segmentation agrees with the truth.

Counts accumulate over slices and volumes, so nothing has to be in memory at once. Where the
truth is 0 (not said) nothing is counted. It does not know where the labels come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Confusion:
    """Counts of true against predicted classes.

    Parameters
    ----------
    classes : sequence of str
        Class names; label value ``i + 1`` means ``classes[i]``.

    Attributes
    ----------
    counts : numpy.ndarray
        int64 ``(n, n + 1)``: row = true class; column 0 = nothing predicted, column ``i + 1`` =
        predicted ``classes[i]``.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        n = len(self.classes)
        self.counts = np.zeros((n, n + 1), dtype=np.int64)

    def add(self, truth: np.ndarray, predicted: np.ndarray) -> None:
        """Count the pixels of one more slice, block or volume.

        Parameters
        ----------
        truth, predicted : numpy.ndarray
            Integer labels of the same shape, 0 = not said, 1..n = classes.

        Raises
        ------
        InputError
            If the shapes differ or a label has no class.
        """
        n = len(self.classes)
        if truth.shape != predicted.shape:
            raise InputError(
                f"The truth has shape {truth.shape}, the prediction {predicted.shape}.",
                expected="Expected the same shape.",
            )
        for name, labels in (("truth", truth), ("prediction", predicted)):
            if labels.size and not 0 <= labels.min() <= labels.max() <= n:
                raise InputError(
                    f"The {name} holds labels from {labels.min()} to {labels.max()}.",
                    expected=f"Expected 0 to {n}, for the classes {list(self.classes)}.",
                )
        pair = truth.astype(np.int64) * (n + 1) + predicted
        counts = np.bincount(pair.ravel(), minlength=(n + 1) ** 2)
        self.counts += counts.reshape(n + 1, n + 1)[1:]

    def dice(self) -> np.ndarray:
        """Return ``2 |A and B| / (|A| + |B|)`` per class; nan where a class is in neither."""
        both, true, predicted = self._sizes()
        return _ratio(2 * both, true + predicted)

    def iou(self) -> np.ndarray:
        """Return ``|A and B| / |A or B|`` per class; nan where a class is in neither."""
        both, true, predicted = self._sizes()
        return _ratio(both, true + predicted - both)

    def _sizes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        predicted = self.counts[:, 1:]
        return np.diag(predicted), self.counts.sum(1), predicted.sum(0)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    safe = np.where(whole == 0, 1, whole)
    return np.where(whole == 0, np.nan, part / safe)
