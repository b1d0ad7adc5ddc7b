"""Finished parts of a long benchmark, one JSON line each, so that it can go on later."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path


class Store:
    """Rows of finished parts, kept in a file.

    Parameters
    ----------
    path : pathlib.Path
        The file; made when the first part is added.
    version_of : callable
        The version of a method now. Parts measured with another one are measured again.
    """

    def __init__(self, path: Path, version_of: Callable[[str], str]) -> None:
        self._path = path
        self._version_of = version_of
        self._parts: dict[str, list[dict[str, Any]]] = {}
        if path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                part = json.loads(line)
                if part["commit"] == version_of(part["method"]):
                    self._parts[part["key"]] = part["rows"]

    def has(self, key: str) -> bool:
        """Whether a part is finished."""
        return key in self._parts

    def add(self, key: str, method: str, rows: list[dict[str, Any]]) -> None:
        """Keep the rows of a finished part, which a method made."""
        self._parts[key] = rows
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            commit = self._version_of(method)
            part = {"key": key, "method": method, "commit": commit, "rows": rows}
            file.write(json.dumps(part) + "\n")

    def last_line(self) -> str:
        """Return the rows of the newest part in short."""
        rows = next(reversed(self._parts.values()), [])
        return ", ".join(f"{r['class']} {r['budget']}: {r['dice']:.3f}" for r in rows)

    def rows(self, keys: Iterable[str]) -> list[dict[str, Any]]:
        """Return the rows of some finished parts."""
        return [row for key in keys for row in self._parts[key]]
