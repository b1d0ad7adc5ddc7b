"""Parameters of training a network on what is painted."""

from __future__ import annotations

from dataclasses import dataclass

from napari_regcon.config.parameters import param, validate


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
    neighbours: int = param(
        0,
        "Slices beside",
        "Look at so many slices above and below each slice, too. Needs an image with depth.",
        minimum=0,
        maximum=3,
        advanced=True,
    )
    unlabelled: float = param(
        5.0,
        "Unlabelled pixels",
        "Weight of what is taught on pixels that nothing is said of: what the pixel classifier "
        "thinks of them.",
        minimum=0.0,
        maximum=10.0,
        advanced=True,
    )
    compact: str = param(
        "",
        "Compact classes",
        "Names of classes of blob-like objects, separated by commas: the network is also chosen "
        "by whether its objects are as compact as those you finished. Needs 20 of each.",
        advanced=True,
    )
    missing: float = param(
        0.1,
        "Missing parts",
        "Share of crops of which a part is blotted out, as behind a fold.",
        minimum=0.0,
        maximum=1.0,
        advanced=True,
    )
    crop_px: int = param(
        96, "Crop (px)", "Side of a crop.", choices=(64, 96, 128, 192, 256), advanced=True
    )
    crops_per_step: int = param(
        8, "Crops a step", "Crops in a batch.", minimum=1, maximum=256, advanced=True
    )
    learning_rate: float = param(
        3e-3, "Learning rate", "Of AdamW.", minimum=1e-4, maximum=0.1, advanced=True
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
