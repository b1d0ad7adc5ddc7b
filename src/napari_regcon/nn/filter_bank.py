"""A bank of classical image filters at several scales, as features for a pixel classifier.

Per channel: intensity, and at every scale the Gaussian-smoothed intensity, gradient magnitude,
Laplacian, Hessian and structure-tensor eigenvalues, and the difference to the next wider scale.
Wide filters are computed on a coarser lattice of pixels and interpolated linearly. The lattice
is fixed to the pixel coordinates of the image, so a tile with its halo gives the same features
wherever it is cut. The bank has no weights and does not know what is classified.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from napari_regcon.nn.eigenvalues import symmetric_eigenvalues
from napari_regcon.nn.smoothing import enlarge_into, smooth_along

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from torch import Tensor

TRUNCATE = 3.0
"""Gaussians end at this many sigma."""
INTEGRATION = 0.5
"""Sigma over which the structure tensor is averaged, relative to the scale's own sigma."""
FINEST_LATTICE_SIGMA = 1.6
"""A coarser lattice is used as soon as sigma is at least this many of its steps."""
NOISE_FLOOR = 0.01
"""Gradient (in normalised intensity) below which structure-tensor roots flatten out."""


def geometric_sigmas(sigma_min_px: float, sigma_max_px: float, ratio: float = 1.7) -> list[float]:
    """Return scales from finest to widest, evenly spaced on a logarithmic axis.

    Parameters
    ----------
    sigma_min_px, sigma_max_px : float
        First and last scale in pixels.
    ratio : float
        About how much each is wider than the one before.
    """
    octaves = math.log(sigma_max_px / sigma_min_px) / math.log(ratio)
    n_steps = max(1, round(octaves))
    factor = (sigma_max_px / sigma_min_px) ** (1 / n_steps)
    return [sigma_min_px * factor**i for i in range(n_steps + 1)]


@dataclass(frozen=True)
class _Axis:
    """How one scale looks along one axis: sigma and lattice step in pixels."""

    sigma_px: float
    step_px: int

    @property
    def radius_px(self) -> int:
        return math.ceil(TRUNCATE * self.sigma_px)

    @property
    def sigma_steps(self) -> float:
        return self.sigma_px / self.step_px

    @property
    def integration_radius(self) -> int:
        """Radius of the structure tensor's average, in lattice steps."""
        return math.ceil(TRUNCATE * INTEGRATION * self.sigma_steps)

    @property
    def margin(self) -> int:
        """Lattice points needed around those that are interpolated."""
        return 1 + self.integration_radius

    @property
    def halo_px(self) -> int:
        # A tile may begin and end up to step - 1 pixels away from the lattice.
        return self.radius_px + self.margin * self.step_px + self.step_px - 1


class FilterBank:
    """Classical features of images, in 2-D or 3-D, tile by tile.

    Parameters
    ----------
    sigmas_px : sequence of float
        Scales, from finest to widest, in pixels of the axis with ``aspect`` 1.
    aspect : sequence of float
        Size of a voxel along each spatial axis, relative to the axis that ``sigmas_px`` are
        given for; ``(1, 1)`` for a plane, ``(5, 1, 1)`` for sections five times as thick as a
        pixel is wide. Along an axis sigma is ``sigma_px / aspect``.

    Notes
    -----
    Derivatives are central differences of the smoothed image and scale-normalised (Lindeberg,
    "Feature detection with automatic scale selection", IJCV 1998, eq. 20 with gamma = 1): the
    derivative along axis i is multiplied by that axis' sigma. So features at all scales are in
    units of normalised intensity. Structure-tensor eigenvalues are given as roots,
    ``sqrt(value + e^2) - e`` with e = ``NOISE_FLOOR``, in the units of a gradient.
    """

    def __init__(self, sigmas_px: Sequence[float], aspect: Sequence[float]) -> None:
        self.sigmas_px = tuple(float(s) for s in sigmas_px)
        self.aspect = tuple(float(a) for a in aspect)
        self.spatial_ndim = len(self.aspect)
        self._scales = [tuple(_axis(s / a) for a in self.aspect) for s in self.sigmas_px]
        n_per_scale = 3 + 2 * self.spatial_ndim
        self.n_features = 1 + len(self._scales) * n_per_scale + len(self._scales) - 1
        self._n_per_scale = n_per_scale

    @property
    def halo_px(self) -> tuple[int, ...]:
        """Pixels of context needed on both sides of each axis."""
        return tuple(max(a.halo_px for a in axes) for axes in zip(*self._scales, strict=True))

    @property
    def names(self) -> tuple[str, ...]:
        """What each feature of a channel is."""
        eigenvalues = [f"{i + 1}" for i in range(self.spatial_ndim)]
        kinds = ["Gaussian", "gradient magnitude", "Laplacian"]
        kinds += [f"Hessian eigenvalue {i}" for i in eigenvalues]
        kinds += [f"structure tensor eigenvalue {i}" for i in eigenvalues]
        names = [f"{kind}, {s:.2g} px" for s in self.sigmas_px for kind in kinds]
        pairs = itertools.pairwise(self.sigmas_px)
        names += [f"difference of Gaussians, {a:.2g} and {b:.2g} px" for a, b in pairs]
        return ("intensity", *names)

    def __call__(self, image: Tensor, origin: Sequence[int]) -> Tensor:
        """Compute the features of a tile.

        Parameters
        ----------
        image : torch.Tensor
            float32 ``(C, *spatial)``, about [0, 1]: the tile with ``halo_px`` on every side.
        origin : sequence of int
            Pixel coordinates, in the whole image, of the first pixel of the tile (without
            halo). Only their remainder by the lattice step matters.

        Returns
        -------
        torch.Tensor
            float32 ``(C * n_features, *tile)``, all features of the first channel first.
        """
        tile = (n - 2 * h for n, h in zip(image.shape[1:], self.halo_px, strict=True))
        out = image.new_empty((len(image) * self.n_features, *tile))
        for _ in self.steps(image, origin, out):
            pass
        return out

    def steps(
        self,
        image: Tensor,
        origin: Sequence[int],
        out: Tensor,
        at_once: int = 1,
        each: Callable[[Callable[[int], Tensor], range], Iterable[Tensor]] = map,
    ) -> Generator[None, None, None]:
        """Compute the same a few scales at a time, yielding after each few.

        Parameters
        ----------
        image, origin : torch.Tensor, sequence of int
            As when the bank is called.
        out : torch.Tensor
            ``(C * n_features, *tile)`` to write into, of any floating type.
        at_once : int
            Number of scales from one pause to the next.
        each : callable
            Applies a function to each of these scales; they are independent of each other.
        """
        out = out.view(len(image), self.n_features, *out.shape[1:])
        inner = (slice(h, h + n) for h, n in zip(self.halo_px, out.shape[2:], strict=True))
        out[:, 0] = image[:, *inner]
        n, n_scales = self._n_per_scale, len(self._scales)

        def fill(i: int) -> Tensor:
            part = out[:, 1 + i * n : 1 + (i + 1) * n]
            return self._fill_scale(image, origin, self._scales[i], part)

        finer = None
        for first in range(0, n_scales, at_once):
            scales = range(first, min(first + at_once, n_scales))
            for i, smooth in zip(scales, each(fill, scales), strict=True):
                if finer is not None:
                    out[:, n_scales * n + i] = finer - smooth
                finer = smooth
            yield

    def _fill_scale(
        self, image: Tensor, origin: Sequence[int], axes: tuple[_Axis, ...], out: Tensor
    ) -> Tensor:
        """Write the features of one scale into ``(C, n_per_scale, *tile)``.

        Returns the smoothed image, float32 ``(C, *tile)``.
        """
        tile = out.shape[2:]
        first = [o // a.step_px for o, a in zip(origin, axes, strict=True)]
        last = [-(-(o + n - 1) // a.step_px) for o, n, a in zip(origin, tile, axes, strict=True)]
        smooth = image
        for i, (axis, halo) in enumerate(zip(axes, self.halo_px, strict=True)):
            centre = (first[i] - axis.margin) * axis.step_px - origin[i] + halo
            n = last[i] - first[i] + 1 + 2 * axis.margin
            length = (n - 1) * axis.step_px + 1 + 2 * axis.radius_px
            smooth = smooth.narrow(i + 1, centre - axis.radius_px, length)
        for i, axis in enumerate(axes):
            smooth = smooth_along(smooth, i + 1, axis.sigma_px, axis.step_px, axis.radius_px)
        if all(axis.step_px == 1 for axis in axes):
            _lattice_features(smooth, axes, out)
            return _crop(smooth, [axis.margin for axis in axes])
        shape = [b - a + 1 for a, b in zip(first, last, strict=True)]
        coarse = image.new_empty((*out.shape[:2], *shape))
        _lattice_features(smooth, axes, coarse)
        fine = [(n - 1) * a.step_px + 1 for n, a in zip(shape, axes, strict=True)]
        skip = [o - f * a.step_px for o, f, a in zip(origin, first, axes, strict=True)]
        full = image.new_empty((len(out), *tile))
        enlarge_into(full, coarse[:, 0], skip, size=fine, align_corners=True)
        out[:, 0] = full
        for target, found in zip(out, coarse, strict=True):
            enlarge_into(target[1:], found[1:], skip, size=fine, align_corners=True)
        return full


def _axis(sigma_px: float) -> _Axis:
    step = 1
    while sigma_px >= 2 * step * FINEST_LATTICE_SIGMA:
        step *= 2
    return _Axis(sigma_px, step)


def _lattice_features(smooth: Tensor, axes: tuple[_Axis, ...], out: Tensor) -> None:
    """Compute the features of one scale from the smoothed image on its lattice.

    Parameters
    ----------
    smooth : torch.Tensor
        ``(C, *lattice)`` with ``margin`` points more on every side than ``out``.
    axes : tuple of _Axis
        Sigma and step along each axis.
    out : torch.Tensor
        ``(C, n_per_scale, *lattice)`` to write into.
    """
    n_dim = len(axes)
    gradient = [_difference(smooth, i, axis) for i, axis in enumerate(axes)]
    pairs = list(itertools.combinations_with_replacement(range(n_dim), 2))
    core = [axis.integration_radius for axis in axes]
    middle = [_crop(g, core) for g in gradient]
    out[:, 0] = _crop(smooth, [axis.margin for axis in axes])
    out[:, 1] = torch.stack(middle).square_().sum(0).sqrt_()
    near = _crop(smooth, core)
    hessian = [_second_difference(near, axes, i, j) for i, j in pairs]
    sum_of = torch.stack([h for h, (i, j) in zip(hessian, pairs, strict=True) if i == j])
    out[:, 2] = sum_of.sum(0)
    for k, value in enumerate(symmetric_eigenvalues(hessian)):
        out[:, 3 + k] = value
    tensor = [_integrate(gradient[i] * gradient[j], axes) for i, j in pairs]
    floor = NOISE_FLOOR
    for k, value in enumerate(symmetric_eigenvalues(tensor)):
        root = value.clamp_(min=0).add_(floor**2).sqrt_()
        out[:, 3 + n_dim + k] = root.sub_(floor)


def _difference(smooth: Tensor, i: int, axis: _Axis) -> Tensor:
    """Return the scale-normalised first derivative along axis i, one point less on each side."""
    inner = _crop(smooth, [0 if j == i else 1 for j in range(smooth.ndim - 1)])
    n = inner.shape[i + 1] - 2
    return (inner.narrow(i + 1, 2, n) - inner.narrow(i + 1, 0, n)).mul_(0.5 * axis.sigma_steps)


def _second_difference(smooth: Tensor, axes: tuple[_Axis, ...], i: int, j: int) -> Tensor:
    """Return a scale-normalised second derivative, one point less on each side."""
    if i != j:
        rest = [0 if k in (i, j) else 1 for k in range(smooth.ndim - 1)]
        inner = _crop(smooth, rest)
        n = inner.shape[i + 1] - 2
        along = inner.narrow(i + 1, 2, n) - inner.narrow(i + 1, 0, n)
        n = along.shape[j + 1] - 2
        both = along.narrow(j + 1, 2, n) - along.narrow(j + 1, 0, n)
        return both.mul_(0.25 * axes[i].sigma_steps * axes[j].sigma_steps)
    inner = _crop(smooth, [0 if k == i else 1 for k in range(smooth.ndim - 1)])
    n = inner.shape[i + 1] - 2
    outer = inner.narrow(i + 1, 0, n) + inner.narrow(i + 1, 2, n)
    return outer.sub_(inner.narrow(i + 1, 1, n), alpha=2).mul_(axes[i].sigma_steps ** 2)


def _integrate(product: Tensor, axes: tuple[_Axis, ...]) -> Tensor:
    """Average over the integration scale, on the lattice."""
    for i, axis in enumerate(axes):
        sigma = INTEGRATION * axis.sigma_steps
        product = smooth_along(product, i + 1, sigma, 1, axis.integration_radius)
    return product


def _crop(values: Tensor, margin: Sequence[int]) -> Tensor:
    for i, m in enumerate(margin, start=1):
        values = values.narrow(i, m, values.shape[i] - 2 * m)
    return values
