"""The pixel classifiers beside a network in training, which adds to them.

Two see one half of the strokes each and are asked about the other, to be learnt from. One sees all
that is learnt from, and is judged with the network. One sees all there is, and is kept with it.
They are the pixel classifier as it is by default, which is also what has to be beaten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_regcon.config import PixelHeadConfig
from napari_regcon.data.stroke_crops import StrokeCrops
from napari_regcon.data.stroke_split import folds
from napari_regcon.engine.classifier import FittedClassifier
from napari_regcon.engine.opinion import PixelOpinion
from napari_regcon.engine.pixel_head import PixelHead
from napari_regcon.nn.pixel_base import PixelBase

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    import torch

    from napari_regcon.config import FinetuneConfig
    from napari_regcon.data.stroke_split import Stroke
    from napari_regcon.data.support import SupportSet
    from napari_regcon.engine.feature_store import FeatureStore
    from napari_regcon.nn.regcon import RegConNet

_SMALLEST_REACH_PX = 256
_NEVER = -1e4
"""Stands for minus infinity, which no file of weights may hold."""


class Bases:
    """Pixel classifiers, fitted anew as strokes come.

    Parameters
    ----------
    config : FinetuneConfig
        Sizes of crops, seed.
    n_classes : int
        Classes there are.
    device : str
        Where to compute.
    store : FeatureStore, optional
        Features that are known already.

    Attributes
    ----------
    judged : PixelOpinion
        What the classifier thinks that sees all that is learnt from.
    weights : WeightsInfo or None
        What their network is.
    fitted : PixelBase or None
        The classifier that sees all there is, once it was fitted.
    """

    def __init__(
        self, config: FinetuneConfig, n_classes: int, device: str, store: FeatureStore | None
    ) -> None:
        self._config = config
        self._head = PixelHead(PixelHeadConfig(seed=config.seed), device=device, store=store)
        self.weights = self._head.weights
        reach = config.downscale * max(2 * config.crop_px, _SMALLEST_REACH_PX)
        self.judged, *self._crossed = (PixelOpinion(self._head, n_classes, reach) for _ in range(3))
        self.fitted: PixelBase | None = None
        self._seen: SupportSet | None = None

    def crops(self, support: SupportSet, learnt: Sequence[Stroke]) -> list[StrokeCrops]:
        """Return crops of each half of the strokes, beside what the other half says of them."""
        config = self._config
        size = (config.crop_px, config.downscale)
        return [
            StrokeCrops(support, half, *size, opinion, config.missing, config.neighbours)
            for (half, _), opinion in zip(folds(learnt), self._crossed, strict=True)
            if half
        ]

    def is_due(self, support: SupportSet, step: int) -> bool:
        """Whether there is something to learn, and it is time to."""
        if self._seen is None:
            return True
        return support is not self._seen and step % self._config.check_every == 0

    def learn(
        self, support: SupportSet, learnt: Sequence[Stroke], held: Sequence[Stroke]
    ) -> Generator[None, None, None]:
        """Fit all classifiers, yielding in between.

        Parameters
        ----------
        support : SupportSet
            What is painted.
        learnt, held : sequence of Stroke
            Those that are learnt from, and those kept back.
        """
        self._seen = support
        strokes = (*learnt, *held)
        yield from self.judged.learn(support, learnt, strokes)
        for (half, others), opinion in zip(folds(learnt), self._crossed, strict=True):
            yield from opinion.learn(support, others, half)
        predictor = yield from self._head.fit_in_steps(support)
        if isinstance(predictor.classifier, FittedClassifier):
            self.fitted = _kept(predictor.classifier, self._head.network)


def classifier_of(base: PixelBase, device: torch.device) -> FittedClassifier:
    """Return the classifier whose numbers were kept."""
    return FittedClassifier(*(tensor.to(device) for tensor in base.buffers(recurse=False)))


def _kept(classifier: FittedClassifier, network: RegConNet | None) -> PixelBase:
    hidden, n_features = classifier.hidden_weight.shape
    base = PixelBase(n_features, hidden, len(classifier.bias))
    state = {name: value.cpu() for name, value in vars(classifier).items()}
    state["bias"] = state["bias"].clamp(min=_NEVER)
    base.load_state_dict(state)
    base.network = network
    return base
