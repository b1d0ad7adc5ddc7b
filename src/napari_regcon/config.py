"""Every parameter once: name, default, label, help, range.

The dock's forms, the command line, session files and the reference page all derive from the
field metadata written here. Nothing here knows what a parameter does to the computation.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Parameter:
    """What a form or command line needs to know about one configuration field."""

    name: str
    default: Any
    label: str
    help: str
    minimum: float | None
    maximum: float | None
    choices: tuple[Any, ...]
    advanced: bool


def param(
    default: Any,
    label: str,
    help: str,  # noqa: A002 - the word users of argparse and typer know
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[Any, ...] = (),
    advanced: bool = False,
) -> Any:
    """Return a dataclass field that carries its own description.

    Parameters
    ----------
    default : Any
        Value where the user says nothing.
    label : str
        A few words for a form.
    help : str
        One or two sentences for a tooltip or ``--help``.
    minimum, maximum : float, optional
        Range, both ends included.
    choices : tuple, optional
        The only values allowed.
    advanced : bool
        Whether a form hides it until asked.
    """
    return field(
        default=default,
        metadata={
            "label": label,
            "help": help,
            "minimum": minimum,
            "maximum": maximum,
            "choices": choices,
            "advanced": advanced,
        },
    )


def parameters(config: type | object) -> Iterator[Parameter]:
    """Iterate over the described fields of a configuration class or instance."""
    for item in fields(config):  # type: ignore[arg-type]
        if "label" in item.metadata:
            default = None if item.default is MISSING else item.default
            yield Parameter(name=item.name, default=default, **item.metadata)


def validate(config: object) -> None:
    """Check every described field against its kind and its range or choices.

    Raises
    ------
    InputError
        Names the parameter, its value and what is allowed.
    """
    for item in parameters(config):
        value = getattr(config, item.name)
        if item.choices and value not in item.choices:
            allowed = ", ".join(repr(choice) for choice in item.choices)
            raise InputError(f"{item.label} is {value!r}.", expected=f"Expected one of {allowed}.")
        if not _is_like(value, item.default):
            kind = _kind(item.default)
            raise InputError(f"{item.label} is {value!r}.", expected=f"Expected {kind}.")
        low = -float("inf") if item.minimum is None else item.minimum
        high = float("inf") if item.maximum is None else item.maximum
        numbers = value if isinstance(value, tuple) else (value,)
        if not all(low <= number <= high for number in numbers if _is_like(number, 0.0)):
            span = f"at least {low}" if item.maximum is None else f"a value from {low} to {high}"
            raise InputError(f"{item.label} is {value!r}.", expected=f"Expected {span}.")


def _is_like(value: object, default: object) -> bool:
    """Return whether a value is of the kind of a default; a whole number is a number, too."""
    if isinstance(default, tuple):
        same_length = isinstance(value, tuple) and len(value) == len(default)
        return same_length and all(map(_is_like, value, default))  # type: ignore[call-overload]
    if isinstance(default, int | float):
        kind = Integral if isinstance(default, int) else Real
        return isinstance(value, kind) and not isinstance(value, bool)
    return isinstance(value, type(default))


def _kind(default: object) -> str:
    """Return the kind of a default in words."""
    if isinstance(default, tuple):
        return f"{len(default)} values, each {_kind(default[0])}"
    words = {int: "a whole number", float: "a number", str: "text"}
    return words[type(default)]


DEVICES = ("auto", "cpu", "cuda", "mps")
"""Names a user can give for a compute device."""


@dataclass(frozen=True)
class PixelHeadConfig:
    """Parameters of the pixel head: features per pixel, then a small classifier."""

    dimensions: int = param(
        2,
        "Look in",
        "2: each slice on its own (thick sections). 3: neighbouring slices too (isotropic voxels).",
        choices=(2, 3),
    )
    features: str = param(
        "filters",
        "Features",
        "filters: edges and textures at several scales, no weights needed. network: what a "
        "pre-trained network sees. both: side by side.",
        choices=("filters", "network", "both"),
    )
    sigma_min_px: float = param(
        0.7,
        "Finest detail (px)",
        "Smallest scale of the filters.",
        minimum=0.3,
        maximum=4.0,
        advanced=True,
    )
    sigma_max_px: float = param(
        16.0,
        "Widest context (px)",
        "Largest scale of the filters.",
        minimum=2.0,
        maximum=32.0,
        advanced=True,
    )
    seed: int = param(
        0,
        "Seed",
        "Same strokes and seed give the same result.",
        minimum=0,
        maximum=2**31 - 1,
        advanced=True,
    )

    def __post_init__(self) -> None:
        validate(self)

    @property
    def default_weights(self) -> str | None:
        """Name of the weights that are taken where none are chosen; None where none are needed."""
        return None if self.features == "filters" else "regcon-em"


@dataclass(frozen=True)
class InContextConfig:
    """Parameters of the in-context network (UniverSeg)."""

    tile_px: int = param(
        128,
        "Tile (px)",
        "Side of the square the network looks at; it was trained at 128.",
        choices=(64, 128, 192, 256),
    )
    downscale: int = param(
        2,
        "Shrink by",
        "Shrink the image first, so that an object and its surroundings fit into a tile.",
        minimum=1,
        maximum=16,
    )
    support_size: int = param(
        16, "Support examples", "Examples shown to the network at once.", minimum=1, maximum=64
    )
    ensemble: int = param(
        1,
        "Ensemble",
        "Average the probabilities over this many draws of the support.",
        minimum=1,
        maximum=10,
    )
    seed: int = param(
        0,
        "Seed",
        "Same labels and seed give the same result.",
        minimum=0,
        maximum=2**31 - 1,
        advanced=True,
    )

    def __post_init__(self) -> None:
        validate(self)

    @property
    def default_weights(self) -> str:
        """Name of the weights that are taken where none are chosen."""
        return "universeg-v1"


@dataclass(frozen=True)
class RegionsConfig:
    """Parameters of the regions that an image is cut into."""

    granularity: float = param(
        0.5,
        "Granularity",
        "0: few large regions. 1: many small ones. Finer regions only split coarser ones.",
        minimum=0.0,
        maximum=1.0,
    )
    smoothing_px: float = param(
        1.5,
        "Smoothing (px)",
        "Detail smaller than this makes no edge.",
        minimum=0.5,
        maximum=8.0,
        advanced=True,
    )
    smallest_px: int = param(
        16,
        "Smallest region (px)",
        "Regions of fewer pixels join the neighbour that is most like them.",
        minimum=1,
        maximum=100_000,
        advanced=True,
    )


@dataclass(frozen=True)
class FinetunedConfig:
    """Parameters of a network that was fine-tuned: none, all is in its file."""

    @property
    def default_weights(self) -> str:
        """No weights stand for the method; they are a file of one's own."""
        return ""


@dataclass(frozen=True)
class FinetuneConfig:
    """Parameters of fine-tuning a network on what is painted."""

    minutes: float = param(
        3.0, "Minutes", "How long to train at most.", minimum=0.1, maximum=1440.0
    )
    steps: int = param(
        0,
        "Steps",
        "Train so many steps instead of minutes, which gives the same result every time; 0: "
        "minutes count.",
        minimum=0,
        maximum=10**6,
        advanced=True,
    )
    downscale: int = param(
        1,
        "Shrink by",
        "Look at the image made smaller by this, to see more of the surroundings of an object.",
        minimum=1,
        maximum=8,
    )
    consistency: float = param(
        0.0,
        "Unlabelled pixels",
        "Weight of agreement with the averaged network on pixels that nothing is said of.",
        minimum=0.0,
        maximum=10.0,
        advanced=True,
    )
    crop_px: int = param(
        128, "Crop (px)", "Side of a crop.", choices=(64, 128, 192, 256), advanced=True
    )
    crops_per_step: int = param(
        8, "Crops a step", "Crops in a batch.", minimum=1, maximum=256, advanced=True
    )
    learning_rate: float = param(
        2e-3, "Learning rate", "Of AdamW.", minimum=1e-4, maximum=0.1, advanced=True
    )
    average_decay: float = param(
        0.98,
        "Averaging",
        "Decay of the moving average of the weights, which is what is used.",
        minimum=0.0,
        maximum=1.0,
        advanced=True,
    )
    check_every: int = param(
        25,
        "Check every",
        "Steps between two looks at the strokes that were kept back.",
        minimum=1,
        maximum=10**6,
        advanced=True,
    )
    width: int = param(
        16,
        "Width",
        "Channels of a network that starts from scratch.",
        minimum=4,
        maximum=64,
        advanced=True,
    )
    levels: int = param(
        4,
        "Levels",
        "Resolutions of a network that starts from scratch.",
        minimum=2,
        maximum=6,
        advanced=True,
    )
    seed: int = param(
        0, "Seed", "Of all that is drawn.", minimum=0, maximum=2**31 - 1, advanced=True
    )

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True)
class PretrainConfig:
    """Parameters of pre-training."""

    steps: int = param(8000, "Steps", "Optimiser steps in all.", minimum=1)
    episodes_per_step: int = param(
        8, "Episodes a step", "Stroke episodes (two crops each) in a batch.", minimum=0
    )
    views_per_step: int = param(
        8, "View pairs a step", "Pairs of views for the region losses in a batch.", minimum=0
    )
    views_every: int = param(
        1,
        "Views every",
        "At 1 a batch holds episodes and view pairs; otherwise every so many steps are of view "
        "pairs alone and the others of episodes alone.",
        minimum=1,
    )
    learning_rate: float = param(2e-3, "Learning rate", "Of AdamW.", minimum=1e-6, maximum=0.1)
    average_decay: float = param(
        0.998, "Averaging", "Decay of the moving average of the weights.", minimum=0, maximum=1
    )
    episode_weight: float = param(1.0, "Episodes", "Weight of the stroke episodes.", minimum=0)
    ridge: float = param(
        0.1, "Ridge", "Of the head that is fitted in an episode.", minimum=1e-4, maximum=10
    )
    grey_weight: float = param(0.5, "Grey", "Weight of the grey loss.", minimum=0)
    semantic_weight: float = param(0.1, "Semantic", "Weight of the region contrast.", minimum=0)
    usage_weight: float = param(0.2, "Usage", "Weight against unused regions.", minimum=0)
    embedding: int = param(32, "Embedding", "Features per pixel.", minimum=4, maximum=256)
    regions: int = param(8, "Regions", "Soft regions.", minimum=4, maximum=16)
    width: int = param(16, "Width", "Channels at full resolution.", minimum=4, maximum=64)
    levels: int = param(5, "Levels", "Resolutions of the network.", minimum=2, maximum=6)
    checkpoint_every: int = param(200, "Checkpoint every", "Steps between checkpoints.", minimum=1)
    seed: int = param(0, "Seed", "Same data and seed give the same weights.", minimum=0)

    def __post_init__(self) -> None:
        validate(self)
        if self.episodes_per_step + self.views_per_step == 0:
            raise InputError(
                "Episodes a step and View pairs a step are both 0.",
                expected="Expected at least one of either in a batch.",
            )

    @property
    def stride(self) -> int:
        """Pixels that the coarsest level of the network sees as one; crops are multiples of it."""
        return 1 << (self.levels - 1)

    def batch(self, step: int) -> tuple[int, int]:
        """Return how many episodes and view pairs the batch of a step holds."""
        if self.views_every == 1 or not self.episodes_per_step or not self.views_per_step:
            return self.episodes_per_step, self.views_per_step
        if step % self.views_every == self.views_every - 1:
            return 0, self.views_per_step
        return self.episodes_per_step, 0

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each loss by name."""
        return {
            "episodes": self.episode_weight,
            "grey": self.grey_weight,
            "semantic": self.semantic_weight,
            "usage": self.usage_weight,
        }
