"""Arrays and files: reading, normalising, tiling, annotating, sampling and exporting.

Nothing in this package imports torch, napari or Qt.
"""
