"""How networks in training are judged by the shape of objects, besides strokes kept back."""

import numpy as np
import pytest
from blob_task import blobs, strokes, support_of

from napari_regcon.config import FinetuneConfig
from napari_regcon.data.support import SupportSet
from napari_regcon.engine.finetune import FineTuning, finetune
from napari_regcon.engine.finetune_events import FinetuneCheck
from napari_regcon.engine.opinion import only
from napari_regcon.engine.pixel_head import PixelHead
from napari_regcon.engine.segmenter import run
from napari_regcon.errors import InputError
from napari_regcon.types import Box, Volume

QUICK = {"steps": 4, "crop_px": 64, "crops_per_step": 2, "width": 4, "levels": 2, "check_every": 2}


def finished(n):
    """Return a support set of a finished part of a plane with n square blobs."""
    truth = np.zeros((160, 160), np.uint8)
    for i in range(n):
        y, x = 6 + 25 * (i // 6), 6 + 25 * (i % 6)
        truth[y : y + 10, x : x + 10] = 1
    image = (60 + 120 * truth).astype(np.uint8)
    support = SupportSet(("background", "blob"))
    labels = np.where(truth, 2, 0).astype(np.uint8)
    support.add(Volume(image, "YX"), labels, complete=[Box((0, 0), (160, 160))])
    return support


def test_shape_counts_where_enough_objects_are_finished():
    config = FinetuneConfig(**QUICK, compact=" blob ")
    tuning = FineTuning(finished(24), config, device="cpu")
    checks = [e for e in finetune(tuning) if isinstance(e, FinetuneCheck)]
    assert [e.step for e in checks] == [2, 4]
    for event in checks:
        assert event.dice == {}  # one finished part is all learnt from
        assert set(event.solidity) == {"blob"}
        assert 0 <= event.solidity["blob"] <= 1
        assert event.score == -event.solidity["blob"]
    assert tuning.best.score == max(e.score for e in checks)


@pytest.mark.parametrize(
    ("compact", "message"),
    [("blob", "fewer than 20 finished objects of 'blob'"), ("blob, cell", "names 'cell'")],
)
def test_what_cannot_be_judged_by_shape_is_refused_before_work_starts(compact, message):
    n = 19 if compact == "blob" else 24
    with pytest.raises(InputError, match=message):
        FineTuning(finished(n), FinetuneConfig(**QUICK, compact=compact), device="cpu")


def test_the_one_to_beat_is_the_pixel_classifier_as_it_is_by_default():
    image, truth = blobs((120, 140))
    labels = strokes(truth)
    labels[60:] = 0
    support = support_of(image, labels, "YX")
    tuning = FineTuning(support, FinetuneConfig(**QUICK), device="cpu")
    run(tuning.ask_pixel_head())
    learnt = tuning._strokes[0]
    (example,) = support.examples
    expected = PixelHead(device="cpu").fit(only(support, learnt))(image)
    assert all(crop.opinion.any() for crop in tuning._judge._held)
    window = Box((0, 0), image.shape)
    found = tuning._bases.judged(example, window)
    known = found.any(0)
    assert known.any()
    np.testing.assert_allclose(found[:, known], expected[:, known], atol=3e-3)


def test_events_say_whether_a_network_may_take_over():
    better = FinetuneCheck(1, {"a": 0.8, "b": 0.6}, True, {"a": 0.7, "b": 0.6}, 3)
    assert better.mean_dice == pytest.approx(0.7)
    assert better.mean_rival == pytest.approx(0.65)
    assert better.may_take_over
    assert not FinetuneCheck(1, {"a": 0.8}, True, {"a": 0.7}, 2).may_take_over
    assert not FinetuneCheck(1, {"a": 0.7}, True, {"a": 0.7}, 9).may_take_over
    assert not FinetuneCheck(1, {"a": 0.7}, True, n_held=9).may_take_over
