"""The images that are open in the engine, and what is painted on them.

Examples are made plane by plane and kept, so a stroke costs the plane it lies on, however
much is painted elsewhere. Nothing here knows what a segmenter makes of the support set.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_regcon.data.normalize import Normalization, estimate_normalization
from napari_regcon.data.support import SupportExample, SupportSet
from napari_regcon.errors import InputError
from napari_regcon.types import Volume
from napari_regcon.worker.protocol import FileArray, OpenImage, PaintedPlane, SharedArray
from napari_regcon.worker.shared import SharedBuffer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_regcon.types import LazyArray

Prefix = tuple[int, ...]


class OpenedImage:
    """One image and what is painted on it.

    Parameters
    ----------
    request : OpenImage
        Where its pixels are and what they mean.

    Raises
    ------
    InputError
        If the pixels are not there, or do not have the axes asked for.
    """

    def __init__(self, request: OpenImage) -> None:
        self._buffer: SharedBuffer | None = None
        try:
            self.volume = self._open(request)
        except InputError:
            self.close()
            raise
        self._planes: dict[Prefix, PaintedPlane] = {}
        self._examples: dict[Prefix, list[SupportExample]] = {}

    def _open(self, request: OpenImage) -> Volume:
        scale, units, translate = request.scale, request.units, request.translate
        match request.source:
            case SharedArray():
                self._buffer = SharedBuffer.attach(request.source)
                data: LazyArray = self._buffer.array
                path = None
            case FileArray(path):
                from napari_regcon.data.volumes import open_volume

                # The window names the axes in the order this function brought them into.
                opened = open_volume(path)
                data = opened.data
                scale, units = scale or opened.scale, units or opened.units
                translate = translate or opened.translate
        return Volume(data, request.axes, scale, units, translate, request.name, path)

    @cached_property
    def normalization(self) -> Normalization:
        """Intensity normalisation, estimated when it is first needed."""
        return estimate_normalization(self.volume)

    def paint(self, planes: Iterable[PaintedPlane]) -> bool:
        """Replace what is painted on some planes; False if that changes nothing.

        Raises
        ------
        InputError
            If something has other axes than rows and columns; nothing is replaced then.
        """
        planes = tuple(planes)
        boxes = (box for plane in planes for box in plane.complete)
        if any(plane.labels.array.ndim != 2 for plane in planes) or any(
            len(box.start) != 2 for box in boxes
        ):
            raise InputError("What is painted on a slice has to have rows and columns alone.")
        changed = False
        for plane in planes:
            known = self._planes.get(plane.prefix)
            if _is_same(known, plane):
                continue
            changed = True
            self._examples.pop(plane.prefix, None)
            if plane.complete or plane.labels.array.any():
                self._planes[plane.prefix] = plane
            else:
                self._planes.pop(plane.prefix, None)
        return changed

    def forget_examples(self) -> None:
        """Make the examples anew, because the classes are others now."""
        self._examples.clear()

    def add_to(self, support: SupportSet) -> None:
        """Add what is painted to a support set, in the order of the planes.

        Raises
        ------
        InputError
            If labels do not lie on the image, or are not those of a class.
        """
        for prefix in sorted(self._planes):
            if prefix not in self._examples:
                plane = self._planes[prefix]
                self._examples[prefix] = support.plane_examples(
                    self.volume,
                    self.normalization,
                    prefix,
                    plane.labels.array,
                    origin=plane.origin,
                    complete=plane.complete,
                )
            support.examples += self._examples[prefix]

    def close(self) -> None:
        """Let go of the shared memory."""
        if self._buffer is not None:
            self._buffer.close()


class OpenImages:
    """All open images and the classes.

    Attributes
    ----------
    version : int
        Grows whenever the support set may have changed.
    """

    def __init__(self) -> None:
        self.version = 0
        self._classes: tuple[str, ...] = ()
        self._images: dict[str, OpenedImage] = {}

    def __getitem__(self, image_id: str) -> OpenedImage:
        if image_id not in self._images:
            raise InputError(f"No image {image_id!r} is open in the engine.")
        return self._images[image_id]

    def open(self, request: OpenImage) -> None:
        """Open an image; one of the same id is closed first.

        Raises
        ------
        InputError
            If it cannot be opened.
        """
        self.close(request.image_id)
        self._images[request.image_id] = OpenedImage(request)

    def close(self, image_id: str) -> LazyArray | None:
        """Forget an image and what was painted on it; return what its pixels were kept in."""
        image = self._images.pop(image_id, None)
        if image is None:
            return None
        image.close()
        self.version += 1
        return image.volume.data

    def paint(self, image_id: str, planes: Iterable[PaintedPlane]) -> None:
        """Replace what is painted on some planes of an image."""
        if self[image_id].paint(planes):
            self.version += 1

    def set_classes(self, classes: tuple[str, ...]) -> None:
        """Give the classes their names."""
        if classes != self._classes:
            self._classes = classes
            self.version += 1
            for image in self._images.values():
                image.forget_examples()

    def opened(self) -> list[OpenedImage]:
        """Return all images, in the order of their ids."""
        return [image for _, image in sorted(self._images.items())]

    def support(self) -> SupportSet:
        """Return what is painted on all images, in the order of their ids.

        That order, and not the one in which they were opened, so that a method that draws from
        the examples draws the same ones whenever an image is opened anew.

        Raises
        ------
        InputError
            If there are too few classes, or labels that do not fit classes or images.
        """
        support = SupportSet(self._classes)
        for image in self.opened():
            image.add_to(support)
        return support


def _is_same(known: PaintedPlane | None, plane: PaintedPlane) -> bool:
    if known is None:
        return not plane.complete and not plane.labels.array.any()
    return (
        known.origin == plane.origin
        and known.complete == plane.complete
        and np.array_equal(known.labels.array, plane.labels.array)
    )
