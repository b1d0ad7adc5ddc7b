"""What window and engine say to each other about regions; part of the protocol.

See :mod:`napari_regcon.worker.protocol` for how requests and answers belong together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from napari_regcon.config import RegionsConfig
    from napari_regcon.types import Box
    from napari_regcon.worker.protocol import SharedArray


@dataclass(frozen=True)
class FindRegions:
    """Find the regions of a part of one plane, at all granularities.

    Parameters
    ----------
    generation : int
        Repeated in the answer.
    image_id : str
        Which image.
    prefix : tuple of int
        Which plane.
    box : Box
        Y, X box on it.
    leaves : SharedArray
        int32 array of ``box.shape`` that receives the finest regions.
    config : RegionsConfig
        How they are found.
    weights : str or None
        Pre-trained features to cut along.
    device : str
        Where these are computed.
    """

    generation: int
    image_id: str
    prefix: tuple[int, ...]
    box: Box
    leaves: SharedArray
    config: RegionsConfig
    weights: str | None = None
    device: str = "auto"


@dataclass(frozen=True, eq=False)
class RegionsFound:
    """The finest regions are in the request's ``leaves`` array; here is the rest of their tree.

    Parameters
    ----------
    generation : int
        Of the request.
    merges, sizes, features : numpy.ndarray
        As in :class:`napari_regcon.data.region_tree.RegionTree`.
    """

    generation: int
    merges: np.ndarray
    sizes: np.ndarray
    features: np.ndarray
