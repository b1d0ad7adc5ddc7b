"""A task small enough to learn in seconds: bright and dark squares, told apart by example only."""

import numpy as np
import torch
from torch.nn import functional

from napari_regcon.nn.universeg import UniverSeg

GREY_OF_CLASS = np.array([0.5, 0.85, 0.15])
"""Background, bright, dark."""


def squares(shape, rng, n=8):
    """Return a noisy image of about [0, 255] and its classes: 0, 1 = bright, 2 = dark."""
    truth = np.zeros(shape, np.uint8)
    for _ in range(n):
        size = rng.integers(5, 14, 2)
        corner = [rng.integers(0, n - s) for n, s in zip(shape, size, strict=True)]
        box = tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))
        truth[box] = rng.integers(1, 3)
    image = GREY_OF_CLASS[truth] + rng.normal(0, 0.08, shape)
    return (255 * image).clip(0, 255).astype(np.uint8), truth


def trained_network(steps=150, width=12, side=32):
    """Train a narrow network to segment the class that its support shows."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    network = UniverSeg(width)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(steps):
        pairs = [squares((side, side), rng) for _ in range(8)]
        spread = [(i - i.min()) / (i.max() - i.min()) for i, _ in pairs]
        images = torch.from_numpy(np.stack(spread).astype(np.float32))
        classes = torch.from_numpy(np.stack([truth for _, truth in pairs]))
        # Each of the last four images is a query for both classes, with the first four as support.
        query, support = images[4:, None].repeat(2, 1, 1, 1), images[None, :4, None]
        labels = [(classes == value).float() for value in (1, 2)]
        logits = torch.cat([network(query[:4], support, label[None, :4, None]) for label in labels])
        wanted = torch.cat([label[4:, None] for label in labels])
        loss = functional.binary_cross_entropy_with_logits(logits, wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.eval()
