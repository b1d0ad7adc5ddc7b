"""Normalised planes and stacks that segmenters read tiles from.

A view is one plane (2-D) or one stack (3-D) of a volume, together with the intensity
normalisation of that volume. Reading beyond the border mirrors the image, so that a tile with
its halo has the same shape everywhere. A view does not know what is computed from it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_regcon.types import Box, Volume

if TYPE_CHECKING:
    from napari_regcon.data.normalize import Normalization


@dataclass(frozen=True, eq=False)
class ImageView:
    """One normalised plane (2-D) or stack (3-D) of a volume.

    Parameters
    ----------
    volume : Volume
        The image.
    normalization : Normalization
        Maps raw intensities of this volume to about [0, 1].
    prefix : tuple of int
        Index in front of the spatial axes, one of ``volume.prefixes(spatial_ndim)``.
    spatial_ndim : int
        2 for a plane, 3 for a stack.
    held : Box, optional
        A part whose raw pixels are read at once, see :meth:`hold`.
    """

    volume: Volume
    normalization: Normalization
    prefix: tuple[int, ...]
    spatial_ndim: int
    held: Box | None = None

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Spatial shape, ``(Y, X)`` or ``(Z, Y, X)``."""
        return self.volume.label_shape[len(self.volume.label_shape) - self.spatial_ndim :]

    @property
    def box(self) -> Box:
        """The whole view as a box."""
        return Box.of_shape(self.shape)

    @property
    def key(self) -> tuple[object, ...]:
        """Identifies the pixels of this view within one process, for caches."""
        return (id(self.volume.data), self.normalization, self.prefix, self.spatial_ndim)

    def hold(self, box: Box) -> ImageView:
        """Return the same view, which reads the raw pixels of a box at once and keeps them.

        Many small reads inside the box then cost one read of the source, at the first of them,
        which matters where the source is compressed. Pixels outside are read as before.

        Parameters
        ----------
        box : Box
            Spatial box; the part outside the view is left out.
        """
        return replace(self, held=box.intersect(self.box))

    @cached_property
    def _kept(self) -> np.ndarray:
        """Raw pixels of the held box, read when first needed."""
        held = self.held or self.box
        return np.asarray(self.volume.data[(*self.prefix, *held.slices)])

    def _raw(self, box: Box) -> np.ndarray:
        """Return the raw pixels of a box inside the view."""
        if self.held is not None and self.held.intersect(box) == box:
            offset = tuple(-i for i in self.held.start)
            return self._kept[box.shift(offset).slices]
        return np.asarray(self.volume.data[(*self.prefix, *box.slices)])

    def read(
        self, box: Box, halo: tuple[int, ...] | None = None, neighbours: int = 0
    ) -> np.ndarray:
        """Read a box grown by a halo, mirrored at the borders of the view.

        Parameters
        ----------
        box : Box
            Spatial box inside the view.
        halo : tuple of int, optional
            Pixels of context on both sides of each spatial axis.
        neighbours : int
            Of a plane, read so many above and so many below, too, mirrored at the ends.

        Returns
        -------
        numpy.ndarray
            float32, ``(C, *spatial)`` with C = 1 for grey images, about [0, 1]; with neighbours
            all channels of the uppermost plane first, and so on, those of the plane itself in the
            middle.
        """
        if neighbours:
            return np.concatenate([view.read(box, halo) for view in self._beside(neighbours)])
        indices, inner = self._needed(box, halo)
        raw = self._raw(inner)
        values = self.normalization(raw, channels_last=self.volume.has_channels)
        values = np.moveaxis(values, -1, 0) if self.volume.has_channels else values[None]
        for axis, (index, start) in enumerate(zip(indices, inner.start, strict=True), start=1):
            if len(index) != values.shape[axis]:
                values = np.take(values, index - start, axis=axis)
        return np.ascontiguousarray(values, dtype=np.float32)

    def fingerprint(
        self, box: Box, halo: tuple[int, ...] | None = None, neighbours: int = 0
    ) -> str:
        """Return a hash of all that :meth:`read` gives for a box, and of where it lies.

        It follows from the pixels themselves, so it is the same when the image is opened again,
        under any name, and another one once any of them is changed.

        Parameters
        ----------
        box, halo, neighbours : Box, tuple of int, int
            As for :meth:`read`.
        """
        if neighbours:
            return " ".join(view.fingerprint(box, halo) for view in self._beside(neighbours))
        _, inner = self._needed(box, halo)
        raw = np.ascontiguousarray(self._raw(inner))
        place = (box, halo, self.shape, raw.shape, raw.dtype.str, self.volume.has_channels)
        digest = hashlib.blake2b(repr((place, self.normalization)).encode(), digest_size=20)
        digest.update(raw.view(np.uint8).data)
        return digest.hexdigest()

    def _beside(self, neighbours: int) -> list[ImageView]:
        """Return the planes around this one, and itself in the middle."""
        depth, at = self.volume.label_shape[len(self.prefix) - 1], self.prefix[-1]
        return [
            self if index == at else self._at(int(index))
            for index in _mirrored(at - neighbours, at + neighbours + 1, depth)
        ]

    def _at(self, index: int) -> ImageView:
        """Return another plane of the same stack, always the same object, as it may hold pixels."""
        if index not in self._others:
            self._others[index] = replace(self, prefix=(*self.prefix[:-1], index))
        return self._others[index]

    @cached_property
    def _others(self) -> dict[int, ImageView]:
        return {}

    def _needed(self, box: Box, halo: tuple[int, ...] | None) -> tuple[list[np.ndarray], Box]:
        """Return the pixels that are read along each axis, and the box that holds them."""
        wanted = box.grow(halo) if halo else box
        indices = [
            _mirrored(a, b, n)
            for a, b, n in zip(wanted.start, wanted.stop, self.shape, strict=True)
        ]
        inner = Box(tuple(int(i.min()) for i in indices), tuple(int(i.max()) + 1 for i in indices))
        return indices, inner


def _mirrored(start: int, stop: int, length: int) -> np.ndarray:
    """Return indices from start to stop, reflected into [0, length) without repeating the edge."""
    index = np.arange(start, stop)
    if length == 1:
        return np.zeros_like(index)
    period = 2 * (length - 1)
    index = np.abs(index) % period
    return np.where(index >= length, period - index, index)
