"""Parts of planes of a user's own images, to learn features from without labels.

However large the images are, only so many parts are read, and they fit into memory. Which parts
these are follows from the seed. Nothing here knows what is learnt.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from napari_regcon.data.source_planes import SourcePlane
from napari_regcon.data.views import ImageView
from napari_regcon.errors import InputError
from napari_regcon.types import Box

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_regcon.data.normalize import Normalization
    from napari_regcon.types import Volume

WINDOW_PX = 768
"""Longest side of a part: room for a crop, and for it to be looked at from further away."""

MOST_WINDOWS = 96
"""Parts of all images together, of 2.4 MB each at most."""


def image_windows(
    images: Sequence[tuple[Volume, Normalization]], *, seed: int = 0
) -> Iterator[SourcePlane]:
    """Read parts of the planes of some images, spread over each of them.

    Parameters
    ----------
    images : sequence of (Volume, Normalization)
        Each counts alike, however large it is. Of several channels one is read, any of them.
    seed : int
        Places the parts; same seed, same parts.

    Yields
    ------
    SourcePlane
        Without labels. A part of one grey alone is left out, as there is nothing to learn from it.

    Raises
    ------
    InputError
        If there is no image, or none that shows anything.
    """
    if not images:
        raise InputError("There is no image to learn from.", next_step="Open one first.")
    rng = np.random.default_rng(seed)
    found = 0
    for index, (volume, normalization) in enumerate(images):
        for box in _places(volume, MOST_WINDOWS // len(images) or 1, rng):
            prefix, plane = box.start[:-2], Box(box.start[-2:], box.stop[-2:])
            channels = ImageView(volume, normalization, prefix, 2).read(plane)
            image = channels[rng.integers(len(channels))]  # features are of each by itself
            if np.ptp(image) > 0:
                found += 1
                yield SourcePlane(image, None, instances=False, group=f"image/{index}")
    if not found:
        raise InputError(
            "The images show nothing to learn from: what was read of them has one grey alone.",
            next_step="Choose others.",
        )


def _places(volume: Volume, most: int, rng: np.random.Generator) -> Iterator[Box]:
    """Iterate over parts of a volume, in the order of its planes."""
    outer, plane = volume.label_shape[:-2], volume.label_shape[-2:]
    sides = [min(WINDOW_PX, n) for n in plane]
    n_planes = math.prod(outer)
    per_plane = math.prod(math.ceil(n / side) for n, side in zip(plane, sides, strict=True))
    for flat in np.linspace(0, n_planes - 1, min(most, n_planes * per_plane)).round().astype(int):
        prefix = tuple(int(i) for i in np.unravel_index(flat, outer)) if outer else ()
        corner = [int(rng.integers(n - s + 1)) for n, s in zip(plane, sides, strict=True)]
        ends = (a + s for a, s in zip(corner, sides, strict=True))
        yield Box((*prefix, *corner), (*(i + 1 for i in prefix), *ends))
