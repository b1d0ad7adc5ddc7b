"""What a session file holds, as values: the images, what was said about them, and the choices.

Nothing here knows how a file looks inside, nor what becomes of the values.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

import napari_regcon
from napari_regcon.config import parameters
from napari_regcon.engine.registry import METHODS
from napari_regcon.session.classes import LabelClass, default_classes
from napari_regcon.session.painted import EMPTY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_regcon.session.marks import Mark
    from napari_regcon.session.painted import Patch, Prefix
    from napari_regcon.types import Box


@cache
def versions_here() -> dict[str, str]:
    """Return the versions of this tool and of what it computes with, without importing torch."""
    return {
        "napari-regcon": napari_regcon.__version__,
        "torch": metadata.version("torch"),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


@dataclass(frozen=True, eq=False)
class SessionImage:
    """One image of a session: how to find it again, and what was said about it.

    Parameters
    ----------
    name : str
        Name of the image, for people.
    axes : str
        Its axes, as in :class:`napari_regcon.Volume`.
    shape : tuple of int
        Length of each axis.
    dtype : str
        Type of its pixels.
    fingerprint : str
        Of its pixels, see :func:`napari_regcon.data.fingerprint.fingerprint`.
    path : str
        File it came from, or empty.
    scale, units, translate : tuple
        As in :class:`napari_regcon.Volume`.
    patches : dict
        Painted part of each plane.
    marks : tuple of Mark
        Complete parts.
    """

    name: str
    axes: str
    shape: tuple[int, ...]
    dtype: str = "uint8"
    fingerprint: str = ""
    path: str = ""
    scale: tuple[float, ...] = ()
    units: tuple[str, ...] = ()
    translate: tuple[float, ...] = ()
    patches: dict[Prefix, Patch] = field(default_factory=dict)
    marks: tuple[Mark, ...] = ()

    @property
    def label_shape(self) -> tuple[int, ...]:
        """Shape of a label volume for it."""
        return self.shape[: len(self.axes.removesuffix("C"))]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is painted or marked on it."""
        return not self.patches and not self.marks

    def patch(self, prefix: Prefix) -> Patch:
        """Return what is painted on a plane; an empty patch where nothing is."""
        return self.patches.get(prefix, EMPTY)

    def complete_on(self, prefix: Prefix) -> tuple[Box, ...]:
        """Return the Y, X boxes that are complete on a plane."""
        return tuple(m.box for m in self.marks if m.prefix == prefix)


@dataclass(frozen=True, eq=False)
class SessionState:
    """Everything a session file holds.

    Parameters
    ----------
    images : tuple of SessionImage
        The image that was chosen, and others whose strokes count too, in the order in which
        they count.
    chosen : int
        Which of them was chosen.
    classes : tuple of LabelClass
        The classes.
    method : str
        Name of the method.
    parameters : dict
        All its parameters, the seed among them.
    weights, weights_sha256 : str
        Weights and their sum; empty where the method needs none.
    device : str
        What to compute on, as chosen.
    computed_on : str
        What it then was, for people; empty before the engine has started.
    locked_slices, locked_classes, locked_pixels
        As in :class:`napari_regcon.session.locks.Locks`, for the chosen image.
    versions : dict
        Versions of this tool and of what it computes with.
    """

    images: tuple[SessionImage, ...]
    chosen: int = 0
    classes: tuple[LabelClass, ...] = field(default_factory=default_classes)
    method: str = "pixel-head"
    parameters: dict[str, Any] = field(default_factory=dict)
    weights: str = ""
    weights_sha256: str = ""
    device: str = "auto"
    computed_on: str = ""
    locked_slices: tuple[Prefix, ...] = ()
    locked_classes: tuple[int, ...] = ()
    locked_pixels: dict[Prefix, Patch] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=versions_here)

    @property
    def image(self) -> SessionImage:
        """The image that was chosen."""
        return self.images[self.chosen]

    @property
    def others(self) -> tuple[SessionImage, ...]:
        """The other images."""
        return tuple(image for image in self.images if image is not self.image)


def settled(method: str, given: Mapping[str, Any], weights: str) -> tuple[dict[str, Any], str]:
    """Return every parameter of a method, and its weights, with defaults where none were given.

    So that a session means the same after a default has changed. No weights are an empty string.
    """
    config = METHODS[method](**given)
    values = {item.name: getattr(config, item.name) for item in parameters(config)}
    return values, (weights or config.default_weights) if config.default_weights else ""
