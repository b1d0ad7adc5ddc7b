"""The rival a laboratory would train: a small U-Net from scratch on the same labels.

Two-dimensional, five levels, cross-entropy and Dice on the labelled pixels only, flips, quarter
turns, zoom, intensity and noise. It runs a fixed number of steps rather than of seconds, so that
two runs give the same figures; the number is chosen so that it takes ten times as long as our
slowest fit, and the seconds are reported with the result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.methods import Method, Painted, _normalised
from napari_regcon.engine.device import choose_device

if TYPE_CHECKING:
    from benchmarks.datasets import Dataset, Unit

CROP_PX = 128
BATCH = 8


def _block(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [
            nn.Conv2d(channels, outputs, 3, padding=1, bias=False),
            nn.GroupNorm(8, outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class SmallUNet(nn.Module):
    """A plain U-Net; ``(B, C, H, W)`` to ``(B, classes, H, W)``, H and W multiples of 16."""

    def __init__(self, channels: int, classes: int, width: int = 16, levels: int = 5) -> None:
        super().__init__()
        widths = [width * 2**i for i in range(levels)]
        self.down = nn.ModuleList(
            _block(channels if i == 0 else widths[i - 1], w) for i, w in enumerate(widths)
        )
        self.up = nn.ModuleList(
            _block(widths[i + 1] + widths[i], widths[i]) for i in reversed(range(levels - 1))
        )
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        skips = []
        for index, block in enumerate(self.down):
            image = block(functional.max_pool2d(image, 2) if index else image)
            skips.append(image)
        for block, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            image = functional.interpolate(image, scale_factor=2, mode="bilinear")
            image = block(torch.cat([image, skip], 1))
        return self.head(image)


class UNetFromScratch(Method):
    """Train :class:`SmallUNet` on what is painted.

    Parameters
    ----------
    steps : int
        Optimiser steps of 8 crops of 128 x 128.
    """

    def __init__(self, steps: int = 60, name: str = "unet-scratch") -> None:
        self.name = name
        self.steps = steps
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._bf16 = choose_device(self._device).supports_bf16
        self._net: SmallUNet | None = None

    def fit(self, painted: Painted, seed: int) -> None:
        """Train from a seeded initialisation."""
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed)
        images = [_channels_first(painted.dataset, u) for u in painted.planes]
        labels = [plane.astype(np.int64) - 1 for plane in painted.planes.values()]
        classes = len(painted.dataset.classes)
        counts = sum(np.bincount(lab[lab >= 0], minlength=classes) for lab in labels)
        weight = torch.tensor(np.where(counts > 0, 1 / np.sqrt(np.maximum(counts, 1)), 0.0))
        weight = (weight / weight.sum() * classes).float().to(self._device)
        net = SmallUNet(images[0].shape[0], classes).to(
            self._device, memory_format=torch.channels_last
        )
        optimiser = torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=self.steps)
        net.train()
        for _ in range(self.steps):
            image, target = _batch(images, labels, rng)
            image = image.to(self._device, memory_format=torch.channels_last)
            target = target.to(self._device)
            with torch.autocast(self._device, torch.bfloat16, enabled=self._bf16):
                logits = net(image).float()
            loss = functional.cross_entropy(logits, target, weight, ignore_index=-1)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        self._net = net.eval()

    @torch.no_grad()
    def predict(self, dataset: Dataset, unit: Unit) -> np.ndarray:
        """Predict a whole plane at once."""
        assert self._net is not None
        image = torch.from_numpy(_channels_first(dataset, unit))[None]
        height, width = image.shape[-2:]
        pad = (0, -width % 16, 0, -height % 16)
        padded = functional.pad(image, pad, mode="reflect")
        logits = self._net(padded.to(self._device))[0, :, :height, :width]
        return logits.argmax(0).cpu().numpy().astype(np.uint8)


def _channels_first(dataset: Dataset, unit: Unit) -> np.ndarray:
    image = _normalised(dataset, unit)
    image = np.moveaxis(image, -1, 0) if image.ndim == 3 else image[None]
    return np.ascontiguousarray(image, np.float32)


def _batch(
    images: list[np.ndarray], labels: list[np.ndarray], rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut crops around painted pixels, turned, flipped and with changed intensity."""
    crops, targets = [], []
    for _ in range(BATCH):
        index = rng.integers(len(images))
        image, label = images[index], labels[index]
        side = CROP_PX + 64
        pad = [(0, max(0, side - n)) for n in label.shape]
        image = np.pad(image, [(0, 0), *pad], mode="reflect") if any(p[1] for p in pad) else image
        label = np.pad(label, pad, constant_values=-1)
        rows, columns = np.nonzero(label >= 0)
        at = rng.integers(len(rows))
        zoom = float(rng.uniform(0.75, 1.33))
        size = min(int(CROP_PX * zoom), *label.shape)
        y = int(np.clip(rows[at] - rng.integers(size), 0, label.shape[0] - size))
        x = int(np.clip(columns[at] - rng.integers(size), 0, label.shape[1] - size))
        crop = torch.from_numpy(image[None, :, y : y + size, x : x + size].copy())
        target = torch.from_numpy(label[None, None, y : y + size, x : x + size].copy()).float()
        crop = functional.interpolate(crop, (CROP_PX, CROP_PX), mode="bilinear")[0]
        target = functional.interpolate(target, (CROP_PX, CROP_PX), mode="nearest")[0, 0].long()
        turns = int(rng.integers(4))
        crop, target = torch.rot90(crop, turns, (1, 2)), torch.rot90(target, turns, (0, 1))
        if rng.random() < 0.5:
            crop, target = crop.flip(2), target.flip(1)
        crop = crop * float(rng.uniform(0.8, 1.25)) + float(rng.uniform(-0.1, 0.1))
        noise = rng.normal(0, rng.uniform(0, 0.08), crop.shape)
        crops.append(crop + torch.from_numpy(noise).float())
        targets.append(target)
    return torch.stack(crops), torch.stack(targets)
