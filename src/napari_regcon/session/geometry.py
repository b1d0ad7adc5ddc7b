"""How the axes of an image in the viewer map to the axes of a volume and of its labels.

A viewer shows arrays with axes in any order, with or without channels. Volumes have theirs in
canonical order, and label volumes have no channels. A label layer keeps every axis of the image
it belongs to, so that sliders stay aligned, with one pixel along the channel axis. Nothing here
knows layers; it maps shapes, indices and arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_regcon.errors import InputError
from napari_regcon.types import CANONICAL_AXES

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from napari_regcon.types import LazyArray

_WORDS = {
    "t": "T", "time": "T", "frame": "T",
    "z": "Z", "depth": "Z", "plane": "Z", "slice": "Z", "section": "Z",
    "y": "Y", "row": "Y", "height": "Y",
    "x": "X", "column": "X", "width": "X", "col": "X",
    "c": "C", "ch": "C", "channel": "C",
}  # fmt: skip
_FEW_CHANNELS = 4


def guess_axes(shape: Sequence[int], names: Sequence[str] = ()) -> str:
    """Return one axis letter per array axis, from names where they say it, else from the shape.

    Parameters
    ----------
    shape : sequence of int
        Shape of the image without an RGB axis.
    names : sequence of str, optional
        What the viewer calls the axes.

    Raises
    ------
    InputError
        If there are fewer than two or more than five axes.
    """
    letters = "".join(_WORDS.get(name.lower().rstrip("s"), "?") for name in names)
    if len(letters) == len(shape) and is_usable(letters):
        return letters
    match len(shape):
        case 2:
            return "YX"
        case 3:
            return "ZYX"
        case 4 if shape[1] <= _FEW_CHANNELS:
            return "ZCYX"
        case 4:
            return "TZYX"
        case 5:
            return "TZCYX" if shape[2] <= shape[1] else "TCZYX"
    raise InputError(
        f"The image has {len(shape)} axes (shape {tuple(shape)}).",
        expected="Expected 2 to 5: rows and columns, and perhaps time, depth and channels.",
        next_step="Cut a part out of it first.",
    )


def is_usable(letters: str) -> bool:
    """Tell whether every letter is a different axis and rows and columns are among them."""
    known = set(letters) <= set(CANONICAL_AXES)
    return known and len(set(letters)) == len(letters) and {"Y", "X"} <= set(letters)


@dataclass(frozen=True)
class Geometry:
    """The axes of one image in the viewer.

    Parameters
    ----------
    letters : str
        Axis letters in the order of the viewer's sliders, without an RGB axis.
    shape : tuple of int
        Length of each of these axes.
    rgb : bool
        Whether the array has colours along one more, last axis.
    n_colors : int
        Length of that axis.

    Raises
    ------
    InputError
        If the letters cannot be used, or there are both RGB colours and a channel axis.
    """

    letters: str
    shape: tuple[int, ...]
    rgb: bool = False
    n_colors: int = 3

    def __post_init__(self) -> None:
        if len(self.letters) != len(self.shape) or not is_usable(self.letters):
            raise InputError(
                f"The axes {self.letters!r} do not fit an image of shape {self.shape}.",
                expected="Expected a different one of T, Z, Y, X, C for each axis, with Y and X.",
            )
        if self.rgb and "C" in self.letters:
            raise InputError(
                "The image has colours and a channel axis.",
                next_step="Split its channels into layers and choose one of them.",
            )

    @property
    def axes(self) -> str:
        """Axes of the volume, in canonical order."""
        letters = self.letters + ("C" if self.rgb else "")
        return "".join(a for a in CANONICAL_AXES if a in letters)

    @property
    def label_axes(self) -> str:
        """Axes of its label volumes."""
        return self.axes.removesuffix("C")

    @property
    def label_shape(self) -> tuple[int, ...]:
        """Shape of its label volumes."""
        return tuple(self.shape[self.letters.index(a)] for a in self.label_axes)

    @property
    def volume_shape(self) -> tuple[int, ...]:
        """Shape of the volume, with its axes in canonical order."""
        lengths = dict(zip(self.letters, self.shape, strict=True))
        return tuple(lengths.get(a, self.n_colors) for a in self.axes)

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Shape of one plane."""
        return (self.label_shape[-2], self.label_shape[-1])

    @property
    def layer_shape(self) -> tuple[int, ...]:
        """Shape of a label layer for this image: one pixel along the channels."""
        return tuple(1 if a == "C" else n for a, n in zip(self.letters, self.shape, strict=True))

    @property
    def order(self) -> tuple[int, ...]:
        """For each label axis, the slider it belongs to."""
        return tuple(self.letters.index(a) for a in self.label_axes)

    @property
    def plane_sliders(self) -> tuple[int, int]:
        """Which sliders are the rows and columns of a plane."""
        return (self.order[-2], self.order[-1])

    def image_array(self, data: Any) -> LazyArray:
        """Return image data with its axes in canonical order, without a copy.

        Parameters
        ----------
        data : array
            numpy, dask, zarr or any other array that dask can wrap.
        """
        order = [self.letters.index(a) for a in self.axes if not (a == "C" and self.rgb)]
        order += [data.ndim - 1] if self.rgb else []
        if order == list(range(data.ndim)):
            return data  # type: ignore[no-any-return]
        if not hasattr(data, "transpose"):
            import dask.array

            data = dask.array.from_array(data)
        return data.transpose(order)  # type: ignore[no-any-return]

    def label_array(self, data: Any) -> LazyArray:
        """Return label-layer data with the axes of a label volume, writable, without a copy.

        Raises
        ------
        InputError
            If the shape is another one, or a copy could not be avoided.
        """
        if tuple(data.shape) != self.layer_shape:
            raise InputError(
                f"The label layer has shape {tuple(data.shape)}, but the image needs "
                f"{self.layer_shape}.",
                next_step="Choose labels that belong to this image, or make a new layer.",
            )
        if self.layer_shape == self.label_shape and self.label_axes == self.letters:
            return data  # type: ignore[no-any-return]
        if not isinstance(data, np.ndarray):
            raise InputError(
                "Labels in a file cannot be painted on an image whose axes are in an unusual "
                f"order ({self.letters}).",
                next_step="Make a new label layer.",
            )
        channel = [self.letters.index("C")] if "C" in self.letters else []
        view = data.transpose([*self.order, *channel])
        return view[..., 0] if channel else view

    def prefix_at(self, position: Sequence[float]) -> tuple[int, ...]:
        """Return the plane that a position, in pixels along the sliders, lies on."""
        return tuple(min(max(round(position[s]), 0), self.shape[s] - 1) for s in self.order[:-2])

    def has(self, position: Sequence[float], displayed: Collection[int]) -> bool:
        """Tell whether a position lies on a plane of the image, and not beyond its ends.

        Parameters
        ----------
        position : sequence of float
            In pixels along the sliders.
        displayed : collection of int
            Sliders along which everything is shown; there the position does not matter.
        """
        hidden = (s for s in range(len(self.shape)) if s not in displayed)
        return all(0 <= round(position[s]) < self.shape[s] for s in hidden)

    def slider_index(self, prefix: tuple[int, ...], y: int, x: int) -> tuple[int, ...]:
        """Return the index along each slider of a pixel of a label volume; channel 0."""
        index = [0] * len(self.letters)
        for slider, value in zip(self.order, (*prefix, y, x), strict=True):
            index[slider] = value
        return tuple(index)
