"""An electron-microscopy phantom: a volume that looks like neuropil, with its exact truth.

It is the demo's default image and napari's sample data, and it can be drawn in many kinds to
train on. Nothing in it comes from a real recording.
"""

from napari_regcon.data.phantom.config import PhantomConfig
from napari_regcon.data.phantom.make import CLASSES, Phantom, make_phantom

__all__ = ["CLASSES", "Phantom", "PhantomConfig", "make_phantom"]
