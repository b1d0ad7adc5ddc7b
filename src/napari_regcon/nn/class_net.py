"""A network that gives every pixel the logits of some named classes, for fine-tuning.

The U-Net of :mod:`napari_regcon.nn.regcon`, pre-trained or not, with one 1x1 convolution per
class instead of the embedding. Knows neither files nor losses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from napari_regcon.nn.regcon import RegConNet

if TYPE_CHECKING:
    from napari_regcon.nn.pixel_base import PixelBase


class ClassNet(nn.Module):
    """Class logits of an image.

    Parameters
    ----------
    n_channels : int
        Channels of the images.
    n_classes : int
        Number of classes.
    width, levels : int
        Of the U-Net, see :class:`~napari_regcon.nn.regcon.RegConNet`.
    neighbours : int
        Slices above and below the one that is segmented, which are channels, too.

    Attributes
    ----------
    n_channels : int
        Channels it is given: those of the slices above first, those below last.
    base : PixelBase or None
        A pixel classifier to whose logarithms of probabilities the logits are to be added.
    """

    def __init__(
        self,
        n_channels: int,
        n_classes: int,
        width: int = 16,
        levels: int = 4,
        neighbours: int = 0,
    ) -> None:
        super().__init__()
        self.neighbours: int = neighbours
        self.n_channels: int = n_channels * (2 * neighbours + 1)
        self.body = RegConNet(width=width, levels=levels, channels=self.n_channels)
        self.n_features: int = n_classes
        # Parts of the pre-training that classes have no use for.
        del self.body.embed, self.body.assign, self.body.project
        self.head = nn.Conv2d(width, n_classes, 1)
        # Nothing is added to the pixel classifier before anything is learnt.
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)
        self.base: PixelBase | None = None

    @property
    def stride(self) -> int:
        """Sides of an image have to be multiples of this."""
        return self.body.stride

    @property
    def halo_px(self) -> int:
        """Pixels around a tile that its logits can depend on."""
        return self.body.halo_px

    def forward(self, image: Tensor, skirt: int = 0) -> Tensor:
        """Return logits ``(B, n_classes, H, W)`` of ``(B, n_channels, H, W)``, about [0, 1].

        Without the ``skirt`` at every border; see :meth:`RegConNet.forward`.
        """
        logits: Tensor = self.head(self.body.decode(image, skirt)).float()
        return logits

    def start_from(self, net: RegConNet | ClassNet) -> None:
        """Take over the U-Net of a pre-trained network, or of one that was fine-tuned before.

        The head is taken over too where there are as many classes. Where the channels are not
        as many, the first layer gives the same answer to a grey image, whose channels are alike.
        Neighbouring slices that the other network was not shown count for nothing at first.

        Parameters
        ----------
        net : RegConNet or ClassNet
            A network of the same width and levels.
        """
        body = net.body if isinstance(net, ClassNet) else net
        state = {k: v for k, v in body.state_dict().items() if k.startswith(("down.", "up."))}
        first = "down.0.0.weight"
        known = net.neighbours if isinstance(net, ClassNet) else 0
        state[first] = self._first_layer(state[first].unflatten(1, (2 * known + 1, -1)))
        self.body.load_state_dict(state)
        if isinstance(net, ClassNet) and net.n_features == self.n_features:
            self.head.load_state_dict(net.head.state_dict())

    def _first_layer(self, kernels: Tensor) -> Tensor:
        """Fit kernels ``(F, slices, channels, 3, 3)`` to the slices and channels there are."""
        n_slices = 2 * self.neighbours + 1
        n_channels = self.n_channels // n_slices
        if kernels.shape[2] != n_channels:
            grey = kernels.sum(2, keepdim=True)
            kernels = grey.repeat(1, 1, n_channels, 1, 1) / n_channels
        fitted = kernels.new_zeros(len(kernels), n_slices, n_channels, *kernels.shape[3:])
        known = kernels.shape[1] // 2
        common = min(known, self.neighbours)
        here, there = (slice(n - common, n + common + 1) for n in (self.neighbours, known))
        fitted[:, here] = kernels[:, there]
        return fitted.flatten(1, 2)
