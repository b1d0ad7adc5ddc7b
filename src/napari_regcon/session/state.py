"""All that a session knows about one image, apart from its pixels and layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_regcon.session.history import History
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
        self.history = History()
