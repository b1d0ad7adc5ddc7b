"""Sample data for napari's File menu, as plain tuples; napari is not needed for it.

The tuples are what the napari manifest calls layer data: the pixels, the layer's properties,
the kind of layer. Nothing here knows how the sample is made.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from napari_regcon.data.phantom import make_phantom

LayerTuple: TypeAlias = tuple[np.ndarray, dict[str, Any], str]
"""Pixels, layer properties, kind of layer."""


def phantom_em(shape: tuple[int, int, int] = (32, 256, 256), seed: int = 0) -> list[LayerTuple]:
    """Return the electron-microscopy phantom, and its truth as a hidden layer.

    Parameters
    ----------
    shape : tuple of int
        Voxels along Z, Y, X.
    seed : int
        Another seed gives another volume.

    Returns
    -------
    list of tuple
        An image layer and a labels layer, both with scale, units and axis labels.
    """
    phantom = make_phantom(shape, seed=seed)
    volume = phantom.volume
    place = {
        "scale": volume.scale,
        "units": volume.units,
        "translate": volume.translate,
        "axis_labels": tuple(volume.axes.lower()),
    }
    image = {"name": volume.name, "contrast_limits": (0, 255), "colormap": "gray", **place}
    truth = {
        "name": f"{volume.name} truth",
        "visible": False,
        "metadata": {"classes": phantom.classes},
        **place,
    }
    return [(np.asarray(volume.data), image, "image"), (phantom.labels, truth, "labels")]
