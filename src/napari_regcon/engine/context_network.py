"""The in-context network at work: what it is asked, and within which memory.

A task is one class and examples of it. Examples that serve many queries are encoded once, as far
as there is room. Where examples and queries come from is not known here.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from napari_regcon.nn.universeg import CPU_CHUNK, EncodedSupport, UniverSeg

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from torch import Tensor

KEPT_BYTES = 1024**3
"""Memory for encoded support sets; those beyond are encoded anew for every tile."""


@dataclass(frozen=True, eq=False)
class Task:
    """One class, and the examples of one draw for it.

    Parameters
    ----------
    value : int
        Label value of the class.
    images, labels : Tensor
        ``(1, S, 1, H, W)`` float32 on the processor; labels are 1 where the class is.
    downscale : int
        How many pixels of the image are one of these.
    """

    value: int
    images: Tensor
    labels: Tensor
    downscale: int = 1

    @property
    def n_examples(self) -> int:
        """Number of examples."""
        return self.images.shape[1]

    @property
    def crop_px(self) -> int:
        """Side of an example in pixels of the image."""
        return self.images.shape[-1] * self.downscale

    def only(self, chosen: Sequence[int]) -> Task:
        """Return the task with some of its examples."""
        index = torch.as_tensor(chosen)
        return replace(self, images=self.images[:, index], labels=self.labels[:, index])


class NetworkRunner:
    """Asks the network, within a bounded memory that can be made smaller.

    Parameters
    ----------
    network : UniverSeg
        On its device.
    bf16 : bool
        Whether to compute in half precision.
    """

    def __init__(self, network: UniverSeg, *, bf16: bool) -> None:
        self._network = network
        self._bf16 = bf16
        self._device = next(network.parameters()).device
        self._encoded: dict[Task, EncodedSupport] = {}
        self._room = KEPT_BYTES
        self._chunk: int | None = None
        self._offload = False

    def logits(self, image: np.ndarray, task: Task, *, keep: bool = True) -> Tensor:
        """Return the float32 logits ``(H, W)`` of a task for a grey image ``(H, W)``.

        Parameters
        ----------
        image : numpy.ndarray
            Spread over [0, 1], of the size of the examples.
        task : Task
            What is looked for.
        keep : bool
            Whether the same task will be asked of other images, so that its encoded examples
            are worth keeping.
        """
        query = torch.from_numpy(image).to(self._device)[None, None]
        with torch.inference_mode(), self._precision():
            encoded = self._encode(task) if keep else None
            if encoded is not None:
                found = self._network.segment(query, encoded, offload=self._offload)
            else:
                images, labels = task.images.to(self._device), task.labels.to(self._device)
                found = self._network(
                    query, images, labels, chunk=self._chunk, offload=self._offload
                )
        return found[0, 0].float()

    def reduce_memory(self, n_examples: int) -> bool:
        """Work on half as many support examples at a time, and keep half as much.

        At the end keep nothing, and features between two blocks outside the device. False if
        that was done already.

        Parameters
        ----------
        n_examples : int
            Support examples of a task.
        """
        is_cpu = self._device.type == "cpu"
        self._encoded.clear()
        self._room //= 2
        chunk = self._chunk or (min(n_examples, CPU_CHUNK) if is_cpu else n_examples)
        if chunk > 1:
            self._chunk = chunk // 2
            return True
        if self._offload:
            return False
        self._offload = True
        self._room = 0
        return True

    def _encode(self, task: Task) -> EncodedSupport | None:
        """Return the encoded support set of a task, or None where there is no room for it."""
        if task in self._encoded:
            return self._encoded[task]
        n_examples, tile_px = task.images.shape[1], task.images[0, 0].numel()
        itemsize = 2 if self._bf16 else 4
        # Every example, and their mean.
        nbytes = (n_examples + 1) * tile_px * self._network.width * itemsize
        if nbytes > self._room - sum(encoded.nbytes for encoded in self._encoded.values()):
            return None
        images, labels = task.images.to(self._device), task.labels.to(self._device)
        encoded = self._network.encode_support(images, labels, chunk=self._chunk)
        self._encoded[task] = encoded
        return encoded

    def _precision(self) -> AbstractContextManager[object]:
        return torch.autocast(self._device.type, torch.bfloat16) if self._bf16 else nullcontext()
