"""A session with something of everything."""

from __future__ import annotations

import numpy as np
import pytest

from napari_regcon.session.classes import LabelClass
from napari_regcon.session.marks import Mark
from napari_regcon.session.painted import Patch
from napari_regcon.session.saved import SessionImage, SessionState
from napari_regcon.types import Box


@pytest.fixture
def state():
    rng = np.random.default_rng(0)
    cells = SessionImage(
        name="cells",
        axes="ZYXC",
        shape=(5, 30, 40, 2),
        dtype="uint16",
        fingerprint="abc",
        path="/data/cells µ.tif",
        scale=(40.0, 4.1, 4.1, 1.0),
        units=("nanometer", "nanometer", "nanometer", "pixel"),
        translate=(0.0, 1e-3, -7.0, 0.0),
        patches={
            (0,): Patch((3, 4), rng.integers(0, 3, (6, 7), dtype=np.uint8)),
            (4,): Patch((0, 0), np.ones((30, 40), dtype=np.uint8)),
        },
        marks=(
            Mark((4,), Box((0, 0), (30, 40)), whole=True),
            Mark((1,), Box((2, 3), (10, 12)), whole=False),
        ),
    )
    other = SessionImage(
        "other", "YX", (9, 8), patches={(): Patch((1, 1), np.full((2, 3), 4, np.uint8))}
    )
    return SessionState(
        images=(other, cells),
        chosen=1,
        classes=(LabelClass(1, "background", "#112233"), LabelClass(4, "Mito µ", "#abcdef")),
        method="in-context",
        parameters={"tile_px": 128, "seed": 7, "sigma": 0.1},
        weights="universeg-v1",
        weights_sha256="0123",
        device="cpu",
        computed_on="CPU, 2 threads",
        locked_slices=((2,),),
        locked_classes=(4,),
        locked_pixels={(3,): Patch((1, 2), np.eye(5, dtype=np.uint8))},
    )
