"""Which examples to show for an image: those that look most like it.

How a crop looks is what the packaged network ``regcon-em`` makes of it: mean and spread of its
embedding over all pixels. Few examples that fit serve as well as many, and cost less; and what
was corrected in one place helps where it looks alike. Nothing here knows the in-context network.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_regcon.data.dense import GOOD_SHARE
from napari_regcon.engine.embedding import fold, load_network

if TYPE_CHECKING:
    from napari_regcon.engine.device import Device

WEIGHTS = "regcon-em"

MOST_KNOWN = 1024
"""Looks that are kept; a thousand take a quarter of a megabyte."""


class Looks:
    """Says how crops look, and remembers it.

    Parameters
    ----------
    device : Device
        Where to compute.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._net = fold(load_network(WEIGHTS)[0]).to(device.torch_device)
        self._known: dict[bytes, np.ndarray] = {}

    def of(self, image: np.ndarray) -> np.ndarray:
        """Return how a grey crop looks.

        Parameters
        ----------
        image : numpy.ndarray
            float32 ``(H, W)``, spread over [0, 1]; sides are multiples of 8.

        Returns
        -------
        numpy.ndarray
            float32 ``(2 F,)`` of length 1, so that a product of two says how alike they are.
        """
        key = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            found = self._known[key] = self._compute(image)
        return found

    @torch.inference_mode()
    def _compute(self, image: np.ndarray) -> np.ndarray:
        batch = torch.from_numpy(image)[None, None].to(self._device.torch_device)
        embedding = self._net(batch)[0].flatten(1).float()
        look = torch.cat([embedding.mean(1), embedding.std(1)])
        result: np.ndarray = (look / look.norm().clamp(min=1e-9)).cpu().numpy()
        return result


def nearest(looks: np.ndarray, shows: np.ndarray, query: np.ndarray, n: int) -> list[int]:
    """Choose the examples that look most like an image, most of which show the class.

    Without one that shows it, nobody could tell what is looked for.

    Parameters
    ----------
    looks : numpy.ndarray
        ``(P, E)``, one row per example, of length 1.
    shows : numpy.ndarray
        bool ``(P,)``: whether the class is in it.
    query : numpy.ndarray
        ``(E,)``, of length 1.
    n : int
        How many.

    Returns
    -------
    list of int
        Different places in ``looks``, in order; all of them where there are fewer than n.
    """
    order = np.argsort(-(looks @ query), kind="stable")
    with_class, without = order[shows[order]], order[~shows[order]]
    n_with = max(math.ceil(GOOD_SHARE * n), n - len(without))
    chosen = [*with_class[:n_with], *without][:n]
    return sorted(int(i) for i in chosen)
