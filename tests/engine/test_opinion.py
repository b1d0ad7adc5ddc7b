"""What the pixel head thinks around strokes: the same as it says when asked itself."""

import numpy as np
import pytest
from blob_task import blobs

from napari_regcon.data.stroke_split import StrokeSplit
from napari_regcon.data.support import SupportSet
from napari_regcon.engine import pixel_head
from napari_regcon.engine.balance import OF_FINISHED_PARTS, class_power
from napari_regcon.engine.opinion import FLOOR, PixelOpinion, log_prior
from napari_regcon.engine.pixel_head import PixelHead
from napari_regcon.engine.segmenter import run
from napari_regcon.types import Box, Volume


@pytest.fixture(scope="module")
def task():
    image, truth = blobs((2, 96, 700), seed=2)
    labels = np.zeros(truth.shape, np.uint8)
    for i, (y, x) in enumerate(np.argwhere(truth[0, :80, :80])[::150][:4]):
        labels[0, y : y + 4, x : x + 4] = truth[0, y : y + 4, x : x + 4] + 1
        labels[0, 94 - 2 * i, 5:30] = 1
    support = SupportSet(("background", "blob"))
    support.add(Volume(image, "ZYX"), labels)
    return image, support


def test_it_says_what_the_pixel_head_says(task):
    image, support = task
    strokes, _ = StrokeSplit().divide(support)
    learnt = [s for s in strokes if s.key != strokes[0].key]
    opinion = PixelOpinion(PixelHead(device="cpu"), 2, 20)
    run(opinion.learn(support, learnt, strokes[:1]))
    window = Box((10, 30), (60, 90))
    found = opinion(support.examples[0], window)
    head = PixelHead(device="cpu").fit(_without(support, strokes[0]))
    expected = head(image[0])[:, *window.slices]
    np.testing.assert_allclose(found, expected, atol=0.5 / 255 + 1e-6)


def test_parts_of_what_is_painted_count_classes_as_the_whole_does(monkeypatch):
    image, truth = blobs((40, 44), seed=2)
    support = SupportSet(("background", "blob"))
    support.add(Volume(image, "YX"), truth + np.uint8(1))  # to the last pixel, but not marked
    powers, fit = [], pixel_head.fit_classifier
    monkeypatch.setattr(
        pixel_head,
        "fit_classifier",
        lambda *rest, **more: powers.append(more["power"]) or fit(*rest, **more),
    )
    strokes, held = StrokeSplit().divide(support)
    opinion = PixelOpinion(PixelHead(device="cpu"), 2, 20)
    run(opinion.learn(support, [*strokes, *held][1:], strokes[:1]))
    assert powers == [class_power(support)] == [OF_FINISHED_PARTS]


def test_it_says_nothing_beyond_the_plane_and_far_from_strokes(task):
    _, support = task
    strokes, _ = StrokeSplit().divide(support)
    opinion = PixelOpinion(PixelHead(device="cpu"), 2, 20)
    assert not opinion(support.examples[0], Box((0, 0), (4, 4))).any()  # nothing learnt yet
    run(opinion.learn(support, strokes, strokes))
    found = opinion(support.examples[0], Box((-5, 0), (96, 700)))
    assert not found[:, :5].any()  # above the first row
    assert not found[:, :, -100:].any()  # tiles that no stroke comes near
    np.testing.assert_allclose(found[:, 5:, :100].sum(0), 1, atol=0.01)


def test_a_network_adds_to_logarithms_that_are_never_too_small():
    known = np.array([[1.0, 0.5, 0.0, 0.3], [0.0, 0.5, 0.0, 0.0]], np.float32)
    found = log_prior(known)
    np.testing.assert_allclose(found[:, 0], [0, np.log(FLOOR)], rtol=1e-6)
    np.testing.assert_allclose(found[:, 1], np.log([0.5, 0.5]), rtol=1e-6)
    assert not found[:, 2:].any()  # unknown, or at the border of what is known


def _without(support, stroke):
    labels = np.zeros(support.examples[0].volume.label_shape, np.uint8)
    example = support.examples[0]
    labels[0][example.box.slices[-2:]] = example.labels
    in_plane = stroke.box.shift(example.box.start[-2:])
    labels[0][in_plane.slices][stroke.mask] = 0
    rest = SupportSet(support.classes)
    rest.add(example.volume, labels, normalization=example.normalization)
    return rest
