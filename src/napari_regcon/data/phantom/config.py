"""What a phantom shows and how it was recorded, as one set of parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_regcon.config import param, parameters, validate

_DELICATE = ("membrane_thickness_nm", "mitochondrion_brightness", "contrast", "blur_px", "noise")
"""Parameters that vary less, so that a person could still tell the classes apart."""


@dataclass(frozen=True)
class PhantomConfig:
    """What a phantom shows and how it was recorded; lengths in nm are of the tissue."""

    cell_radius_nm: float = param(
        90.0, "Cell radius (nm)", "Median radius of a neurite.", minimum=40.0, maximum=1000.0
    )
    calibre_spread: float = param(
        0.55, "Calibre spread", "How much the radii differ.", minimum=0.0, maximum=1.0
    )
    waviness: float = param(
        1.0, "Waviness", "Undulation of the membranes.", minimum=0.0, maximum=2.5
    )
    membrane_thickness_nm: float = param(
        22.0,
        "Membrane (nm)",
        "Thickness of the two membranes between neighbours.",
        minimum=8.0,
        maximum=60.0,
    )
    mitochondria_per_um3: float = param(
        3.5, "Mitochondria per µm³", "How many are placed.", minimum=0.0, maximum=20.0
    )
    mitochondrion_brightness: float = param(
        0.37, "Matrix brightness", "Brightness of their matrix.", minimum=0.1, maximum=0.7
    )
    cristae_contrast: float = param(
        0.17, "Cristae", "Contrast of the cristae.", minimum=0.0, maximum=0.4
    )
    synapses_per_um3: float = param(
        3.5, "Synapses per µm³", "Clouds of vesicles.", minimum=0.0, maximum=20.0
    )
    vesicle_diameter_nm: float = param(
        46.0, "Vesicle (nm)", "Median diameter of vesicles.", minimum=25.0, maximum=150.0
    )
    reticulum: float = param(
        0.3, "Reticulum", "How much endoplasmic reticulum.", minimum=0.0, maximum=1.0
    )
    microtubules: float = param(
        1.0, "Microtubules", "How many microtubules.", minimum=0.0, maximum=5.0
    )
    cell_variation: float = param(
        0.08, "Cell variation", "How much cells differ in density.", minimum=0.0, maximum=0.3
    )
    cytoplasm_texture: float = param(
        1.0, "Texture", "Graininess of the cytoplasm.", minimum=0.0, maximum=3.0
    )
    blur_px: float = param(1.1, "Blur (px)", "Blur within a section.", minimum=0.0, maximum=4.0)
    blur_z_px: float = param(
        0.3, "Blur across (px)", "Blur across sections.", minimum=0.0, maximum=4.0
    )
    noise: float = param(0.065, "Noise", "Noise at medium brightness.", minimum=0.0, maximum=0.4)
    noise_grain_px: float = param(
        0.6, "Noise grain (px)", "Size of the noise grains.", minimum=0.0, maximum=3.0
    )
    contrast: float = param(1.0, "Contrast", "Overall contrast.", minimum=0.2, maximum=2.0)
    unevenness: float = param(
        0.05, "Unevenness", "Uneven light across the field.", minimum=0.0, maximum=0.3
    )
    section_variation: float = param(
        0.015, "Section variation", "Changes between sections.", minimum=0.0, maximum=0.2
    )
    jitter_px: float = param(
        0.4, "Misalignment (px)", "Shift between sections.", minimum=0.0, maximum=5.0
    )
    artefacts_per_section: float = param(
        0.12,
        "Artefacts",
        "Share of sections with an accident: knife mark, fold, charging, defocus, pale, dirt.",
        minimum=0.0,
        maximum=1.0,
    )

    def __post_init__(self) -> None:
        validate(self)

    @classmethod
    def draw(cls, rng: np.random.Generator) -> PhantomConfig:
        """Draw a phantom of another kind: tissue, staining and microscope vary.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of randomness.
        """
        values = {}
        for item in parameters(cls):
            spread = 0.15 if item.name in _DELICATE else 0.4
            value = item.default * np.exp(rng.normal(0.0, spread))
            values[item.name] = float(np.clip(value, item.minimum, item.maximum))
        return cls(**values)
