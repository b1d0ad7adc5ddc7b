"""What is compared: our segmenters and what users would pick instead.

Every method gets the same labels and returns class indices for a plane (0 = background). A rival
that is a real package is called through its own interface, never imitated.
"""

from __future__ import annotations

import abc
import importlib.util
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from skimage.feature import multiscale_basic_features
from sklearn.ensemble import RandomForestClassifier

from benchmarks.environment import code_version
from napari_regcon.config import InContextConfig
from napari_regcon.data.support import SupportSet
from napari_regcon.data.views import ImageView
from napari_regcon.engine.device import choose_device
from napari_regcon.engine.embedding import EmbeddingExtractor, load_network
from napari_regcon.engine.in_context import InContext
from napari_regcon.engine.registry import load_segmenter, method_of_weights
from napari_regcon.engine.segmenter import Predictor, Segmenter, run
from napari_regcon.engine.spread import spread_support
from napari_regcon.types import Box

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.datasets import Dataset, Unit
    from napari_regcon.config import FinetuneConfig


@dataclass(eq=False)
class Painted:
    """Labels painted so far: per plane, 0 = not said, i + 1 = class i.

    Parameters
    ----------
    dataset : Dataset
        Where they were painted.
    planes : dict
        From unit to ``(Y, X)`` uint8 labels.
    complete : bool
        Whether every painted plane is finished.
    """

    dataset: Dataset
    planes: dict[Unit, np.ndarray] = field(default_factory=dict)
    complete: bool = False

    def add(self, unit: Unit, mask: np.ndarray, class_index: int) -> None:
        """Paint a mask with a class."""
        plane = self.planes.setdefault(unit, np.zeros(mask.shape, np.uint8))
        plane[mask] = class_index + 1

    def copy(self) -> Painted:
        """Return an independent copy."""
        planes = {unit: plane.copy() for unit, plane in self.planes.items()}
        return Painted(self.dataset, planes, self.complete)


class Method(abc.ABC):
    """A way to segment planes from painted labels."""

    name: str

    @abc.abstractmethod
    def fit(self, painted: Painted, seed: int) -> None:
        """Learn from what is painted."""

    @abc.abstractmethod
    def predict(self, dataset: Dataset, unit: Unit) -> np.ndarray:
        """Return class indices ``(Y, X)`` of a plane, 0 = background."""


def support_of(painted: Painted) -> SupportSet:
    """Return the painted planes as a support set."""
    support = SupportSet(painted.dataset.classes)
    for index, image in enumerate(painted.dataset.images):
        labels = np.zeros(image.volume.label_shape, np.uint8)
        for unit, plane in painted.planes.items():
            if unit.image == index:
                labels[unit.prefix] = plane
        if labels.any():
            support.add(
                image.volume,
                labels,
                complete=painted.complete,
                normalization=image.normalization,
            )
    return support


class Ours(Method):
    """A segmenter of this package, used through the public interface."""

    def __init__(self, name: str, method: str, **parameters: Any) -> None:
        self.name = name
        self._method = method
        self._parameters = parameters
        self._predictor: Predictor | None = None

    def fit(self, painted: Painted, seed: int) -> None:
        """Fit the segmenter on a support set made of the painted planes."""
        self._predictor = self._segmenter(seed).fit(support_of(painted))

    def _segmenter(self, seed: int) -> Segmenter:
        return load_segmenter(self._method, seed=seed, **self._parameters)

    def predict(self, dataset: Dataset, unit: Unit) -> np.ndarray:
        """Predict one plane, as the live preview does."""
        assert self._predictor is not None
        image = dataset.images[unit.image]
        ndim = self._predictor.spatial_ndim
        n_outer = len(image.volume.label_shape) - ndim
        view = ImageView(image.volume, image.normalization, unit.prefix[:n_outer], ndim)
        inner = unit.prefix[n_outer:]
        shape = view.shape[-2:]
        box = Box((*inner, 0, 0), (*(i + 1 for i in inner), *shape))
        probabilities = run(self._predictor.predict_box(view, box))
        return probabilities.argmax(0).reshape(shape)


class InContextFloat32(Ours):
    """The in-context network without half precision, which costs time and gains nothing."""

    def __init__(self) -> None:
        super().__init__("in-context-float32", "in-context")

    def _segmenter(self, seed: int) -> Segmenter:
        return InContext(InContextConfig(seed=seed), bf16=False)


class Spread(Ours):
    """A segmenter of this package that is shown slices which its strokes were spread over."""

    def fit(self, painted: Painted, seed: int) -> None:
        """Spread the strokes, and fit the segmenter on the slices that are complete then."""
        whole = spread_support(support_of(painted))
        self._predictor = self._segmenter(seed).fit(whole)


MOST_PIXELS = 50_000
"""Pixels a recipe learns from at most. Only whole slices have more; a forest on all of them
would take hours."""


class Recipe(Method):
    """A feature image per plane and a classifier from scikit-learn."""

    def __init__(
        self,
        name: str,
        features: Callable[[np.ndarray], np.ndarray],
        classifier: Callable[[int], Any],
    ) -> None:
        self.name = name
        self._features = features
        self._make = classifier
        self._classifier: Any = None
        self._cache: dict[tuple[int, Unit], np.ndarray] = {}

    def _feature_plane(self, dataset: Dataset, unit: Unit) -> np.ndarray:
        return self._features(_normalised(dataset, unit))

    def fit(self, painted: Painted, seed: int) -> None:
        """Fit the classifier on the features of the painted pixels."""
        rows, targets = [], []
        for unit, plane in painted.planes.items():
            key = (id(painted.dataset), unit)
            if key not in self._cache:
                self._cache[key] = self._feature_plane(painted.dataset, unit)
            mask = plane > 0
            rows.append(self._cache[key][mask])
            targets.append(plane[mask] - 1)
        features, classes = np.concatenate(rows), np.concatenate(targets)
        if len(classes) > MOST_PIXELS:
            kept = np.random.default_rng(seed).choice(len(classes), MOST_PIXELS, replace=False)
            features, classes = features[kept], classes[kept]
        self._classifier = self._make(seed).fit(features, classes)

    def predict(self, dataset: Dataset, unit: Unit) -> np.ndarray:
        """Predict the class of every pixel."""
        features = self._cache.get((id(dataset), unit))
        if features is None:
            features = self._feature_plane(dataset, unit)
        flat = self._classifier.predict(features.reshape(-1, features.shape[-1]))
        return flat.reshape(features.shape[:2]).astype(np.uint8)


class Convpaint(Method):
    """napari-convpaint through its own interface, where it imports."""

    def __init__(self, alias: str = "vgg") -> None:
        self.name = f"convpaint-{alias}"
        self._alias = alias
        self._model: Any = None

    @staticmethod
    def available() -> bool:
        """Whether the package is installed."""
        return importlib.util.find_spec("napari_convpaint") is not None

    def fit(self, painted: Painted, seed: int) -> None:
        """Train convpaint's classifier on all painted planes."""
        from napari_convpaint.convpaint_model import ConvpaintModel

        self._model = ConvpaintModel(self._alias)
        images = [_normalised(painted.dataset, unit) for unit in painted.planes]
        images = [np.moveaxis(i, -1, 0) if i.ndim == 3 else i for i in images]
        self._model.train(images, list(painted.planes.values()))

    def predict(self, dataset: Dataset, unit: Unit) -> np.ndarray:
        """Segment a plane."""
        image = _normalised(dataset, unit)
        image = np.moveaxis(image, -1, 0) if image.ndim == 3 else image
        return np.asarray(self._model.segment(image)).astype(np.uint8) - 1


def _normalised(dataset: Dataset, unit: Unit) -> np.ndarray:
    """Return the plane, ``(Y, X)`` or ``(Y, X, C)``, mapped to about [0, 1]."""
    image = dataset.images[unit.image]
    raw = np.asarray(image.volume.data[unit.prefix])
    return image.normalization(raw, channels_last=image.volume.has_channels)


def skimage_features(image: np.ndarray) -> np.ndarray:
    """Return scikit-image's multiscale features: 20 for a grey image, ``(Y, X, F)``."""
    return multiscale_basic_features(
        image,
        intensity=True,
        edges=True,
        texture=True,
        sigma_min=1,
        sigma_max=16,
        channel_axis=-1 if image.ndim == 3 else None,
    )


def random_forest(seed: int) -> RandomForestClassifier:
    """Return the forest of ilastik's and Labkit's recipe: 100 trees, balanced classes."""
    return RandomForestClassifier(100, n_jobs=2, random_state=seed, class_weight="balanced")


class NearestPrototype:
    """The class whose mean standardised feature vector is nearest by cosine."""

    def fit(self, features: np.ndarray, targets: np.ndarray) -> NearestPrototype:
        """Average the painted pixels of each class."""
        self._centre, self._spread = features.mean(0), features.std(0) + 1e-6
        scaled = (features - self._centre) / self._spread
        self._classes = np.unique(targets)
        means = np.stack([scaled[targets == c].mean(0) for c in self._classes])
        self._prototypes = means / np.linalg.norm(means, axis=1, keepdims=True)
        return self

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Return the nearest class of each pixel."""
        scores = ((features - self._centre) / self._spread) @ self._prototypes.T
        return self._classes[scores.argmax(1)]


class DeepFeatures:
    """Features of a pre-trained network for a plane, as ``(Y, X, F)``.

    Parameters
    ----------
    weights : str
        A name or a file.
    """

    def __init__(self, weights: str) -> None:
        device = choose_device("cpu")
        net, _ = load_network(weights)
        self._extractor = EmbeddingExtractor(net, device)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Compute the features; the plane is mirrored beyond its borders."""
        channels = np.moveaxis(image, -1, 0) if image.ndim == 3 else image[None]
        halo = self._extractor.halo_px[0]
        padded = np.pad(channels, ((0, 0), (halo, halo), (halo, halo)), mode="symmetric")
        found = self._extractor.compute(torch.from_numpy(padded), (0, 0))
        return np.moveaxis(found.numpy(), 0, -1)


RIVAL_CODE = (
    "benchmarks/datasets.py",
    "benchmarks/methods.py",
    "benchmarks/protocols.py",
    "benchmarks/unet.py",
    "src/napari_regcon/data",
)


def version_of(method: str) -> str:
    """Return the commit of the code that a method's figures depend on."""
    ours = "pixel-head" in method or "+" in method or method.startswith(("in-context", "fine-"))
    return code_version() if ours else code_version(*RIVAL_CODE)


def available_methods(
    networks: Sequence[str] = (),
    trainings: Sequence[FinetuneConfig] = (),
    variants: Sequence[str] = (),
) -> dict[str, Callable[[], Method]]:
    """Return every method that can run here, by name.

    Parameters
    ----------
    networks : sequence of str
        Weights of pre-trained networks, names or files, each of which is measured joined with
        the filter bank (``pixel-head+NAME``), alone (``only+NAME``) and under a random forest
        (``rf+NAME``); those that segment in context as they are (``in-context+NAME``).
    trainings : sequence of FinetuneConfig
        Budgets of fine-tuning (``fine-tuned-START-Nmin``, ``fine-tuned-START-Nsteps``).
    variants : sequence of str
        Parameters of fine-tuning that are changed, see :mod:`benchmarks.finetuning`.
    """
    from benchmarks.finetuning import methods_for
    from benchmarks.unet import UNetFromScratch

    methods: dict[str, Callable[[], Method]] = {
        "pixel-head": lambda: Ours("pixel-head", "pixel-head", features="filters"),
        "in-context": lambda: Ours("in-context", "in-context"),  # for whole slices only
        "in-context-float32": InContextFloat32,
        "in-context-spread": lambda: Spread("in-context-spread", "in-context"),
        "pixel-head-spread": lambda: Spread("pixel-head-spread", "pixel-head", features="filters"),
        "rf-skimage": lambda: Recipe("rf-skimage", skimage_features, random_forest),
        "prototype": lambda: Recipe("prototype", skimage_features, lambda _: NearestPrototype()),
        "unet-scratch": UNetFromScratch,
    }
    if Convpaint.available():
        methods["convpaint-vgg"] = Convpaint
    for weights in networks:
        methods |= _network_methods(Path(weights).stem, weights)
    return methods | methods_for(trainings, variants)


def _network_methods(name: str, weights: str) -> dict[str, Callable[[], Method]]:
    if method_of_weights(weights)[0] == "in-context":  # for whole slices only
        context = f"in-context+{name}"
        return {context: lambda: Ours(context, "in-context", weights=weights)}
    both, only, forest = f"pixel-head+{name}", f"only+{name}", f"rf+{name}"
    return {
        both: lambda: Ours(both, "pixel-head", features="both", weights=weights),
        only: lambda: Ours(only, "pixel-head", features="network", weights=weights),
        forest: lambda: Recipe(forest, DeepFeatures(weights), random_forest),
    }


@dataclass
class Timer:
    """Seconds spent inside ``with`` blocks."""

    seconds: float = 0.0

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._start
