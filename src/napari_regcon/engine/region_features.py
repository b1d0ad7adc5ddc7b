"""What a pre-trained network sees in a plane, for regions to be cut along.

A region of the soft partition is where a linear function of the embedding is highest, so an edge
of the partition is one of the embedding too; the embedding tells more. It is computed in tiles
on the grid of the whole image, so that it does not depend on the part that is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_regcon.data.tiling import TileGrid
from napari_regcon.engine.device import choose_device
from napari_regcon.engine.embedding import EmbeddingExtractor, load_network

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_regcon.data.views import ImageView
    from napari_regcon.types import Box

_TILE_PX = 512


class NetworkFeatures:
    """Embeddings of planes, at their own size, of the mean of the channels.

    Parameters
    ----------
    weights : str
        A name in the weights registry, or a file.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.

    Raises
    ------
    WeightsError
        If the weights cannot be loaded.
    DeviceError
        If the device is not there.
    """

    def __init__(self, weights: str, device: str) -> None:
        chosen = choose_device(device)
        net, _ = load_network(weights)
        self._device = chosen.torch_device
        self._extractor = EmbeddingExtractor(net, chosen, zooms=(1,))

    def compute_in_steps(self, view: ImageView, box: Box) -> Generator[None, None, np.ndarray]:
        """Compute a part of a plane, yielding wherever it can be stopped.

        Parameters
        ----------
        view : ImageView
            A plane.
        box : Box
            ``(Y, X)``; what lies outside the plane is mirrored.

        Returns
        -------
        numpy.ndarray
            float32 ``(E, *box.shape)``.
        """
        parts = TileGrid(box.shape, (_TILE_PX, _TILE_PX), (0, 0))
        n_features = self._extractor.n_features(1)
        found = np.empty((n_features, *box.shape), dtype=np.float32)
        for part in parts.tiles():
            tile = part.shift(box.start)
            channels = torch.from_numpy(view.read(tile, self._extractor.halo_px)).to(self._device)
            image = channels.mean(0, keepdim=True)
            values = torch.empty((n_features, *tile.shape), device=self._device)
            yield from self._extractor.compute_in_steps(image, tile.start, values)
            found[:, *part.slices] = values.cpu().numpy()
        return found
