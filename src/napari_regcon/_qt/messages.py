"""Takes what the parts behind the dock say in words to where the user reads it.

What they show without words is the presenter's.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_regcon._qt.core import DockCore
    from napari_regcon._qt.panels import Panels
    from napari_regcon._qt.status import Status


def carry_messages(core: DockCore, panels: Panels, status: Status) -> None:
    """Connect refusals, notes and results with the sections, and failures with the top line."""
    for fails, activity in (
        (core.workspace, "open"),
        (core.autosave, "autosave"),
        (core.live, "preview"),
        (core.volume, "volume"),
        (core.sessions, "session"),
        (core.regions, "regions"),
        (core.filling, "filling"),
    ):
        fails.failed.connect(partial(status.fail, activity))
    core.workspace.failed.connect(panels.image.show_trouble)
    core.workspace.opened.connect(lambda _work: status.end("open"))
    for refuses in (core.classes, core.labelling, core.marking):
        refuses.refused.connect(panels.labels.show_trouble)
    core.live.progressed.connect(partial(status.begin, "preview"))
    for busy, begin, activity, text in (
        (core.live.busy, status.begin_soon, "preview", "Updating the preview …"),
        (core.regions.busy, status.begin_soon, "regions", "Finding regions …"),
        (core.filling.busy, status.begin, "filling", "Filling the slice from its strokes …"),
    ):
        busy.connect(partial(_show, begin, status.end, activity, text))
    core.comparison.said.connect(panels.model.compare.say)
    core.filling.noted.connect(panels.labels.filling.say)
    core.region_brush.noted.connect(panels.regions.say)
    core.volume.noted.connect(panels.segment.say)
    core.locking.noted.connect(panels.correct.say)
    core.correction.noted.connect(panels.correct.say)
    core.handwork.noted.connect(panels.correct.say)
    core.correction.failed.connect(panels.correct.say)
    core.guide.progressed.connect(partial(status.begin, "guide"))
    core.guide.ended.connect(lambda _reason: status.end("guide"))
    core.guide.ended.connect(panels.correct.say)
    core.guide.found.connect(lambda place: panels.correct.say(place.reason()))
    core.saving.saved.connect(lambda path: panels.export.show_result(f"Saved {path}"))
    core.saving.failed.connect(panels.export.show_result)
    core.sessions.saved.connect(panels.session.show_saved)


def _show(
    begin: Callable[[str, str], None],
    end: Callable[[str], None],
    activity: str,
    text: str,
    busy: bool,
) -> None:
    if busy:
        begin(activity, text)
    else:
        end(activity)
