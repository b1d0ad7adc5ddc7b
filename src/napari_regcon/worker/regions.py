"""Regions as a job of the engine: found step by step, handed to the window as a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_regcon.data.views import ImageView
from napari_regcon.errors import InputError
from napari_regcon.types import Box
from napari_regcon.worker.protocol import RegionsFound
from napari_regcon.worker.shared import SharedBuffer

if TYPE_CHECKING:
    from napari_regcon.engine.regions import RegionFinder
    from napari_regcon.worker.images import OpenedImage
    from napari_regcon.worker.jobs import Emit, Steps
    from napari_regcon.worker.protocol import FindRegions


class RegionJobs:
    """Makes jobs that find regions, and keeps the network of the last one."""

    def __init__(self) -> None:
        self._made: tuple[object, RegionFinder] | None = None

    def find(self, request: FindRegions, image: OpenedImage, emit: Emit) -> Steps:
        """Find the regions of a part of a plane, yielding wherever it can be stopped.

        Parameters
        ----------
        request : FindRegions
            What is wanted.
        image : OpenedImage
            The image it is wanted of.
        emit : callable
            Receives the answer.

        Raises
        ------
        InputError
            If the request does not fit the image.
        WeightsError
            If the weights cannot be loaded.
        """
        volume = image.volume
        plane = Box.of_shape(volume.label_shape[-2:])
        outer = Box.of_shape(volume.label_shape[:-2])
        point = Box(request.prefix, tuple(i + 1 for i in request.prefix))
        if len(point.start) != len(outer.start) or outer.intersect(point) != point:
            raise InputError(
                f"There is no plane {list(request.prefix)} in {volume.name!r}, whose labels have "
                f"the shape {volume.label_shape}."
            )
        if not request.box.size or plane.intersect(request.box) != request.box:
            raise InputError(
                f"The box {request.box.start} to {request.box.stop} does not lie on a plane of "
                f"{volume.name!r}, which is {plane.shape} pixels large."
            )
        with SharedBuffer.attach(request.leaves) as buffer:
            if buffer.array.shape != request.box.shape or buffer.array.dtype != np.int32:
                raise InputError(
                    f"The array for regions has shape {buffer.array.shape} and type "
                    f"{buffer.array.dtype}.",
                    expected=f"Expected {request.box.shape} and int32.",
                )
            view = ImageView(volume, image.normalization, request.prefix, 2)
            tree = yield from self._finder(request).tree_in_steps(view, request.box)
            buffer.array[...] = tree.leaves
        emit(RegionsFound(request.generation, tree.merges, tree.sizes, tree.features))

    def _finder(self, request: FindRegions) -> RegionFinder:
        key = (request.config, request.weights, request.device)
        if self._made is None or self._made[0] != key:
            from napari_regcon.engine.regions import RegionFinder

            finder = RegionFinder(request.config, weights=request.weights, device=request.device)
            self._made = (key, finder)
        return self._made[1]
