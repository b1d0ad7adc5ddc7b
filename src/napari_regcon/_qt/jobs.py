"""The engine process as seen from Qt: requests go out, events arrive in the GUI thread.

What the engine only has to know (its settings, the classes, the images) waits until there is
work for it, so that a dock that is merely open costs no process. Nothing here knows what a
request is for. Who asked keeps the generation number and picks the answers to it out of
:attr:`EngineLink.event`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from qtpy.QtCore import QObject, Signal

from napari_regcon.errors import EngineError
from napari_regcon.worker.protocol import (
    ClearCache,
    CloseImage,
    Configure,
    EngineDied,
    Job,
    OpenImage,
    Paint,
    SetClasses,
    UseCache,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_regcon.worker.protocol import EngineEvent, Request

_WORK = Paint | Job | ClearCache
"""What the engine is started for."""


class Client(Protocol):
    """What is needed of :class:`napari_regcon.worker.client.EngineClient`."""

    def send(self, request: Request) -> None:
        """Queue a request and return at once."""
        ...

    def next_generation(self) -> int:
        """Return a number that no request has carried yet."""
        ...

    def cancel(self, generation: int) -> None:
        """Stop the work of a generation."""
        ...

    def close(self) -> None:
        """End the engine."""
        ...


class EngineLink(QObject):
    """Hands requests to the engine and its events to the GUI thread.

    Parameters
    ----------
    make_client : callable
        Makes a client, given what to call with every event.
    parent : QObject, optional
        Owner.

    Attributes
    ----------
    event : Signal
        Every event of the engine, in the GUI thread.
    starting : Signal
        The engine process is being started; the next event says how that ended.
    """

    event = Signal(object)
    starting = Signal()
    _arrived = Signal(object)

    def __init__(
        self,
        make_client: Callable[[Callable[[EngineEvent], None]], Client],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._closed = False
        self._awake = False
        self._is_up = False
        self._held: list[Request] = []
        self._arrived.connect(self._deliver)  # queued, as it is emitted in another thread
        self._client = make_client(self._arrived.emit)

    def send(self, request: Request) -> None:
        """Queue a request and return at once; ignored once the window closes."""
        if self._closed:
            return
        self._held = [held for held in self._held if not _replaces(request, held)]
        self._held.append(request)
        if isinstance(request, _WORK):
            self.wake()
        elif self._awake:
            self._pass_on()

    def wake(self) -> None:
        """Start the engine with everything it has to know, if it was not needed yet."""
        self._awake = True
        self._pass_on()

    def next_generation(self) -> int:
        """Return a number that no request has carried yet."""
        return self._client.next_generation()

    def cancel(self, generation: int) -> None:
        """Stop the work of a generation."""
        if not self._closed:
            self._client.cancel(generation)

    def close(self) -> None:
        """End the engine; nothing arrives afterwards."""
        if not self._closed:
            self._closed = True
            self._client.close()

    def _pass_on(self) -> None:
        held, self._held = self._held, []
        if not self._is_up and any(not isinstance(request, CloseImage) for request in held):
            self._is_up = True
            self.starting.emit()
        try:
            for request in held:
                self._client.send(request)
        except EngineError as error:
            self._arrived.emit(EngineDied(str(error)))

    def _deliver(self, event: EngineEvent) -> None:
        if not self._closed:
            self._is_up = not isinstance(event, EngineDied)
            self.event.emit(event)


def _replaces(new: Request, old: Request) -> bool:
    """Tell whether a waiting request is of no use any more because of a newer one."""
    match new, old:
        case (Configure(), Configure()) | (SetClasses(), SetClasses()) | (UseCache(), UseCache()):
            return True
        case CloseImage(), OpenImage():
            return new.image_id == old.image_id
    return False
