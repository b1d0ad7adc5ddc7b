"""The ``napari-regcon`` command, one file a command."""
