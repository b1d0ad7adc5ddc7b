"""The images of one viewer that are worked on, and which of them is chosen.

For every image that was chosen once there is an :class:`ImageWork`: what the session knows of it
and the layers that belong to it. Nothing here knows what is painted or predicted.
"""

from __future__ import annotations

import itertools
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from napari_regcon._qt.layers import finest, geometry_of, role_of
from napari_regcon._qt.sight import Sight
from napari_regcon._qt.supply import ImageSupply
from napari_regcon.errors import InputError
from napari_regcon.session.state import ImageState

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels, Layer

    from napari_regcon._qt.background import Background, Task
    from napari_regcon._qt.jobs import EngineLink
    from napari_regcon._qt.sources import Source
    from napari_regcon.session.geometry import Geometry
    from napari_regcon.types import LazyArray
    from napari_regcon.worker.protocol import OpenImage

_ids = itertools.count(1)


@dataclass(eq=False)
class ImageWork:
    """One image that is worked on.

    Parameters
    ----------
    layer : napari.layers.Image
        The image.
    state : ImageState
        What the session knows of it.
    source : Source or None
        Its pixels as the engine sees them, once they are ready.
    opening : Task or None
        What makes the source, while it does.
    told : OpenImage or None
        What the engine was told of it.
    labels, prediction, final, filled, uncertainty, regions : napari.layers.Labels or Image or None
        The layers that belong to it, as far as they are there.
    """

    layer: Image
    state: ImageState
    source: Source | None = None
    opening: Task | None = None
    told: OpenImage | None = None
    labels: Labels | None = None
    prediction: Labels | None = None
    final: Labels | None = None
    filled: Labels | None = None
    uncertainty: Image | None = None
    regions: Image | None = None

    @property
    def image_id(self) -> str:
        """How the engine knows it."""
        return self.state.image_id

    def labels_in(self, layer: Labels | None) -> LazyArray | None:
        """Return the label volume of a layer that belongs to it; None if it is gone or misfits."""
        try:
            return None if layer is None else self.state.geometry.label_array(layer.data)
        except InputError:
            return None  # somebody gave it other data

    def forget_layer(self, layer: Layer) -> str:
        """Drop a layer that left the viewer; return which one it was, or an empty string."""
        for role in ("labels", "prediction", "final", "filled", "uncertainty", "regions"):
            if getattr(self, role) is layer:
                setattr(self, role, None)
                return role
        return ""


class Workspace(QObject):
    """The images of a viewer, of which one is chosen.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    link : EngineLink
        Is told of images that open and close.
    background : Background
        Makes sources.
    parent : QObject, optional
        Owner.

    Attributes
    ----------
    supply : ImageSupply
        What the engine is given of them.
    sight : Sight
        What of them is on screen.
    current_changed : Signal
        Another image is chosen, or none, or its axes are others.
    opened : Signal
        ImageWork: the engine can reach its pixels now.
    removed : Signal
        ImageWork: the image is gone.
    layer_lost : Signal
        ImageWork, str: a layer of this role is gone.
    failed : Signal
        str: why an image cannot be used.
    """

    current_changed = Signal()
    opened = Signal(object)
    removed = Signal(object)
    layer_lost = Signal(object, str)
    failed = Signal(str)

    def __init__(
        self,
        viewer: napari.Viewer,
        link: EngineLink,
        background: Background,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.sight = Sight(viewer)
        self.supply = ImageSupply(link, background, self)
        self.supply.opened.connect(self.opened)
        self.supply.failed.connect(self.failed)
        self._works: dict[Image, ImageWork] = {}
        self.current: ImageWork | None = None
        viewer.layers.events.removed.connect(self._on_removed)

    def works(self) -> list[ImageWork]:
        """Return all images that were chosen once."""
        return list(self._works.values())

    def with_id(self, image_id: str) -> ImageWork | None:
        """Return the image that the engine calls so; None where it is gone by now."""
        return next((work for work in self.works() if work.image_id == image_id), None)

    def choose(self, layer: Image | None) -> None:
        """Work on this image from now on."""
        work = None
        if layer is not None:
            try:
                work = self.take_up(layer)
            except InputError as error:
                self.failed.emit(str(error))
        if work is not self.current:
            self.current = work
            self.current_changed.emit()

    def take_up(self, layer: Image) -> ImageWork:
        """Return the work on an image, begun if needed, without choosing it.

        Raises
        ------
        InputError
            If the layer is no image that can be worked on.
        """
        return self._works.get(layer) or self._start(layer, geometry_of(layer))

    def not_chosen(self) -> list[tuple[Image, Geometry]]:
        """Return the other images of the viewer that can be worked on, and their axes."""
        chosen = self.current.layer if self.current is not None else None
        found = []
        for layer in self.viewer.layers:
            if isinstance(layer, Image) and layer is not chosen and not role_of(layer):
                with suppress(InputError):
                    work = self._works.get(layer)
                    found.append((layer, work.state.geometry if work else geometry_of(layer)))
        return found

    def set_axes(self, letters: str) -> None:
        """Take the axes of the chosen image as these; what was painted on it is kept aside.

        Raises
        ------
        InputError
            If the letters do not fit.
        """
        if self.current is None or letters == self.current.state.geometry.letters:
            return
        layer = self.current.layer
        geometry = geometry_of(layer, letters)
        self._drop(self._works.pop(layer))
        self.current = self._start(layer, geometry)
        self.current_changed.emit()

    def close(self) -> None:
        """Let go of all images."""
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        for work in self.works():
            self._drop(self._works.pop(work.layer))
        self.current = None

    def _start(self, layer: Image, geometry: Geometry) -> ImageWork:
        work = ImageWork(layer, ImageState(f"image-{next(_ids):06}", layer.name, geometry))
        self._works[layer] = work
        layer.events.data.connect(self._on_data)
        self.supply.open(work)
        return work

    def _on_data(self, event: Any) -> None:
        """Somebody gave the image other pixels."""
        work = self._works.get(event.source)
        if work is None:
            return
        shape = tuple(finest(work.layer).shape[: work.layer.ndim])
        if shape == work.state.geometry.shape:
            self.supply.open(work)
            return
        was_current = work is self.current
        self._drop(self._works.pop(work.layer))
        self.current = None if was_current else self.current
        if was_current:
            self.choose(work.layer)

    def _on_removed(self, event: Any) -> None:
        layer = event.value
        if layer in self._works:
            self._drop(self._works.pop(layer))
            return
        for work in self.works():
            role = work.forget_layer(layer)
            if role:
                self.layer_lost.emit(work, role)

    def _drop(self, work: ImageWork) -> None:
        work.layer.events.data.disconnect(self._on_data)
        self.removed.emit(work)
        self.supply.close(work)
        if work is self.current:
            self.current = None
            self.current_changed.emit()
