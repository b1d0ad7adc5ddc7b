"""The in-context weights that ship: of use without a download."""

from blob_task import blobs, dice, support_of

from napari_regcon.config import InContextConfig
from napari_regcon.engine.registry import load_segmenter


def test_they_are_what_the_method_takes():
    assert InContextConfig().default_weights == "universeg-em-light"


def test_one_labelled_image_is_enough_to_find_the_like_in_another():
    image, truth = blobs((128, 128), seed=1)
    segmenter = load_segmenter("in-context", support_size=4, choose_from=0, device="cpu")
    support = support_of(image, truth + 1, "YX")
    other, wanted = blobs((128, 128), seed=2)
    assert dice(segmenter.fit(support)(other)[1] > 0.5, wanted > 0) > 0.7
