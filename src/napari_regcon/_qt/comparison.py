"""A second method beside the first: what another method makes of the visible slice.

When a preview is on screen as a whole, the same slice is predicted with another choice, fitted on
the same labels. It is shown to the right of the image, on the same pixels drawn once more, so that
both are seen at once. Nothing the user made is touched, and what is made here goes with it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from napari_regcon._qt.layers import METADATA_KEY, placement, refresh_box, translation
from napari_regcon._qt.plane_request import PlaneRequest
from napari_regcon.types import Box

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_regcon._qt.jobs import EngineLink
    from napari_regcon._qt.live import LivePreview
    from napari_regcon._qt.results import Results
    from napari_regcon._qt.workspace import ImageWork, Workspace
    from napari_regcon.worker.protocol import Configure, PreviewDone

GAP = 0.04
"""Free space between the two, as a share of the width of the image."""


class Comparison(QObject):
    """Shows what another method makes of the visible slice.

    Parameters
    ----------
    workspace : Workspace
        The images.
    link : EngineLink
        Is asked.
    live : LivePreview
        Says when a preview is there.
    results : Results
        Adds layers where they belong.
    parent : QObject, optional
        Owner.

    Attributes
    ----------
    said : Signal
        str: how much differs, what is under way, or why there is nothing to compare.
    """

    said = Signal(str)

    def __init__(
        self,
        workspace: Workspace,
        link: EngineLink,
        live: LivePreview,
        results: Results,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._live = live
        self._results = results
        self._model: Configure | None = None
        self._request = PlaneRequest(workspace, link, "comparison", self)
        self._shown: tuple[ImageWork, Image, Labels] | None = None
        self._camera: tuple[Any, ...] | None = None
        self._request.busy.connect(lambda busy: self.said.emit("Comparing …" if busy else ""))
        self._request.found.connect(self._show)
        self._request.failed.connect(self._on_failed)
        live.shown.connect(self._ask)
        workspace.current_changed.connect(self._clear)
        workspace.removed.connect(self._drop)

    @property
    def model(self) -> Configure | None:
        """What is compared with; None while nothing is."""
        return self._model

    def compare_with(self, model: Configure | None) -> None:
        """Compare with another choice from now on, or with none."""
        self._model = model
        if model is None:
            self._request.cancel()
            self._clear()
            self.said.emit("")
        else:
            self._live.request_once()

    def close(self) -> None:
        """Give the memory back."""
        self._request.close()

    def _ask(self, _shown: PreviewDone) -> None:
        work = self._workspace.current
        if self._model is None or work is None:
            return
        self._request.ask(work, self._model)

    def _on_failed(self, message: str) -> None:
        self._clear()
        self.said.emit(f"Nothing to compare with: {message}")

    def _show(self, work: ImageWork, prefix: tuple[int, ...], found: np.ndarray) -> None:
        geometry = work.state.geometry
        layer = self._layer_of(work)
        if layer is None:  # the user has removed it
            return
        labels = geometry.label_array(layer.data)
        labels[prefix] = found  # type: ignore[index]
        if prefix == self._workspace.sight.visible_prefix(work):
            refresh_box(layer, geometry, Box.of_shape(geometry.plane_shape))
        first = np.asarray(self._results.prediction_of(work)[1][prefix])
        n = int(np.count_nonzero(first != found))
        self.said.emit(f"{n:,} of {found.size:,} pixels differ ({n / found.size:.1%}).")

    def _layer_of(self, work: ImageWork) -> Labels | None:
        """Return the layer of the second prediction, made beside the image if needed."""
        if self._shown is None:
            copy = _copy_of(work)
            labels = self._results.add_layer(work, "comparison")
            labels.editable = False
            labels.translate = copy.translate
            self._results.add_below(copy, labels)
            self._shown = (work, copy, labels)
            self._look_at_both()
        labels = self._shown[2]
        return labels if labels in self._workspace.viewer.layers else None

    def _clear(self) -> None:
        shown, self._shown = self._shown, None
        if shown is None:
            return
        for layer in shown[1:]:
            with suppress(ValueError):  # the user has removed it already
                self._workspace.viewer.layers.remove(layer)
        self._look_back()

    def _look_at_both(self) -> None:
        """Let the camera show image and copy, and remember what it showed."""
        camera = self._camera_of()
        before = (camera.center, camera.zoom)
        self._workspace.viewer.reset_view()
        self._camera = (before, (camera.center, camera.zoom))

    def _look_back(self) -> None:
        """Let the camera show what it did before, unless the user has moved it since."""
        looked, self._camera = self._camera, None
        camera = self._camera_of()
        if looked is not None and (camera.center, camera.zoom) == looked[1]:
            camera.center, camera.zoom = looked[0]

    def _camera_of(self) -> Any:
        viewer = self._workspace.viewer
        return getattr(viewer, "scene", viewer).camera  # napari 0.9 has moved it

    def _drop(self, work: ImageWork) -> None:
        if self._shown is not None and self._shown[0] is work:
            self._clear()


def _copy_of(work: ImageWork) -> Image:
    """Return a layer that shows the pixels of an image once more, to the right of it.

    They are the same arrays, so it takes no memory.
    """
    image, geometry = work.layer, work.state.geometry
    width = geometry.plane_shape[1]
    layer = Image(
        image.data,
        rgb=image.rgb,
        multiscale=image.multiscale,
        name=f"comparison: {image.name} again",
        metadata={METADATA_KEY: {"role": "comparison", "image": str(image.unique_id)}},
        colormap=image.colormap,
        contrast_limits=image.contrast_limits,
        gamma=image.gamma,
        interpolation2d=image.interpolation2d,
        **placement(image, geometry) | {"scale": image.scale},
    )
    layer.translate = image.translate + (
        translation(image, geometry, (0, width + max(1, round(GAP * width))))
        - translation(image, geometry, (0, 0))
    )
    return layer
