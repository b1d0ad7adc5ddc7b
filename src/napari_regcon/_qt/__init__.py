"""Dock widgets. The only package that imports napari and Qt, and it never imports torch."""
