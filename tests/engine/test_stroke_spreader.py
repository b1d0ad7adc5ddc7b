"""Strokes made into fully labelled planes: arrays, volumes, support sets."""

import numpy as np
import pytest
from blob_task import blobs, strokes

import napari_regcon as rc
from napari_regcon.engine.registry import load_segmenter
from napari_regcon.errors import InputError
from napari_regcon.types import Box, Finished, Volume


@pytest.fixture(scope="module")
def task():
    """Two slices of squares in noise, with strokes on the second one."""
    image, truth = blobs((2, 64, 72))
    labels = np.where(strokes(truth, 0.03) > 0, 5 * truth.astype(int) + 2, 0)
    labels[0] = 0
    return image, truth, labels


@pytest.fixture(scope="module")
def filled(task):
    image, _, labels = task
    return rc.spread(image, labels.astype(np.int16))


def test_slices_with_strokes_are_filled_in_the_users_own_values(task, filled):
    _image, truth, labels = task
    assert filled.dtype == np.int16
    assert not filled[0].any()
    assert set(np.unique(filled[1])) == {2, 7}
    said = labels[1] > 0
    np.testing.assert_array_equal(filled[1][said], labels[1][said])
    assert (filled[1] == 5 * truth[1] + 2).mean() > 0.97


def test_a_file_holds_the_same(task, filled, tmp_path):
    image, _, labels = task
    volume = Volume(image, "ZYX")
    support = rc.SupportSet(["ground", "blob"])
    support.add(volume, np.select([labels == 2, labels == 7], [1, 2]))
    out = tmp_path / "filled.zarr"
    *_, last = rc.spread_volume(volume, support, out, class_values=[2, 7])
    assert isinstance(last, Finished)
    np.testing.assert_array_equal(np.asarray(rc.open_volume(out).data), filled)
    with pytest.raises(InputError, match="exists already"):
        rc.spread_volume(volume, support, out)


def test_a_support_set_becomes_complete(task):
    image, _truth, labels = task
    support = rc.SupportSet(["background", "blob"])
    said = np.select([labels == 2, labels == 7], [1, 2]).astype(np.uint8)
    box = Box((1, 0, 0), (2, 20, 20))
    support.add(Volume(image, "ZYX"), said, complete=[box])
    assert len(support.examples) == 2
    whole = rc.spread_support(support)
    (example,) = whole.examples
    assert example.complete
    assert example.labels.all()
    assert example.labels.shape == (64, 72)
    inside = np.where(said[box.slices][0] > 0, said[box.slices][0], 1)
    np.testing.assert_array_equal(example.labels[:20, :20], inside)


def test_it_is_a_segmenter_like_others(task):
    image, _truth, labels = task
    support = rc.SupportSet(["ground", "blob"])
    support.add(Volume(image, "ZYX"), np.select([labels == 2, labels == 7], [1, 2]))
    predictor = load_segmenter("spread").fit(support)
    view = support.examples[0].view(2)
    whole = predictor.predict_tile(view, view.box)
    np.testing.assert_array_equal(whole.sum(axis=0), 1)
    box = Box((10, 20), (50, 60))
    (part,) = [p for p in predictor.predict_parts(view, box, [view.box]) if p is not None]
    assert part[0] == box
    np.testing.assert_array_equal(part[1], whole[:, *box.slices])
    found = predictor.out_of_sight().predict_tile(view, view.box)
    np.testing.assert_array_equal(found, whole)


def test_what_cannot_be_used_is_refused(task):
    image, _, labels = task
    with pytest.raises(InputError, match="two"):
        rc.spread(image, np.where(labels == 2, 2, 0))
    with pytest.raises(InputError, match="Nothing is painted"):
        rc.spread(image, np.zeros_like(labels))
    with pytest.raises(InputError, match="shape"):
        rc.spread(image, labels[:, 1:])
    with pytest.raises(InputError, match="axes"):
        rc.spread(image[0, 0], labels[0, 0])
