"""Shows what the engine says of itself: that it starts, what it computes on, what it keeps.

What it says about a job is shown by whoever asked for the job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject

from napari_regcon.engine.feature_folder import FeatureFolder
from napari_regcon.types import Note
from napari_regcon.worker.protocol import CacheUse, EngineDied, EngineReady, JobFailed, JobNote

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_regcon._qt.core import DockCore
    from napari_regcon._qt.panels import Panels
    from napari_regcon._qt.status import Status


class EngineReport(QObject):
    """Takes the engine's words to the line at the top and to the sections.

    Parameters
    ----------
    core : DockCore
        Has the link to the engine.
    panels : Panels
        Where device, cache and notes are shown.
    status : Status
        The line at the top.
    parent : QObject, optional
        Owner.
    """

    def __init__(
        self, core: DockCore, panels: Panels, status: Status, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._core = core
        self._panels = panels
        self._status = status
        self._use = CacheUse(0, 0)
        core.link.starting.connect(self._on_starting)
        core.link.event.connect(self._on_event)
        self._show_cache()

    def _show_cache(self) -> None:
        """Show what earlier sessions left in the feature cache, before the engine starts."""
        chosen = self._core.cache
        folder, panel = FeatureFolder(chosen.folder, chosen.disk_bytes), self._panels.model
        panel.show_cache_place(folder.path, chosen.memory_bytes, chosen.disk_bytes)
        self._core.background.start(
            _count(folder), done=lambda on_disk: self._show_use(CacheUse(0, on_disk))
        )

    def _show_use(self, use: CacheUse) -> None:
        self._use = use
        self._panels.model.show_cache(use)

    def _on_starting(self) -> None:
        """Show that the engine is on its way, and that nobody has to wait for it."""
        self._status.forget_failure("engine")
        self._status.begin("start", "Starting the engine … You can paint meanwhile.")

    def _on_event(self, event: Any) -> None:
        if not isinstance(event, CacheUse):  # told before the device is ready
            self._status.end("start")
        match event:
            case EngineReady():
                self._status.device(event.device, event.reason)
                self._panels.model.show_device(event.device, event.reason)
            case EngineDied():  # and its memory has gone with it
                self._show_use(CacheUse(0, self._use.disk_bytes))
                self._status.fail("engine", event.message)
            case CacheUse():
                self._show_use(event)
            case JobFailed(generation=None):
                self._status.fail("engine", event.message)
            case JobNote(generation=None, note=Note(text=text)):
                self._panels.segment.say(text)


def _count(folder: FeatureFolder) -> Generator[None, None, int]:
    yield
    return folder.count()
