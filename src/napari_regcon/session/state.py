"""All that a session knows about one image, apart from its pixels and layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_regcon.session.corrections import Corrections
from napari_regcon.session.history import Edit, History
from napari_regcon.session.locks import Locks
from napari_regcon.session.marks import CompleteMarks
from napari_regcon.session.painted import PaintedPlanes
from napari_regcon.session.predictions import PredictionBook

if TYPE_CHECKING:
    from napari_regcon.session.geometry import Geometry


class ImageState:
    """What was painted, marked, predicted, locked and edited on one image.

    Parameters
    ----------
    image_id : str
        Unique among the images of a session; a new one whenever the pixels are replaced.
    name : str
        What to call the image in messages.
    geometry : Geometry
        Its axes.
    """

    def __init__(self, image_id: str, name: str, geometry: Geometry) -> None:
        self.image_id = image_id
        self.name = name
        self.geometry = geometry
        self.fingerprint = ""
        self.marks = CompleteMarks(geometry.label_shape)
        self.painted = PaintedPlanes(self.marks)
        self.predictions = PredictionBook(geometry.label_shape)
        self.locks = Locks()
        self.history: History[Edit] = History()
        self.corrections = Corrections()

    @property
    def is_painted(self) -> bool:
        """Whether anything is painted or marked as complete."""
        return bool(self.painted.items()) or bool(len(self.marks))

    def missing_labels(self, background: int | None) -> str:
        """Say what has to be painted before anything can be segmented, or nothing.

        Parameters
        ----------
        background : int or None
            Label value of what is unpainted in complete parts.
        """
        said = set(self.painted.counts())
        if len(self.marks):
            said |= {background or 0}
        if len(said - {0}) >= 2:
            return ""
        first = "Paint a second class" if said else "Paint a stroke of each of two classes"
        return f"{first}, and the slice is segmented."
