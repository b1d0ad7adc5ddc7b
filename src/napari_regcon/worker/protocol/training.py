"""What window and engine say to each other about training; part of the protocol.

See the package for how requests and answers belong together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_regcon.config import FinetuneConfig, PretrainConfig

if TYPE_CHECKING:
    from pathlib import Path

    from napari_regcon.engine.finetune_events import FinetuneCheck, FinetuneStep
    from napari_regcon.engine.pretrain_events import CheckpointWritten, PretrainLook, PretrainStep
    from napari_regcon.types import Box
    from napari_regcon.worker.protocol.arrays import SharedArray


@dataclass(frozen=True)
class FineTune:
    """Train a network on all that is painted, and on what is painted meanwhile.

    Answered by ``TrainingEvent`` as it goes, ``TrainingWritten`` and ``JobDone``; by ``JobDone``
    alone where it is cancelled, and then nothing is written.

    Parameters
    ----------
    generation : int
        Repeated in every answer.
    out : pathlib.Path
        The file to write, a name that ends in ``.safetensors``.
    config : FinetuneConfig
        Parameters.
    start : str or None
        Pre-trained weights to begin with; None for random ones.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    keep : pathlib.Path or None
        File in which the state of the training is kept while it runs. Where it is there already,
        the training goes on from it. It is removed with the end of the training.
    """

    generation: int
    out: Path
    config: FinetuneConfig = field(default_factory=FinetuneConfig)
    start: str | None = None
    device: str = "auto"
    keep: Path | None = None


@dataclass(frozen=True)
class AdaptFeatures:
    """Train features on all open images, whatever is painted on them.

    Answered as ``FineTune`` is.

    Parameters
    ----------
    generation : int
        Repeated in every answer.
    out : pathlib.Path
        The file to write, a name that ends in ``.safetensors``.
    config : PretrainConfig
        Parameters.
    start : str or None
        Pre-trained weights to begin with, which set the sizes; None for random ones.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    """

    generation: int
    out: Path
    config: PretrainConfig = field(default_factory=PretrainConfig)
    start: str | None = None
    device: str = "auto"


@dataclass(frozen=True)
class FinishTraining:
    """End the training of a generation now, and write the best network so far.

    Parameters
    ----------
    training : int
        Generation of the training; nothing happens if that has ended already.
    """

    training: int


@dataclass(frozen=True)
class PauseTraining:
    """Let a training wait, or go on.

    Parameters
    ----------
    training : int
        Generation of the ``FineTune``; nothing happens if that has ended already.
    paused : bool
        Whether it is to wait.
    """

    training: int
    paused: bool


@dataclass(frozen=True)
class ShowTraining:
    """Predict a box of a plane with what a training has learnt so far, after its next step.

    Answered by ``TrainingShown``, or not at all where the training ends first.

    Parameters
    ----------
    training : int
        Generation of the ``FineTune``.
    image_id : str
        The image.
    prefix : tuple of int
        Index of the plane in front of Y and X.
    box : Box
        Y, X box of it.
    out : SharedArray
        uint8 plane that receives the label values.
    """

    training: int
    image_id: str
    prefix: tuple[int, ...]
    box: Box
    out: SharedArray


@dataclass(frozen=True)
class TrainingShown:
    """What a training has learnt so far is drawn in the shared plane."""

    generation: int
    image_id: str
    prefix: tuple[int, ...]
    box: Box


@dataclass(frozen=True)
class TrainingEvent:
    """What training has to tell."""

    generation: int
    event: FinetuneStep | FinetuneCheck | PretrainStep | PretrainLook | CheckpointWritten


@dataclass(frozen=True)
class TrainingWritten:
    """The network of a generation is in its file.

    Parameters
    ----------
    generation : int
        Of the request.
    path : pathlib.Path
        The file.
    steps : int
        Steps it was trained.
    best : FinetuneCheck or None
        How good it is on strokes that were kept back; None where there were none.
    """

    generation: int
    path: Path
    steps: int
    best: FinetuneCheck | None
