"""Every parameter once: name, default, label, help, range.

The dock's forms, the command line, session files and the reference page all derive from the
field metadata written here. Nothing here knows what a parameter does to the computation.
"""

from __future__ import annotations

from napari_regcon.config.finetuning import FinetuneConfig
from napari_regcon.config.parameters import Parameter, param, parameters, validate
from napari_regcon.config.pretraining import ContextTrainConfig, PretrainConfig
from napari_regcon.config.segmenting import (
    FinetunedConfig,
    InContextConfig,
    PixelHeadConfig,
    RegionsConfig,
)

DEVICES = ("auto", "cpu", "cuda", "mps")
"""Names a user can give for a compute device."""

__all__ = [
    "DEVICES",
    "ContextTrainConfig",
    "FinetuneConfig",
    "FinetunedConfig",
    "InContextConfig",
    "Parameter",
    "PixelHeadConfig",
    "PretrainConfig",
    "RegionsConfig",
    "param",
    "parameters",
    "validate",
]
