"""Tasks for training in context: what is drawn fits together, can be seen, and comes again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_regcon.data import context_tasks
from napari_regcon.data.context_tasks import ContextConfig, ContextSource
from napari_regcon.data.drawn_tasks import drawn_task
from napari_regcon.data.source_planes import PlaneGroups, SourcePlane
from napari_regcon.data.tasks import binary_task
from napari_regcon.errors import InputError


def _plane(seed, kind):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:100, :130]
    cells = ((y // 25) * 6 + x // 22 + 1).astype(np.int32)
    classes = ((y - 50) ** 2 + (x - 60) ** 2 < 700).astype(np.int32) + 2 * (x > 110)
    image = (0.3 + 0.2 * classes + rng.normal(0, 0.05, y.shape)).astype(np.float32)
    labels = {"classes": classes, "cells": cells, "unlabelled": None}[kind]
    return SourcePlane(image, labels, kind == "cells", kind)


@pytest.fixture(scope="module")
def source():
    return ContextSource([_plane(i, k) for k in ("classes", "cells", "unlabelled") for i in (0, 1)])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_support=st.integers(1, 4), n_queries=st.integers(1, 2))
def test_a_task_is_images_over_0_to_1_with_something_to_look_for(
    source, seed, n_support, n_queries
):
    task = source.task(n_support, n_queries, 32, np.random.default_rng(seed))
    assert task.images.shape == task.labels.shape == (n_support + n_queries, 32, 32)
    assert task.images.dtype == task.labels.dtype == np.float32
    assert task.images.min() >= 0
    assert task.images.max() <= 1
    assert set(np.unique(task.labels)) == {0, 1}
    assert task.labels[:n_support].any()


def test_the_same_seed_draws_the_same_task(source):
    one, two = (source.task(2, 1, 32, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(one.images, two.images)
    np.testing.assert_array_equal(one.labels, two.labels)


def test_support_and_query_are_of_different_planes_where_there_are_several():
    # Each plane has its own grey, so a crop tells where it is from; colours are left alone.
    planes = [
        SourcePlane(np.full((64, 64), grey, np.float32), _plane(0, "classes").labels[:64, :64],
                    False, "group")
        for grey in (0.1, 0.5, 0.9)
    ]  # fmt: skip
    source = ContextSource(planes, ContextConfig(drawn_share=0, pseudo_share=0))
    for seed in range(20):
        images, _ = source._draw(2, 1, 16, np.random.default_rng(seed))
        assert np.round(images[2].mean(), 2) not in np.round(images[:2].mean((1, 2)), 2)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_drawn_tasks_are_finite_and_show_what_is_looked_for(seed):
    drawn = drawn_task(3, 32, np.random.default_rng(seed))
    if drawn is not None:
        images, labels = drawn
        assert images.shape == labels.shape == (3, 32, 32)
        assert images.dtype == np.float32
        assert labels.dtype == bool
        assert np.isfinite(images).all()
        assert labels[0].any()


def test_there_are_tasks_without_any_image():
    task = ContextSource([]).task(2, 1, 32, np.random.default_rng(0))
    assert task.labels.any()


def test_of_classes_some_are_looked_for_and_of_objects_insides_edges_or_both():
    rng = np.random.default_rng(0)
    labels = np.array([[0, 1, 2], [2, 1, 0]])
    for _ in range(20):
        rule, shown = binary_task(np.array([0, 1, 2]), rng, instances=False)
        np.testing.assert_array_equal(rule(labels), np.isin(labels, shown))
        assert 1 <= len(shown) < 3
    objects = np.zeros((20, 20), np.int64)
    objects[2:9, 2:9], objects[9:17, 2:9] = 1, 2
    found = set()
    for _ in range(60):
        rule, shown = binary_task(np.array([0, 1, 2]), rng, instances=True)
        assert shown == ()
        found.add((bool(rule(objects)[5, 5]), bool(rule(objects)[9, 5]), bool(rule(objects)[0, 0])))
    # Inside, on the border of two, outside: objects; edges; insides; all but objects' insides.
    assert {(True, True, False), (False, True, False), (True, False, False)} <= found


def test_a_plane_at_half_its_size_shows_the_same():
    plane = _plane(0, "classes")
    half = plane.half
    assert half.image.shape == (50, 65)
    smooth = ndimage.uniform_filter(plane.image, 2, origin=-1)[:100:2, :130:2]
    np.testing.assert_allclose(half.image, smooth, atol=1e-6)
    np.testing.assert_array_equal(half.labels, plane.labels[::2, ::2])
    assert SourcePlane(plane.image[:20], None, False, "thin").half is None


def test_shares_say_how_often_a_family_is_drawn():
    planes = [
        SourcePlane(np.zeros((4, 4), np.float32), None, False, g) for g in ["a", "a", "b/1", "b/2"]
    ]
    groups = PlaneGroups(planes, {"b": 3})
    rng = np.random.default_rng(0)
    drawn = [groups.draw(rng)[0].group for _ in range(400)]
    assert 0.15 < drawn.count("a") / 400 < 0.35
    assert abs(drawn.count("b/1") - drawn.count("b/2")) < 80


def test_a_zoom_the_wrong_way_round_is_refused():
    with pytest.raises(InputError, match="smaller of the two first"):
        ContextConfig(zoom=(3.0, 1.0))


def test_images_that_show_nothing_end_in_words(monkeypatch):
    monkeypatch.setattr(context_tasks, "MOST_TRIES", 20)
    labels = np.zeros((64, 64), np.int64)
    labels[30, 30] = 1  # too small to be seen in any crop
    plane = SourcePlane(np.zeros((64, 64), np.float32), labels, False, "blank")
    source = ContextSource([plane], ContextConfig(drawn_share=0.0, pseudo_share=0.0))
    with pytest.raises(InputError, match="show too little"):
        source.task(1, 1, 256, np.random.default_rng(0))
