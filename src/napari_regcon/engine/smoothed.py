"""Probabilities smoothed along the edges of an image, on all threads of the processor.

Knows neither tiles nor who made the probabilities.
"""

from __future__ import annotations

import functools

import torch

from napari_regcon.engine.device import in_threads
from napari_regcon.nn.guided import STEP, guided_filter, reach

BAND_PX = 1 << 16
"""Pixels that a thread of the processor smooths at once, few enough to stay in its cache."""


def smoothing_margin(radius: int) -> int:
    """Return how many pixels around a part smoothing looks at; radius 0 is none at all."""
    return reach(radius) if radius else 0


def smoothed(probabilities: torch.Tensor, guide: torch.Tensor, radius: int) -> torch.Tensor:
    """Return probabilities smoothed along the edges of an image.

    Parameters
    ----------
    probabilities : torch.Tensor
        float32 ``(n_classes, Y, X)``.
    guide : torch.Tensor
        ``(Y, X)``, the image; see :func:`~napari_regcon.nn.guided.guided_filter`.
    radius : int
        Of the windows, in points of its lattice.

    Returns
    -------
    torch.Tensor
        float32 ``(n_classes, Y, X)``, from 0 to 1; they sum to 1 as before.
    """
    result = torch.empty_like(probabilities)
    n_rows, n_columns = guide.shape
    height = max(STEP, BAND_PX // n_columns // STEP * STEP)
    if guide.device.type != "cpu":
        height = n_rows
    work = functools.partial(_smooth_band, result, probabilities, guide, radius, height)
    in_threads(work, range(0, n_rows, height))
    return result


@torch.inference_mode()
def _smooth_band(
    result: torch.Tensor,
    probabilities: torch.Tensor,
    guide: torch.Tensor,
    radius: int,
    height: int,
    start: int,
) -> None:
    stop = min(start + height, len(guide))
    first, last = max(0, start - reach(radius)), min(len(guide), stop + reach(radius))
    # The last class follows from the others.
    found = guided_filter(probabilities[:-1, first:last], guide[first:last].float(), radius)
    band = result[:, start:stop]
    band[:-1] = found[:, start - first : stop - first]
    torch.sub(1, band[:-1].sum(0), out=band[-1])
    # Cut only now, so that all classes are treated alike.
    band.clamp_(0, 1)
    if len(found) > 1:
        band.div_(band.sum(0))
