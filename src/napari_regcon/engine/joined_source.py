"""Feature tiles of several sources side by side, each kept by itself.

What one of them has computed before for something else is not computed again: a network that was
fine-tuned looks through the features that the pixel head has at hand. To put tiles together costs
a copy, so what is always asked for together is better kept together, by a
:class:`~napari_regcon.engine.features.ConcatExtractor`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_regcon.engine.segmenter import run

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from napari_regcon.data.views import ImageView
    from napari_regcon.engine.feature_source import FeatureSource
    from napari_regcon.engine.feature_store import Use
    from napari_regcon.types import Box


class JoinedSource:
    """Answers for feature tiles as a :class:`FeatureSource` does.

    Parameters
    ----------
    sources : sequence of FeatureSource
        On one device, with the same tiles and margins.
    """

    def __init__(self, sources: Sequence[FeatureSource]) -> None:
        self._sources = tuple(sources)
        self.device = sources[0].device
        self.tile_shape = sources[0].tile_shape
        self.spatial_ndim = sources[0].spatial_ndim
        self.neighbours = max(source.neighbours for source in sources)

    def used(self, use: Use) -> JoinedSource:
        """Return the same for tiles that are asked for something else."""
        return JoinedSource([source.used(use) for source in self._sources])

    def around(self, view: ImageView, tile: Box) -> Box:
        """Return a tile with its margin, as far as the view reaches."""
        return self._sources[0].around(view, tile)

    def sample(self, view: ImageView, tile: Box, where: tuple[slice, ...]) -> torch.Tensor | None:
        """Return some pixels of what :meth:`tile` returns, or None where one is not there yet."""
        found = []
        for source in reversed(self._sources):  # the last one is the least likely to be there
            features = source.sample(view, tile, where)
            if features is None:
                return None
            found.append(features)
        return torch.cat(found[::-1])

    def tile(self, view: ImageView, tile: Box) -> torch.Tensor:
        """Return the features of a tile with its margin, ``(n_features, *around.shape)``."""
        return run(self.tile_in_steps(view, tile))

    def tile_in_steps(self, view: ImageView, tile: Box) -> Generator[None, None, torch.Tensor]:
        """Do the same as :meth:`tile`, yielding wherever it can be stopped."""
        found = []
        for source in self._sources:
            features = yield from source.tile_in_steps(view, tile)
            found.append(features)
        return torch.cat(found)

    def reduce_memory(self) -> bool:
        """Work in smaller parts, as far as each source can; False if none of them can."""
        stores = {id(source.store): source for source in self._sources}
        reduced = [source.reduce_memory() for source in stores.values()]
        return any(reduced)
