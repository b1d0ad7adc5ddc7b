import subprocess
import sys

import numpy as np

from napari_regcon.data.samples import phantom_em


def test_the_sample_is_an_image_and_its_hidden_truth_in_the_same_place():
    (image, image_as, image_kind), (truth, truth_as, truth_kind) = phantom_em((2, 32, 32))
    assert (image_kind, truth_kind) == ("image", "labels")
    assert image.shape == truth.shape
    assert not truth_as["visible"]
    assert truth_as["metadata"]["classes"][0] == "background"
    for key in ("scale", "units", "translate", "axis_labels"):
        assert image_as[key] == truth_as[key]
        assert len(image_as[key]) == image.ndim
    assert np.issubdtype(truth.dtype, np.integer)


def test_making_it_imports_neither_napari_nor_torch():
    code = (
        "import sys; from napari_regcon.data.samples import phantom_em; phantom_em((1, 16, 16)); "
        "print([m for m in ('napari', 'torch', 'qtpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
