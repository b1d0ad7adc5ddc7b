"""Features per pixel: what turns a tile of an image into a stack of feature images.

A :class:`FeatureExtractor` is given a tile with its halo. Nothing here knows where tiles come
from, where results are kept, or what they are used for.
"""

from __future__ import annotations

import abc
import hashlib
from typing import TYPE_CHECKING

import torch

from napari_regcon.engine.device import in_threads
from napari_regcon.engine.segmenter import run
from napari_regcon.nn.filter_bank import FilterBank, geometric_sigmas
from napari_regcon.nn.smoothing import smooth_along

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from torch import Tensor

    from napari_regcon.config import PixelHeadConfig
    from napari_regcon.types import Volume


_GUIDE_SIGMA_PX = 0.7
"""Takes off the noise that smoothing would go by, and hardly anything of an edge."""

_GUIDE_RADIUS_PX = 3
"""Where that Gaussian is cut off."""


class FeatureExtractor(abc.ABC):
    """A function from a tile with its halo to features per pixel.

    The result for a pixel must depend on the image around it alone, not on where a tile is cut.

    Attributes
    ----------
    name : str
        For people.
    spatial_ndim : int
        2 for planes, 3 for stacks.
    halo_px : tuple of int
        Context needed on both sides of each spatial axis.
    neighbours : int
        Planes above and below a plane whose channels it is given, too; see
        :meth:`napari_regcon.data.views.ImageView.read`.
    """

    name: str
    spatial_ndim: int
    halo_px: tuple[int, ...]
    neighbours: int = 0

    @property
    @abc.abstractmethod
    def fingerprint(self) -> str:
        """Differs wherever parameters or weights, and so the features, differ."""

    @abc.abstractmethod
    def n_features(self, n_channels: int) -> int:
        """Return the number of features of an image with so many channels."""

    def compute(self, image: Tensor, origin: Sequence[int]) -> Tensor:
        """Return the features of a tile, float32; see :meth:`compute_in_steps`."""
        n_features = self.n_features(len(image) // (2 * self.neighbours + 1))
        tile = (n - 2 * h for n, h in zip(image.shape[1:], self.halo_px, strict=True))
        out = image.new_empty((n_features, *tile))
        run(self.compute_in_steps(image, origin, out))
        return out

    @abc.abstractmethod
    def compute_in_steps(
        self, image: Tensor, origin: Sequence[int], out: Tensor
    ) -> Generator[None, None, None]:
        """Compute the features of a tile, yielding wherever it can be stopped or left waiting.

        Parameters
        ----------
        image : torch.Tensor
            float32 ``(C, *spatial)``, normalised; the tile with ``halo_px`` on every side, and
            the channels of ``neighbours``.
        origin : sequence of int
            Position in the image of the first pixel of the tile (without halo).
        out : torch.Tensor
            ``(n_features(C), *tile)`` on the device of the image, of any floating type. Filled
            piece by piece: a stack of all features in float32 is nowhere.
        """


class FilterBankExtractor(FeatureExtractor):
    """Classical image filters at several scales; needs no weights.

    Parameters
    ----------
    sigmas_px : sequence of float
        Scales of the filters.
    aspect : sequence of float
        Relative voxel size along each spatial axis; its length says whether planes or stacks
        are looked at. See :class:`napari_regcon.nn.filter_bank.FilterBank`.
    """

    name = "filter bank"

    def __init__(self, sigmas_px: Sequence[float], aspect: Sequence[float] = (1.0, 1.0)) -> None:
        self._bank = FilterBank(sigmas_px, aspect)
        self.spatial_ndim = self._bank.spatial_ndim
        self.halo_px = self._bank.halo_px

    @property
    def fingerprint(self) -> str:
        """Version of the filters, scales and voxel shape."""
        return f"filter-bank-1 {self._bank.sigmas_px} {self._bank.aspect}"

    def n_features(self, n_channels: int) -> int:
        """Return the number of features of an image with so many channels."""
        return n_channels * self._bank.n_features

    def compute_in_steps(
        self, image: Tensor, origin: Sequence[int], out: Tensor
    ) -> Generator[None, None, None]:
        """Compute the features of a tile, a scale on every thread of the processor at a time."""
        # Operations on a tile are too short to be shared by threads: they wait more than they work.
        at_once = torch.get_num_threads() if image.device.type == "cpu" else 1
        return self._bank.steps(image, origin, out, at_once, in_threads)


class GuideExtractor(FeatureExtractor):
    """How bright the image is, little noise left: what results are smoothed along.

    Parameters
    ----------
    spatial_ndim : int
        2 for planes, 3 for stacks, whose planes are each smoothed by themselves.
    """

    name = "brightness"

    def __init__(self, spatial_ndim: int) -> None:
        self.spatial_ndim = spatial_ndim
        self.halo_px = (0,) * (spatial_ndim - 2) + (_GUIDE_RADIUS_PX,) * 2

    @property
    def fingerprint(self) -> str:
        """How wide it is smoothed."""
        return f"guide-1 {_GUIDE_SIGMA_PX}"

    def n_features(self, n_channels: int) -> int:  # noqa: ARG002 - their mean
        """Return 1."""
        return 1

    def compute_in_steps(
        self,
        image: Tensor,
        origin: Sequence[int],  # noqa: ARG002 - it is the same everywhere
        out: Tensor,
    ) -> Generator[None, None, None]:
        """Compute the brightness of a tile."""
        grey = image.mean(0, keepdim=True)
        for dim in (grey.ndim - 2, grey.ndim - 1):
            grey = smooth_along(grey, dim, _GUIDE_SIGMA_PX, 1, _GUIDE_RADIUS_PX)
        out.copy_(grey)
        yield


class ConcatExtractor(FeatureExtractor):
    """Several extractors side by side.

    Parameters
    ----------
    extractors : sequence of FeatureExtractor
        All for planes, or all for stacks; none that looks at slices beside.

    Raises
    ------
    ValueError
        If there are none, one looks at slices beside, or they differ in ``spatial_ndim``.
    """

    def __init__(self, extractors: Sequence[FeatureExtractor]) -> None:
        self.extractors = tuple(extractors)
        if len({e.spatial_ndim for e in self.extractors}) != 1:
            raise ValueError("extractors to join must all be for planes or all for stacks")
        if any(e.neighbours for e in self.extractors):
            raise ValueError("extractors that look at slices beside cannot be joined")
        self.spatial_ndim = self.extractors[0].spatial_ndim
        self.name = " and ".join(e.name for e in self.extractors)
        halos = [e.halo_px for e in self.extractors]
        self.halo_px = tuple(max(along) for along in zip(*halos, strict=True))

    @property
    def fingerprint(self) -> str:
        """Those of all extractors, in order."""
        return " + ".join(e.fingerprint for e in self.extractors)

    def n_features(self, n_channels: int) -> int:
        """Return the sum over the extractors."""
        return sum(e.n_features(n_channels) for e in self.extractors)

    def compute_in_steps(
        self, image: Tensor, origin: Sequence[int], out: Tensor
    ) -> Generator[None, None, None]:
        """Compute the features of a tile, one extractor after the other."""
        parts = torch.split(out, [e.n_features(len(image)) for e in self.extractors])
        for extractor, part in zip(self.extractors, parts, strict=True):
            yield from extractor.compute_in_steps(self._cut(image, extractor), origin, part)

    def _cut(self, image: Tensor, extractor: FeatureExtractor) -> Tensor:
        for i, (have, need) in enumerate(zip(self.halo_px, extractor.halo_px, strict=True), 1):
            image = image.narrow(i, have - need, image.shape[i] - 2 * (have - need))
        return image


def fingerprint_of(*parts: object) -> str:
    """Return a short hash of parameters or weights, for :attr:`FeatureExtractor.fingerprint`."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def filters_for(config: PixelHeadConfig, volume: Volume) -> FilterBankExtractor:
    """Return the filters that a configuration means for a volume."""
    sigmas = geometric_sigmas(config.sigma_min_px, config.sigma_max_px)
    return FilterBankExtractor(sigmas, _aspect(volume, volume.spatial_ndim(config.dimensions)))


def _aspect(volume: Volume, spatial_ndim: int) -> tuple[float, ...]:
    """Return voxel sizes relative to the columns; 1 where sizes or their units are unknown."""
    n_label = len(volume.label_axes)
    scale = volume.scale[n_label - spatial_ndim : n_label]
    units = volume.units[n_label - spatial_ndim : n_label]
    if len(set(units)) > 1 or not all(s > 0 for s in scale):
        return (1.0,) * spatial_ndim
    return tuple(s / scale[-1] for s in scale)
