"""UniverSeg: segment an image from a handful of labelled examples, without training.

The network of Butoi, Gonzalez Ortiz et al., "UniverSeg: Universal Medical Image Segmentation"
(ICCV 2023, arXiv 2304.06131), section 3.2, as in its first released version: the same tensors
under the same names, so that the released weights fit. It is evaluated in a factorised form that
gives the same result for much less work, see :meth:`UniverSeg.segment`. Nothing here knows where
weights come from, how an image is cut into tiles, or what the classes mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_regcon.nn.cross_block import CrossBlock, KeptSupport, activate, each, two_convolutions
from napari_regcon.nn.universeg_checks import check_query, check_state, check_support

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

WIDTH = 64
"""Channels of every block in the released network."""

CPU_CHUNK = 4
"""Support examples at a time that a processor's cache copes with best."""


@dataclass(frozen=True, eq=False)
class EncodedSupport:
    """What the first block makes of a support set alone; serves any number of queries.

    Parameters
    ----------
    parts : tuple of Tensor
        ``Conv_s`` of the support half, ``(B, s, C, H, W)`` each, for some of the examples.
    mean : Tensor
        Mean support half over all examples, ``(B, C, H, W)``.
    """

    parts: tuple[Tensor, ...]
    mean: Tensor

    @property
    def nbytes(self) -> int:
        """Memory that is held."""
        return sum(t.numel() * t.element_size() for t in (*self.parts, self.mean))


class UniverSeg(nn.Module):
    """The UniverSeg network, version 1.

    Parameters
    ----------
    width : int
        Channels of every block; 64 in the released network (44 tensors, 1,182,785 parameters).
    """

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.width = width
        deeper = [CrossBlock(width, width, width) for _ in range(3)]
        self.enc_blocks = nn.ModuleList([CrossBlock(1, 2, width), *deeper])
        self.dec_blocks = nn.ModuleList(CrossBlock(2 * width, 2 * width, width) for _ in range(3))
        self.out_conv = nn.ModuleDict({"conv": nn.Conv2d(width, 1, 1)})

    def forward(
        self,
        query: Tensor,
        support_images: Tensor,
        support_labels: Tensor,
        *,
        chunk: int | None = None,
        offload: bool = False,
        factorised: bool = True,
    ) -> Tensor:
        """Segment queries from support examples.

        Parameters
        ----------
        query : Tensor
            ``(B, 1, H, W)`` grey images, each spread over [0, 1]; H and W multiples of 8.
        support_images : Tensor
            ``(B, S, 1, H, W)`` grey images, each spread over [0, 1]; or ``(1, S, 1, H, W)``
            where all queries share one support set.
        support_labels : Tensor
            Like ``support_images``; 1 = the class that is looked for, 0 = all else.
        chunk : int, optional
            Work on this many support examples at a time; where not given, on as many as suits
            the device. The result is the same but for rounding.
        offload : bool
            Keep support features between blocks in the computer's memory, not the device's.
        factorised : bool
            False: evaluate the formulas as they are written, for comparison.

        Returns
        -------
        Tensor
            ``(B, 1, H, W)`` logits; ``sigmoid`` makes them probabilities.

        Raises
        ------
        InputError
            If the shapes do not fit; says which and how.
        """
        check_support(support_images, support_labels)
        check_query(query, support_images)
        support = torch.cat([support_images, support_labels], dim=2)
        if not factorised:
            return self._plain(query, support.expand(len(query), -1, -1, -1, -1))
        mean, parts = self._encode(support, chunk)
        return self._segment(query, mean, parts, offload=offload)

    def encode_support(
        self, support_images: Tensor, support_labels: Tensor, *, chunk: int | None = None
    ) -> EncodedSupport:
        """Do what depends on the support alone, once for many queries.

        The result holds S x C x H x W numbers: 4 MiB an example at 128 x 128 in float32.

        Parameters
        ----------
        support_images, support_labels, chunk
            As for :meth:`forward`. The chunk holds for :meth:`segment` too.

        Raises
        ------
        InputError
            If the shapes do not fit.
        """
        check_support(support_images, support_labels)
        mean, parts = self._encode(torch.cat([support_images, support_labels], dim=2), chunk)
        return EncodedSupport(tuple(parts), mean)

    def segment(self, query: Tensor, support: EncodedSupport, *, offload: bool = False) -> Tensor:
        """Segment queries from an encoded support set, in the factorised form.

        Between the cross convolution and the next activation the network is linear. So, with the
        same result: the cross kernel acts on query and support apart, and on the query once;
        the mean of the ``z_i`` comes from the mean of the ``v_i``; in the first block all
        convolutions of the support are done beforehand, in :meth:`encode_support`, and those of
        the query as one; and the last block needs no support but its mean.

        The mean over all examples enters the query in every block, so support features are kept
        from block to block. What is worked on at a time takes memory in proportion to the chunk
        (about 2 x s x C x H x W numbers); what is kept, to all S examples, but at half the
        resolution (about S x C x H x W / 3 numbers for each query).

        Parameters
        ----------
        query : Tensor
            ``(B, 1, H, W)``, see :meth:`forward`.
        support : EncodedSupport
            From :meth:`encode_support`; one set for each query, or one for all.
        offload : bool
            See :meth:`forward`.

        Returns
        -------
        Tensor
            ``(B, 1, H, W)`` logits.

        Raises
        ------
        InputError
            If the shapes do not fit.
        """
        check_query(query, support.parts[0])
        return self._segment(query, support.mean, support.parts, offload=offload)

    def _encode(self, support: Tensor, chunk: int | None) -> tuple[Tensor, Iterator[Tensor]]:
        """Return the mean support half of the first block, and its support features in parts."""
        first = self._first
        chunk = chunk or (CPU_CHUNK if support.device.type == "cpu" else support.shape[1])

        def convolve(images: Tensor) -> Tensor:
            half = first.cross_conv.weight[:, first.query_channels :]
            return two_convolutions(images, (half, None), (first.support_conv.weight, None))

        mean = first.support_half(support.mean(dim=1))
        starts = range(0, support.shape[1], chunk)
        return mean, (each(convolve, support[:, i : i + chunk]) for i in starts)

    def _segment(
        self, query: Tensor, mean: Tensor, parts: Iterable[Tensor], *, offload: bool
    ) -> Tensor:
        cross, conv = self._first.cross_conv, self._first.support_conv
        query_weight = cross.weight[:, : self._first.query_channels]
        half = two_convolutions(query, (query_weight, cross.bias), (conv.weight, conv.bias))
        support: Iterator[Tensor] = (activate(half[:, None] + part) for part in parts)
        mean_z = self._first.query_half(query) + mean
        query = self._first.next_query(mean_z.contiguous(memory_format=torch.channels_last))
        skips: list[tuple[Tensor, KeptSupport]] = []
        for block in _blocks(self.enc_blocks)[1:]:
            skip, pooled = KeptSupport(offload=offload), KeptSupport(offload=offload)
            for part in support:
                skip.add(part, mean_only=not skips)  # only the last block wants the first skip
                pooled.add(each(_shrink, part))
            skips.append((query, skip))
            single = pooled.n_examples == 1
            query, support = _advance(block, _shrink(query), pooled.mean, pooled.take(), single)
        for block in _blocks(self.dec_blocks):
            deep = KeptSupport(offload=offload)
            for part in support:
                deep.add(part, mean_only=len(skips) == 1)
            skip_query, skip = skips.pop()
            joined = map(_join, deep.take(), skip.take())
            mean = _join(deep.mean, skip.mean)
            single = deep.n_examples == 1
            query, support = _advance(block, _join(query, skip_query), mean, joined, single)
        return cast("Tensor", self.out_conv["conv"](query))

    def _plain(self, query: Tensor, support: Tensor) -> Tensor:
        """Evaluate the network as it is written."""
        *encoder, bottom = _blocks(self.enc_blocks)
        skips = []
        for block in encoder:
            query, support = block(query, support)
            skips.append((query, support))
            query, support = _shrink(query), each(_shrink, support)
        query, support = bottom(query, support)
        for block in _blocks(self.dec_blocks):
            skip_query, skip_support = skips.pop()
            query, support = _join(query, skip_query), _join(support, skip_support)
            query, support = block(query, support)
        return cast("Tensor", self.out_conv["conv"](query))

    @property
    def _first(self) -> CrossBlock:
        return cast("CrossBlock", self.enc_blocks[0])


def load_universeg(state: Mapping[str, Tensor], *, name: str = "the file") -> UniverSeg:
    """Return a network filled with a state dict, such as the released one.

    Parameters
    ----------
    state : mapping of str to Tensor
        The 44 tensors by name. The width is read from their shapes.
    name : str
        What to call it in messages.

    Raises
    ------
    WeightsError
        If tensors are missing, foreign, of another shape, not floating point or not finite;
        names some of them.
    """
    width = check_state(state, UniverSeg, name)
    network = UniverSeg(width)
    network.load_state_dict(dict(state))
    return network.eval()


def _blocks(modules: nn.ModuleList) -> list[CrossBlock]:
    return [cast("CrossBlock", module) for module in modules]


def _advance(
    block: CrossBlock, query: Tensor, mean: Tensor, support: Iterable[Tensor], single: bool
) -> tuple[Tensor, Iterator[Tensor]]:
    """Return the next query features, and the next support features once they are asked for."""
    half = block.query_half(query)
    mean_z = half + block.support_half(mean)
    if single:  # one example is its own mean
        following = (activate(block.support_conv(mean_z))[:, None] for _ in range(1))
    else:
        following = (block.next_support(half, part) for part in support)
    return block.next_query(mean_z), following


def _shrink(features: Tensor) -> Tensor:
    return functional.max_pool2d(features, 2)


def _join(deep: Tensor, skip: Tensor) -> Tensor:
    """Enlarge deep features to those of the skip connection and put them in front of them."""
    if skip.ndim == 5:
        joined = _join(deep.flatten(0, 1), skip.flatten(0, 1))
        return joined.view(*skip.shape[:2], *joined.shape[1:])
    larger = functional.interpolate(deep, scale_factor=2, mode="bilinear", align_corners=True)
    return torch.cat([larger, skip], dim=1)
