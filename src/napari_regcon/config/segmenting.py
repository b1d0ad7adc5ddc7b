"""Parameters of the methods that segment, and of regions."""

from __future__ import annotations

from dataclasses import dataclass

from napari_regcon.config.parameters import param, validate


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
        "both",
        "Features",
        "filters: edges and textures at several scales; the quickest. network: what a pre-trained "
        "network sees. both: side by side, which most often is best.",
        choices=("filters", "network", "both"),
    )
    smoothing: int = param(
        1,
        "Smooth",
        "How far the result is averaged along the edges of the image, so that no single pixel "
        "stands out. 1: over windows of 6 px, 2: of 10 px, and so on. 0: not at all.",
        minimum=0,
        maximum=8,
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
        0,
        "Shrink by",
        "Shrink the image first, so that an object and its surroundings fit into a tile; 0: as "
        "suits the size of what is painted.",
        minimum=0,
        maximum=16,
    )
    support_size: int = param(
        8, "Support examples", "Examples shown to the network at once.", minimum=1, maximum=64
    )
    choose_from: int = param(
        0,
        "Choose from",
        "For each tile the examples are shown that look most like it, of so many; 0: the same "
        "ones for all tiles.",
        minimum=0,
        maximum=256,
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
        return "universeg-em-light"


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

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True)
class FinetunedConfig:
    """Parameters of a network that was fine-tuned: none, all is in its file."""

    @property
    def default_weights(self) -> str:
        """No weights stand for the method; they are a file of one's own."""
        return ""
