"""Python imports this by itself at start-up: engines of some tests get fake methods."""

import os
import sys

if os.environ.get("FAKE_ENGINE") == "broken":
    # As where a library of the system is missing.
    sys.modules["napari_regcon.worker.loop"] = None
elif os.environ.get("FAKE_ENGINE") == "methods":
    import fake_methods

    fake_methods.install()
