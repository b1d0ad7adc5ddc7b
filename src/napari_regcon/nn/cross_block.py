"""The block UniverSeg is made of: a query and its support examples look at each other.

A block can be evaluated as the paper writes it, or in the two halves that its linear part falls
into; then support features go from block to block in parts. It does not know how blocks are put
together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SLOPE = 0.01
"""Slope of the leaky rectifier for negative values."""


class CrossBlock(nn.Module):
    """Let a query and its support look at each other (arXiv 2304.06131, section 3.2).

    With query features ``u`` and support features ``v_i``: ``z_i = Cross([u, v_i])`` without an
    activation, ``u' = LeakyReLU(Conv_t(mean_i z_i))``, ``v_i' = LeakyReLU(Conv_s(z_i))``; all
    convolutions are 3 x 3. The paper's equations have an activation after ``Cross`` too; the
    released network has none.

    Parameters
    ----------
    query_channels, support_channels : int
        Channels of ``u`` and of ``v_i``.
    width : int
        Channels of ``z_i``, ``u'`` and ``v_i'``.
    """

    def __init__(self, query_channels: int, support_channels: int, width: int) -> None:
        super().__init__()
        self.query_channels = query_channels
        cross = nn.Conv2d(query_channels + support_channels, width, 3, padding=1)
        # Nested so that the tensors have the names of the released file.
        self.cross = nn.ModuleDict({"cross_conv": cross})
        self.target = nn.ModuleDict({"vmapped": _named_conv(width)})
        self.support = nn.ModuleDict({"vmapped": _named_conv(width)})
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw fresh weights that keep the size of the features from block to block."""
        nn.init.kaiming_normal_(self.cross_conv.weight, nonlinearity="linear")
        for conv in (self.query_conv, self.support_conv):
            nn.init.kaiming_normal_(conv.weight, a=SLOPE)
        for conv in (self.cross_conv, self.query_conv, self.support_conv):
            nn.init.zeros_(cast("Tensor", conv.bias))

    @property
    def cross_conv(self) -> nn.Conv2d:
        """``Cross``; its input has the query channels first."""
        return cast("nn.Conv2d", self.cross["cross_conv"])

    @property
    def query_conv(self) -> nn.Conv2d:
        """``Conv_t``."""
        return cast("nn.Conv2d", cast("nn.ModuleDict", self.target["vmapped"])["conv"])

    @property
    def support_conv(self) -> nn.Conv2d:
        """``Conv_s``."""
        return cast("nn.Conv2d", cast("nn.ModuleDict", self.support["vmapped"])["conv"])

    def forward(self, query: Tensor, support: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate the block as it is written.

        Parameters
        ----------
        query : Tensor
            ``u``, ``(B, C_q, H, W)``.
        support : Tensor
            All ``v_i``, ``(B, S, C_s, H, W)``.

        Returns
        -------
        query, support : Tensor
            ``u'`` ``(B, C, H, W)`` and all ``v_i'`` ``(B, S, C, H, W)``.
        """
        repeated = query[:, None].expand(-1, support.shape[1], -1, -1, -1)
        z = each(self.cross_conv, torch.cat([repeated, support], dim=2))
        return self.next_query(z.mean(dim=1)), activate(each(self.support_conv, z))

    def query_half(self, query: Tensor) -> Tensor:
        """Return what ``u`` gives to every ``z_i``, with the bias; ``(B, C, H, W)``."""
        conv = self.cross_conv
        weight = conv.weight[:, : self.query_channels]
        return functional.conv2d(query, weight, conv.bias, padding=1)

    def support_half(self, support: Tensor) -> Tensor:
        """Return what some ``v_i``, or their mean, give to ``z_i``; ``(N, C_s, H, W)`` in."""
        weight = self.cross_conv.weight[:, self.query_channels :]
        return functional.conv2d(support, weight, padding=1)

    def next_query(self, mean_z: Tensor) -> Tensor:
        """Return ``u'`` for ``mean_i z_i``, ``(B, C, H, W)``."""
        return activate(cast("Tensor", self.query_conv(mean_z)))

    def next_support(self, query_half: Tensor, support: Tensor) -> Tensor:
        """Return some ``v_i'``.

        Parameters
        ----------
        query_half : Tensor
            From :meth:`query_half`, ``(B, C, H, W)``.
        support : Tensor
            Some ``v_i``, ``(B, s, C_s, H, W)``.

        Returns
        -------
        Tensor
            ``(B, s, C, H, W)``.
        """
        z = query_half[:, None] + each(self.support_half, support)
        return activate(each(self.support_conv, z))


class KeptSupport:
    """Support features kept in parts until the next block, and their mean over all examples.

    Parameters
    ----------
    offload : bool
        Keep them in the computer's memory, not the device's.

    Attributes
    ----------
    n_examples : int
        Examples in all parts.
    """

    _total: Tensor
    _kind: tuple[torch.device, torch.dtype]

    def __init__(self, *, offload: bool) -> None:
        self._offload = offload
        self._parts: list[Tensor] = []
        self.n_examples = 0

    def add(self, part: Tensor, *, mean_only: bool = False) -> None:
        """Add features ``(B, s, C, H, W)``, to the parts and the mean or to the mean only."""
        # Sums are taken in float32, so that a mean over many is good in half precision too.
        dtype = torch.promote_types(part.dtype, torch.float32)
        total = part.sum(dim=1, dtype=dtype) if part.shape[1] > 1 else part[:, 0].to(dtype)
        self._total = self._total + total if self.n_examples else total
        self.n_examples += part.shape[1]
        self._kind = (part.device, part.dtype)
        if not mean_only:
            self._parts.append(part.cpu() if self._offload else part)

    @property
    def mean(self) -> Tensor:
        """Mean over all examples, ``(B, C, H, W)``."""
        mean = self._total / self.n_examples if self.n_examples > 1 else self._total
        return mean.to(*self._kind)

    def take(self) -> Iterator[Tensor]:
        """Hand out the parts, one after the other, and forget them."""
        while self._parts:
            yield self._parts.pop(0).to(self._kind[0])


def _named_conv(width: int) -> nn.ModuleDict:
    return nn.ModuleDict({"conv": nn.Conv2d(width, width, 3, padding=1)})


def activate(features: Tensor) -> Tensor:
    """Apply the leaky rectifier to features that nobody else holds."""
    return functional.leaky_relu(features, SLOPE, inplace=True)


def each(function: Callable[[Tensor], Tensor], support: Tensor) -> Tensor:
    """Apply a function of images ``(N, C, H, W)`` to support features ``(B, S, C, H, W)``."""
    result = function(support.flatten(0, 1))
    return result.view(*support.shape[:2], *result.shape[1:])


def two_convolutions(
    images: Tensor,
    first: tuple[Tensor, Tensor | None],
    second: tuple[Tensor, Tensor | None],
) -> Tensor:
    """Apply two 3 x 3 convolutions, one after the other, as one of 5 x 5.

    Worth while where the first takes few channels to many. Zeros stand beyond the border before
    each of the two, so the outermost pixels, where one kernel would see what the first gives
    beyond the border, are done in two steps.

    Parameters
    ----------
    images : Tensor
        ``(N, C_0, H, W)``, H and W at least 3.
    first, second : tuple of Tensor
        Kernel and bias (or None): ``(C_1, C_0, 3, 3)`` and ``(C_1,)``; ``(C_2, C_1, 3, 3)`` and
        ``(C_2,)``.

    Returns
    -------
    Tensor
        ``(N, C_2, H, W)``.
    """
    kernel = functional.conv_transpose2d(second[0], first[0])
    bias = second[1]
    if first[1] is not None:
        through = torch.einsum("ochw,c->o", second[0], first[1])
        bias = through if bias is None else bias + through
    # Few channels have no layout of their own, so the kernel says which the result has.
    kernel = kernel.contiguous(memory_format=torch.channels_last)
    result = functional.conv2d(images, kernel, bias, padding=2)
    for axis in (2, 3):
        # What the first gives for the outer two of three lines is right at this border (0: the
        # lower one, 1: the upper one), and suffices for what the second gives on the border.
        for side, start in ((0, 0), (1, images.shape[axis] - 3)):
            z = functional.conv2d(images.narrow(axis, start, 3), *first, padding=1)
            line = functional.conv2d(z.narrow(axis, side, 2), *second, padding=1)
            result.narrow(axis, start + 2 * side, 1).copy_(line.narrow(axis, side, 1))
    return result
