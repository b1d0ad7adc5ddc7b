"""Layers of the viewer that belong to an image: made, found, coloured and refreshed.

Every layer made here takes the image's scale, translation, rotation, units and axis names along.
Along a channel axis it has one pixel, as wide as all channels, so that it shows on each of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from napari.layers import Image, Labels, Points
from napari.utils.colormaps import DirectLabelColormap

from napari_regcon.session.geometry import Geometry, guess_axes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from napari.layers import Layer

    from napari_regcon.session.classes import ClassTable
    from napari_regcon.types import Box

Origin: TypeAlias = tuple[int, ...]
METADATA_KEY = "napari_regcon"
IN_MEMORY_BYTES = 4 * 1024**3
"""Label volumes above this live in a file."""


def geometry_of(layer: Image, letters: str = "") -> Geometry:
    """Return the axes of an image layer; guessed where no letters are given.

    Raises
    ------
    InputError
        If the layer has too many axes, or the letters do not fit.
    """
    shape = tuple(finest(layer).shape[: layer.ndim])
    colors = finest(layer).shape[-1] if layer.rgb else 3
    letters = letters or guess_axes(shape, [str(name) for name in layer.axis_labels])
    return Geometry(letters, shape, bool(layer.rgb), int(colors))


def finest(layer: Image | Labels) -> Any:
    """Return the data of a layer, the finest level of a multiscale one."""
    return layer.data[0] if layer.multiscale else layer.data


def placement(image: Image, geometry: Geometry) -> dict[str, Any]:
    """Return the layer arguments that put a label layer exactly onto an image."""
    scale, translate = np.array(image.scale, float), np.array(image.translate, float)
    if "C" in geometry.letters:
        axis = geometry.letters.index("C")
        translate[axis] += scale[axis] * (geometry.shape[axis] - 1) / 2
        scale[axis] *= geometry.shape[axis]
    return {
        "scale": scale,
        "translate": translate,
        "rotate": image.rotate,
        "shear": image.shear,
        "affine": image.affine,
        "units": image.units,
        "axis_labels": image.axis_labels,
    }


def label_colormap(colors: Mapping[int, str], hidden: int | None = None) -> DirectLabelColormap:
    """Return the colours of a label layer.

    Parameters
    ----------
    colors : mapping
        ``"#rrggbb"`` of each label value.
    hidden : int or None
        A value that is transparent, such as the background in a prediction.
    """
    shown: dict[int | None, str] = {None: "#9a9a9a", 0: "transparent"}
    shown |= {v: "transparent" if v == hidden else c for v, c in colors.items()}
    return DirectLabelColormap(color_dict=shown)


def new_label_array(shape: tuple[int, ...], dtype: Any, file: Path | None) -> np.ndarray:
    """Return an array of zeros, in a file where it is too large for the memory."""
    if file is None or int(np.prod(shape)) * np.dtype(dtype).itemsize <= IN_MEMORY_BYTES:
        return np.zeros(shape, dtype=dtype)
    file.parent.mkdir(parents=True, exist_ok=True)
    return np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=shape)


def make_layer(
    image: Image, geometry: Geometry, data: np.ndarray, name: str, role: str, **more: Any
) -> Labels:
    """Make a label layer for an image; the caller adds it to the viewer.

    Parameters
    ----------
    image : Image
        The image.
    geometry : Geometry
        Its axes.
    data : numpy.ndarray
        Labels of shape ``geometry.layer_shape``.
    name, role : str
        What the user and this plugin call it.
    **more
        Further arguments of the layer.
    """
    metadata = {METADATA_KEY: {"role": role, "image": str(image.unique_id)}}
    return Labels(data, name=name, metadata=metadata, **placement(image, geometry), **more)


def make_map(image: Image, geometry: Geometry, data: np.ndarray) -> Image:
    """Make an image layer that shows how unsure a prediction is, 0 to 255."""
    return Image(
        data,
        name=f"uncertainty: {image.name}",
        metadata={METADATA_KEY: {"role": "uncertainty", "image": str(image.unique_id)}},
        contrast_limits=(0, 255),
        colormap="magma",
        blending="additive",
        opacity=0.6,
        **placement(image, geometry),
    )


def make_picture(image: Image, geometry: Geometry, picture: np.ndarray, origin: Origin) -> Image:
    """Make an image layer that shows colours over a part of an image, on all its planes.

    Parameters
    ----------
    image : Image
        The image.
    geometry : Geometry
        Its axes.
    picture : numpy.ndarray
        uint8 ``(y, x, 4)``, with opacity.
    origin : tuple of int
        Y and X of its first pixel.
    """
    metadata = {METADATA_KEY: {"role": "regions", "image": str(image.unique_id)}}
    data, name = spread(geometry, picture), f"regions: {image.name}"
    layer = Image(data, rgb=True, name=name, metadata=metadata, **placement(image, geometry))
    layer.translate = translation(image, geometry, origin)
    return layer


def translation(image: Image, geometry: Geometry, origin: Origin) -> np.ndarray:
    """Return the translation of a layer whose first pixel lies at a Y, X of an image."""
    translate = np.array(placement(image, geometry)["translate"])
    for slider, start in zip(geometry.plane_sliders, origin, strict=True):
        translate[slider] += image.scale[slider] * start
    return translate


def spread(geometry: Geometry, picture: np.ndarray) -> np.ndarray:
    """Return ``(y, x, 4)`` colours as data of a layer that holds them once for all planes."""
    y, x = geometry.plane_sliders
    upright = picture if y < x else picture.swapaxes(0, 1)
    sides = dict(zip((y, x), picture.shape, strict=False))
    thin = [sides.get(axis, 1) for axis in range(len(geometry.layer_shape))]
    full = [sides.get(axis, n) for axis, n in enumerate(geometry.layer_shape)]
    return np.broadcast_to(upright.reshape(*thin, 4), (*full, 4))


def make_ring(image: Image, index: tuple[int, ...], size_px: float) -> Points:
    """Make a layer with a ring around a pixel of an image."""
    return Points(
        [index],
        name="look here",
        metadata={METADATA_KEY: {"role": "ring", "image": str(image.unique_id)}},
        size=size_px,
        face_color="transparent",
        border_color="#ffe34d",
        border_width=0.06,
        scale=image.scale,
        translate=image.translate,
        rotate=image.rotate,
        shear=image.shear,
        affine=image.affine,
        units=image.units,
        axis_labels=image.axis_labels,
    )


def role_of(layer: Layer) -> str:
    """Return the role a layer was made for, or an empty string."""
    return str(layer.metadata.get(METADATA_KEY, {}).get("role", ""))


def layer_made_for(layers: Iterable[Layer], image: Image, role: str) -> Labels | None:
    """Return a layer that an earlier dock made for an image and that still fits, or None."""
    wanted = {"role": role, "image": str(image.unique_id)}
    found = (x for x in layers if isinstance(x, Labels) and x.metadata.get(METADATA_KEY) == wanted)
    return next(found, None)


def apply_colors(layer: Labels, classes: ClassTable, *, hide_background: bool) -> None:
    """Colour a label layer by class, leaving its opacity and visibility alone."""
    hidden = classes.background if hide_background else None
    layer.colormap = label_colormap(classes.colors(), hidden)


def refresh_box(layer: Labels, geometry: Geometry, box: Box) -> None:
    """Show a changed box of the visible plane.

    Parameters
    ----------
    layer : Labels
        A layer whose data was changed in place.
    geometry : Geometry
        Its axes.
    box : Box
        Y, X box on the plane that is shown.
    """
    # Whether the slice is a view of the data cannot be asked publicly; napari's own brush uploads
    # a part of it with this event.
    shown = layer._slice.image.view  # noqa: SLF001
    displayed = tuple(layer._slice_input.displayed)  # noqa: SLF001
    in_place = (
        layer.visible
        and layer.contour == 0
        and displayed == geometry.plane_sliders
        and isinstance(layer.data, np.ndarray)
        and np.shares_memory(shown, layer.data)
    )
    if in_place:
        # Only for what draws the layer: napari's list of layers listens to every event of each,
        # and has the whole window drawn once more after it.
        with layer.events.blocker():
            layer.events.labels_update(data=shown[box.slices], offset=list(box.start))
    else:
        layer.refresh(thumbnail=False, highlight=False, extent=False)
