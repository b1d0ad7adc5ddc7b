"""Show the demo's files in napari: ``python -m napari_regcon._qt.show FOLDER``.

A process of its own, because the command line never imports napari.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import napari
import numpy as np

from napari_regcon._qt.layers import label_colormap
from napari_regcon.data.volumes import open_volume
from napari_regcon.session.classes import PALETTE

if TYPE_CHECKING:
    from napari_regcon.types import Volume

LABELS = {"truth": False, "result": True, "strokes": True}
"""Label files of the demo, bottom layer first, and whether they are shown at once."""


def add_demo(viewer: napari.Viewer, folder: Path) -> None:
    """Add the image and the label files of a demo folder as layers.

    Parameters
    ----------
    viewer : napari.Viewer
        Where to.
    folder : pathlib.Path
        What ``napari-regcon demo --out`` wrote.
    """
    image = open_volume(folder / "image.tif")
    viewer.add_image(image.data, **_place(image))
    colors = dict(enumerate(PALETTE, start=1))
    for name, shown in LABELS.items():
        labels = open_volume(folder / f"{name}.tif", name=name)
        hidden = None if name == "strokes" else 1
        viewer.add_labels(
            np.asarray(labels.data),
            colormap=label_colormap(colors, hidden),
            visible=shown,
            opacity=1.0 if name == "strokes" else 0.5,
            **_place(labels),
        )
    viewer.dims.set_current_step(0, image.data.shape[0] // 4)


def _place(volume: Volume) -> dict[str, object]:
    return {
        "name": volume.name,
        "scale": volume.scale,
        "units": volume.units,
        "axis_labels": tuple(volume.axes.lower()),
    }


def main() -> None:
    """Open a window with the folder named on the command line."""
    viewer = napari.Viewer()
    add_demo(viewer, Path(sys.argv[1]))
    viewer.window.add_plugin_dock_widget("napari-regcon", "Regcon")
    napari.run()


if __name__ == "__main__":
    main()
