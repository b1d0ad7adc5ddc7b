"""Keys for frequent acts, chosen so that they take none of napari's own.

They hold while the canvas or the dock has the focus. The docs list them in
``docs/how-to/shortcuts.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

CLASS_KEYS = tuple(f"Control-{n}" for n in range(1, 10))
KEYS = {
    "toggle_live": "Control-L",
    "toggle_prediction": "Control-D",
    "segment_slice": "Control-Enter",
    "accept_slice": "Control-Shift-Enter",
    "accept_object": "Control-Shift-A",
    "lock_object": "Control-Shift-L",
    "where_next": "Control-J",
}


class Shortcuts:
    """Binds keys to a viewer, and unbinds them.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer
        self._bound: list[str] = []

    def bind(self, key: str, action: Callable[[], object]) -> None:
        """Call an action when a key is pressed."""

        def call(_viewer: Any) -> None:
            action()

        self._viewer.bind_key(key, call, overwrite=True)
        self._bound.append(key)

    def close(self) -> None:
        """Give all keys back."""
        for key in self._bound:
            self._viewer.bind_key(key, None)
        self._bound.clear()
