"""The USRegCon network: a compact U-Net with a dense embedding and a soft region head.

After Lin et al. 2023 (doi 10.12122/j.issn.1673-4254.2023.05.18), who do not publish their
backbone; the one here is our choice, small enough to answer while a person paints. Batch
normalisation, folded at inference, keeps the result of a pixel independent of everything
outside its receptive field. The network knows neither files nor losses.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_SPOILT_PX = 5
"""Pixels a level of the decoder computes around what is asked of it. Its convolutions spoil two;
two of the coarser level, and one for interpolation, are five of this one."""


class RegConNet(nn.Module):
    """Dense embedding and soft regions of a grey image.

    Parameters
    ----------
    embedding : int
        Length of the embedding of a pixel.
    regions : int
        Number of soft regions K.
    width : int
        Channels at full resolution; doubled at every level.
    levels : int
        Resolutions, each half of the one before.
    channels : int
        Channels of the images.
    """

    def __init__(
        self,
        embedding: int = 32,
        regions: int = 8,
        width: int = 16,
        levels: int = 5,
        channels: int = 1,
    ) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(levels)]
        self.stride: int = 2 ** (levels - 1)
        self.n_features: int = embedding
        self.n_regions: int = regions
        self.n_channels: int = channels
        self.width: int = width
        self.levels: int = levels
        self.down = nn.ModuleList(
            _block(widths[level - 1] if level else channels, widths[level])
            for level in range(levels)
        )
        self.up = nn.ModuleList(
            _block(widths[level + 1] + widths[level], widths[level])
            for level in reversed(range(levels - 1))
        )
        # Without its mean taken off, nearly all of an embedding of length 1 is that mean: what
        # tells pixels apart drowns, and the partition stays the same everywhere.
        self.embed = nn.Sequential(
            nn.Conv2d(width, embedding, 1, bias=False), nn.BatchNorm2d(embedding, affine=False)
        )
        self.assign = nn.Conv2d(embedding, regions, 1)
        # The cosine lies in [-1, 1], so a partition can only become hard if it is scaled.
        self.sharpness = 8.0
        self.project = nn.Sequential(
            nn.Linear(embedding, 2 * embedding), nn.ReLU(), nn.Linear(2 * embedding, 2 * embedding)
        )

    @property
    def sizes(self) -> dict[str, int]:
        """What a network of the same sizes is built with, for images of one channel."""
        return {
            "embedding": self.n_features,
            "regions": self.n_regions,
            "width": self.width,
            "levels": self.levels,
        }

    def forward(self, image: Tensor, skirt: int = 0) -> Tensor:
        """Return the dense embedding.

        Parameters
        ----------
        image : Tensor
            ``(B, 1, H, W)``, about [0, 1]; H and W multiples of ``stride``.
        skirt : int
            Pixels at every border that are only looked at. It changes nothing for the others,
            and saves most of the decoder's work for those that are left out.

        Returns
        -------
        Tensor
            ``(B, embedding, H - 2 * skirt, W - 2 * skirt)``, of length 1 at every pixel.
        """
        return functional.normalize(self.embed(self.decode(image, skirt)).float(), dim=1)

    def decode(self, image: Tensor, skirt: int = 0) -> Tensor:
        """Return what the embedding is made of, ``(B, width, ...)``; see :meth:`forward`."""
        skips: list[Tensor] = []
        x = image
        for level, block in enumerate(self.down):
            x = block(functional.max_pool2d(x, 2) if level else x)
            skips.append(x)
        coarser = 0
        for level, block in zip(reversed(range(self.levels - 1)), self.up, strict=True):
            cut = max(0, (skirt >> level) - _SPOILT_PX)
            x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = block(torch.cat([_inner(x, cut - 2 * coarser), _inner(skips[level], cut)], dim=1))
            coarser = cut
        return _inner(x, skirt - coarser)

    def embed_pixels(self, decoded: Tensor) -> Tensor:
        """Return the embeddings ``(N, embedding)`` of single decoded pixels ``(N, width)``."""
        found = self.embed(decoded.float()[:, :, None, None])
        return functional.normalize(found.flatten(1), dim=1)

    def region_logits(self, embedding: Tensor) -> Tensor:
        """Return the logits ``(B, K, H, W)`` of the soft partition of an embedding."""
        logits: Tensor = self.sharpness * self.assign(embedding)
        return logits

    @property
    def halo_px(self) -> int:
        """Pixels around a tile that its embedding can depend on, a multiple of the stride."""
        levels = len(self.down)
        reach = sum(2 * 2**level for level in range(levels))
        # A decoder level adds its two convolutions and one coarse pixel of interpolation.
        reach += sum(2 * 2**level + 2 ** (level + 1) for level in range(levels - 1))
        return int(-(-reach // self.stride) * self.stride)


def _inner(image: Tensor, skirt: int) -> Tensor:
    """Leave out so many pixels at every border."""
    height, width = image.shape[2:]
    return image[:, :, skirt : height - skirt, skirt : width - skirt]


def _block(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [
            nn.Conv2d(channels, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)
