"""Features of a pre-trained network per pixel, its weights on disk, and their card.

A network of grey images sees every channel by itself, at its own size and optionally at smaller
ones, for more context. Batch normalisation is folded, and a tile is computed on the grid
of the whole image, so that the result of a pixel does not depend on where tiles are cut.
Nothing here knows how the weights were trained.
"""

from __future__ import annotations

import hashlib
import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_regcon.engine.features import FeatureExtractor
from napari_regcon.engine.weights import load_state
from napari_regcon.engine.weights_store import part_file
from napari_regcon.errors import WeightsError
from napari_regcon.nn.regcon import RegConNet
from napari_regcon.nn.smoothing import enlarge_into

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from napari_regcon.engine.device import Device
    from napari_regcon.engine.weights import WeightsInfo
    from napari_regcon.nn.class_net import ClassNet

_Net = TypeVar("_Net", bound=nn.Module)

_SIZES = ("embedding", "regions", "width", "levels")
"""What the card has to say so that the network can be built."""


def save_network(net: nn.Module, path: Path, card: dict[str, Any]) -> None:
    """Write the weights of a network with their card, whole or not at all.

    Parameters
    ----------
    net : torch.nn.Module
        The network.
    path : pathlib.Path
        A name that ends in ``.safetensors``.
    card : dict
        Sizes of the network (of a :class:`RegConNet`: ``embedding``, ``regions``, ``width``,
        ``levels``), licence, data, recipe and whatever else a user should know; values that JSON
        can hold.
    """
    from safetensors.torch import save

    state = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    metadata = {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in card.items()
    }
    with part_file(path) as (part, file):
        with file:
            file.write(save(state, metadata))
        part.replace(path)


def load_network(weights: str | Path) -> tuple[RegConNet, WeightsInfo]:
    """Load a network whose weights this package wrote.

    Parameters
    ----------
    weights : str or pathlib.Path
        A name in the registry of weights, or a file.

    Returns
    -------
    net : RegConNet
        Normalisation is not folded, so that training can go on from it.
    info : WeightsInfo
        What the weights are.

    Raises
    ------
    WeightsError
        If they cannot be read, or are of another network.
    """
    state, info = load_state(weights)
    expected = "Expected weights that this plugin wrote: a file made by 'napari-regcon pretrain'."
    try:
        net = empty_network(info.card)
    except KeyError as error:
        raise WeightsError(
            f"{info.path.name} does not say which network it is for.", expected=expected
        ) from error
    except ValueError as error:
        raise WeightsError(f"{info.path.name} {error}.", expected=expected) from error
    if sum(t.numel() for t in net.state_dict().values()) != info.n_parameters:
        raise WeightsError(
            f"{info.path.name} does not fit the network it names ({info.n_parameters:,} numbers).",
            expected=expected,
        )
    try:
        net.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise WeightsError(f"{info.path.name} does not fit the network it names.") from error
    return net.float().eval().requires_grad_(False), info


def empty_network(sizes: Mapping[str, Any]) -> RegConNet:
    """Return a network whose weights are still to come, without memory for them.

    Parameters
    ----------
    sizes : mapping
        What a card says: ``embedding``, ``regions``, ``width`` and ``levels``.

    Raises
    ------
    KeyError
        If it does not say one of them.
    ValueError
        If one is no number, or beyond what a network here can have.
    """
    told = {name: sizes[name] for name in _SIZES}
    try:
        numbers = {name: int(size) for name, size in told.items()}
        is_one = all(0 < size <= 1024 for size in numbers.values()) and numbers["levels"] <= 8
    except (TypeError, ValueError, OverflowError):
        is_one = False
    if not is_one:
        raise ValueError(f"claims a network of sizes {told}")
    with torch.device("meta"):
        return RegConNet(**numbers)


def fold(net: _Net) -> _Net:
    """Fold batch normalisation into the convolutions of a network, in place, for prediction."""
    net.eval().requires_grad_(False)
    for block in [module for module in net.modules() if isinstance(module, nn.Sequential)]:
        layers: list[Any] = list(block)
        for index, layer in enumerate(layers):
            if isinstance(layer, nn.BatchNorm2d):
                block[index - 1] = fuse_conv_bn_eval(layers[index - 1], layer)
                block[index] = nn.Identity()
    for parameter in net.parameters():
        if parameter.ndim == 4:  # a convolution
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return net


def hash_of(net: nn.Module) -> str:
    """Return a hash of the weights of a network, the same whatever file they come from."""
    found = hashlib.sha256()
    for name, tensor in net.state_dict().items():
        values = tensor.detach().cpu().contiguous()
        found.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        found.update(values.numpy().tobytes())
    return found.hexdigest()


class EmbeddingExtractor(FeatureExtractor):
    """Embedding of a pre-trained network, of the image made smaller by one or several factors.

    Parameters
    ----------
    net : RegConNet or ClassNet
        Copied, so that it can go on learning.
    device : Device
        Where it is computed; decides on the precision.
    zooms : sequence of int
        The image is made smaller by each of these; 1 is its own size.
    spatial_ndim : int
        2 for planes, 3 for stacks, whose planes are looked at one by one.
    neighbours : int
        Planes above and below that the network sees as channels, too.
    """

    name = "pre-trained network"

    def __init__(
        self,
        net: RegConNet | ClassNet,
        device: Device,
        *,
        zooms: Sequence[int] = (2,),
        spatial_ndim: int = 2,
        neighbours: int = 0,
    ) -> None:
        self.neighbours = neighbours
        self._net = fold(deepcopy(net)).to(device.torch_device)
        self._device = device
        self._hash = hash_of(net)
        self.zooms = tuple(zooms)
        self.spatial_ndim = spatial_ndim
        # A tile may begin anywhere on the grid of the coarsest level.
        halo = max(self.zooms) * (net.halo_px + net.stride)
        self.halo_px = (*(0,) * (spatial_ndim - 2), halo, halo)

    @property
    def fingerprint(self) -> str:
        """Weights, sizes and precision."""
        return f"regcon-4 {self._hash} {self.zooms} {self._device.supports_bf16}"

    def n_features(self, n_channels: int) -> int:
        """Return the length of the embedding, times the sizes, times what is looked at."""
        n_looks = n_channels if self._net.n_channels == 1 else 1
        return self._net.n_features * len(self.zooms) * n_looks

    def compute_in_steps(
        self, image: Tensor, origin: Sequence[int], out: Tensor
    ) -> Generator[None, None, None]:
        """Compute the features of a tile: channel by channel, plane by plane and size by size."""
        if self.spatial_ndim == 2:
            image, out = image[:, None], out[:, None]
        looks = torch.split(image, self._net.n_channels)
        for look, found in zip(looks, torch.chunk(out, len(looks)), strict=True):
            for plane, target in zip(look.unbind(1), found.unbind(1), strict=True):
                parts = torch.split(target, self._net.n_features)
                for zoom, part in zip(self.zooms, parts, strict=True):
                    self._at(plane[None], origin[-2:], zoom, part)
                    yield

    @torch.inference_mode()
    def _at(self, image: Tensor, origin: Sequence[int], zoom: int, out: Tensor) -> None:
        """Write what the network gives ``(F, *tile)`` for a plane made smaller by ``zoom``."""
        step, halo = zoom * self._net.stride, zoom * self._net.halo_px
        # One pixel around what is wanted, to interpolate from.
        skirt = self._net.halo_px - 1
        skip = []
        for axis, start in enumerate(origin):
            lead = start % step
            length = -(-(lead + out.shape[1 + axis] + 2 * halo) // step) * step
            image = _take(image, 2 + axis, self.halo_px[-1] - halo - lead, length)
            skip.append(zoom + lead)
        if zoom > 1:
            image = functional.avg_pool2d(image, zoom)
        image = image.contiguous(memory_format=torch.channels_last)
        kind = self._device.torch_device.type
        with torch.autocast(kind, torch.bfloat16, enabled=self._device.supports_bf16):
            found: Tensor = self._net(image, skirt)
        enlarge_into(out, found[0].contiguous(), skip, scale_factor=zoom, align_corners=False)


def _take(image: Tensor, axis: int, first: int, length: int) -> Tensor:
    """Return a stretch of an axis, with the last pixel repeated where it ends too soon."""
    have = min(length, image.shape[axis] - first)
    part = image.narrow(axis, first, have)
    if have == length:
        return part
    last = part.narrow(axis, have - 1, 1)
    return torch.cat([part, last.expand(*_with(last.shape, axis, length - have))], dim=axis)


def _with(shape: Sequence[int], axis: int, length: int) -> list[int]:
    return [length if i == axis else n for i, n in enumerate(shape)]
