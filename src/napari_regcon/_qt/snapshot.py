"""What a session file says about the dock as it is now.

Taken in the GUI thread and written elsewhere: it holds no layers, and labels that are never
changed in place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject

from napari_regcon._qt.layers import finest
from napari_regcon._qt.sources import paths_behind, place_of
from napari_regcon.data.fingerprint import type_name
from napari_regcon.session.saved import SessionImage, SessionState, settled
from napari_regcon.worker.protocol import Configure, EngineReady

if TYPE_CHECKING:
    from napari_regcon._qt.classes import Classes
    from napari_regcon._qt.jobs import EngineLink
    from napari_regcon._qt.workspace import ImageWork, Workspace


class Snapshot(QObject):
    """Takes sessions of a dock.

    Parameters
    ----------
    workspace : Workspace
        The images.
    classes : Classes
        The classes.
    link : EngineLink
        Tells what the engine computes on.
    parent : QObject, optional
        Owner.

    Attributes
    ----------
    model : Configure
        What is chosen in the model section.
    """

    def __init__(
        self,
        workspace: Workspace,
        classes: Classes,
        link: EngineLink,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.model = Configure()
        self._workspace = workspace
        self._classes = classes
        self._computed_on = ""
        link.event.connect(self._on_event)

    def of(self, work: ImageWork, *, with_others: bool = False) -> SessionState:
        """Return the session of an image.

        Parameters
        ----------
        work : ImageWork
            The image.
        with_others : bool
            Whether what is painted on other images goes along; the engine learns from it too.
        """
        works = [w for w in self._workspace.works() if w is work or (with_others and _counts(w))]
        state, model = work.state, self.model
        parameters, weights = settled(model.method, dict(model.parameters), model.weights or "")
        return SessionState(
            images=tuple(_image(w) for w in works),
            chosen=works.index(work),
            classes=tuple(self._classes.table),
            method=model.method,
            parameters=parameters,
            weights=weights,
            device=model.device,
            computed_on=self._computed_on,
            locked_slices=tuple(sorted(state.locks.slices)),
            locked_classes=tuple(sorted(state.locks.classes)),
            locked_pixels=state.locks.pixels(),
        )

    def _on_event(self, event: Any) -> None:
        if isinstance(event, EngineReady):
            self._computed_on = event.device


def _counts(work: ImageWork) -> bool:
    """Tell whether the engine learns from an image, once it is read."""
    return bool(work.state.fingerprint) and work.state.is_painted


def _image(work: ImageWork) -> SessionImage:
    state, layer = work.state, work.layer
    path = work.source.path if work.source is not None else next(iter(paths_behind(layer)), None)
    scale, units, translate = place_of(state.geometry, layer)
    return SessionImage(
        name=state.name,
        axes=state.geometry.axes,
        shape=state.geometry.volume_shape,
        dtype=type_name(finest(layer).dtype),
        fingerprint=state.fingerprint,
        path=str(path.absolute()) if path is not None else "",
        scale=scale,
        units=units,
        translate=translate,
        patches=dict(state.painted.items()),
        marks=tuple(state.marks),
    )
