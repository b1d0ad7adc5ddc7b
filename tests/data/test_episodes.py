"""Episodes and view pairs: what is drawn fits together and is drawn again from the same seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_regcon.data.episodes import EpisodeConfig, EpisodeSource
from napari_regcon.data.source_planes import SourcePlane

SIZE = 48


def _planes():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:120, :150]
    cells = ((y // 30) * 5 + x // 30 + 1).astype(np.int32)
    classes = ((y - 60) ** 2 + (x - 75) ** 2 < 900).astype(np.int32)
    smooth = (np.sin(y / 9) + np.cos(x / 7)) / 4 + 0.5
    noisy = (smooth + rng.normal(0, 0.05, y.shape)).astype(np.float32)
    return [
        SourcePlane(noisy + classes * 0.2, classes, False, "classes"),
        SourcePlane(noisy, cells, True, "cells"),
        SourcePlane(noisy, None, False, "unlabelled"),
    ]


@pytest.fixture(scope="module")
def source():
    return EpisodeSource(_planes(), EpisodeConfig(crop_px=SIZE))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_class_of_an_episode_is_painted_on_the_first_crop_only(source, seed):
    episode = source.episode(np.random.default_rng(seed))
    assert episode.images.shape == episode.labels.shape == (2, SIZE, SIZE)
    assert episode.images.dtype == np.float32
    assert np.isfinite(episode.images).all()
    painted = np.unique(episode.labels[0][episode.strokes[0]])
    assert painted.tolist() == list(range(episode.classes))
    assert not episode.strokes[1].any()
    assert episode.labels.min() >= -1
    assert episode.labels.max() < episode.classes


def test_the_same_seed_draws_the_same_episode(source):
    first, second = (source.episode(np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first.images, second.images)
    np.testing.assert_array_equal(first.strokes, second.strokes)


def test_the_grid_of_a_view_pair_maps_the_first_view_onto_the_second():
    y, x = np.mgrid[:200, :200]
    smooth = ((np.sin(y / 11) + np.cos(x / 13)) / 4 + 0.5).astype(np.float32)
    plane = SourcePlane(smooth, None, False, "smooth")
    source = EpisodeSource([plane], EpisodeConfig(crop_px=SIZE, zoom=(0.9, 1.1)))
    right, wrong = [], []
    for seed in range(30):
        pair = source.view_pair(np.random.default_rng(seed))
        visible = (np.abs(pair.grid) < 0.95).all(-1)
        assert visible.mean() > 0.2
        for grid, found in ((pair.grid, right), (-pair.grid, wrong)):
            warped = torch.nn.functional.grid_sample(
                torch.from_numpy(pair.images[:1])[None],
                torch.from_numpy(grid)[None],
                align_corners=False,
            )
            both = warped[0, 0].numpy()[visible], pair.images[1][visible]
            found.append(abs(np.corrcoef(*both)[0, 1]))
    # Intensities differ on purpose (gamma, inversion, noise), the geometry must not.
    assert np.median(right) > 0.8
    assert np.median(wrong) < 0.5
