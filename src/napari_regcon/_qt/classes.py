"""The classes of a dock: named, coloured, and known to the engine and to every label layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_regcon.errors import InputError
from napari_regcon.session.classes import ClassTable, LabelClass
from napari_regcon.worker.protocol import SetClasses

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_regcon._qt.jobs import EngineLink

MOST_NEW_CLASSES = 20
"""A layer with more unknown values than this holds numbered objects, not classes."""


class Classes(QObject):
    """The class table, with a signal for whoever shows or uses it.

    Parameters
    ----------
    link : EngineLink
        Is told the names.
    parent : QObject, optional
        Owner.

    Attributes
    ----------
    table : ClassTable
        The classes.
    changed : Signal
        Names, colours or number of classes are others.
    refused : Signal
        str: why something cannot be done.
    """

    changed = Signal()
    refused = Signal(str)

    def __init__(self, link: EngineLink, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.table = ClassTable()
        self._link = link
        self._sent: tuple[str, ...] = ()
        self._publish()

    def add(self) -> LabelClass | None:
        """Add a class; None, after :attr:`refused`, if there are too many."""
        try:
            item = self.table.add()
        except InputError as error:
            self.refused.emit(str(error))
            return None
        self._publish()
        return item

    def rename(self, value: int, name: str) -> None:
        """Give a class another name; the old one stays where the new one cannot be used."""
        try:
            self.table.rename(value, name)
        except InputError as error:
            self.refused.emit(str(error))
        self._publish()

    def recolor(self, value: int, color: str) -> None:
        """Give a class another colour, ``"#rrggbb"``."""
        self.table.recolor(value, color)
        self._publish()

    def remove(self, value: int, painted_px: int) -> None:
        """Remove a class, unless pixels are painted with it."""
        if painted_px:
            self.refused.emit(
                f"{painted_px} pixels are painted as {self.table[value].name!r}. "
                "Erase them first, then remove the class."
            )
            return
        try:
            self.table.remove(value)
        except InputError as error:
            self.refused.emit(str(error))
            return
        self._publish()

    def ensure(self, values: Iterable[int], where: str) -> bool:
        """Make a class for each label value that has none.

        Returns
        -------
        bool
            False, after :attr:`refused`, if there are so many that they are no classes.
        """
        unknown = sorted(v for v in values if v not in self.table)
        if len(unknown) > MOST_NEW_CLASSES:
            self.refused.emit(
                f"{where!r} holds {len(unknown)} values that are no classes: it seems to number "
                "single objects. Choose another layer, or give all objects of a kind the same "
                "value."
            )
            return False
        for value in unknown:
            self.table.add(value=value)
        if unknown:
            self._publish()
        return True

    def restore(self, classes: Iterable[LabelClass]) -> None:
        """Take the classes of a saved session."""
        self.table = ClassTable(classes)
        self._publish()

    def _publish(self) -> None:
        names = self.table.engine_names()
        if names != self._sent:
            self._sent = names
            self._link.send(SetClasses(names))
        self.changed.emit()
