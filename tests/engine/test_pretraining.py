"""Pre-training as a library: which losses it computes, what it begins with, what it shows."""

import itertools

import numpy as np
import pytest
import torch

from napari_regcon.config import PretrainConfig
from napari_regcon.data.episodes import EpisodeConfig, EpisodeSource
from napari_regcon.data.normalize import estimate_normalization
from napari_regcon.data.windows import image_windows
from napari_regcon.engine.pretrain import pretrain
from napari_regcon.engine.pretrain_events import CheckpointWritten, PretrainLook, PretrainStep
from napari_regcon.engine.pretraining import LOOK_PX, Pretraining, fitting
from napari_regcon.errors import InputError
from napari_regcon.types import Volume

SMALL = {"embedding": 4, "regions": 4, "width": 4, "levels": 2}
QUICK = SMALL | {"steps": 3, "episodes_per_step": 1, "views_per_step": 1}
NO_REGIONS = {"grey_weight": 0.0, "semantic_weight": 0.0, "usage_weight": 0.0}


@pytest.fixture(scope="module")
def source():
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 200, (2, 12, 12)).repeat(8, 1).repeat(8, 2)
    volume = Volume((blocks + rng.integers(0, 50, blocks.shape)).astype(np.uint8), "ZYX")
    planes = list(image_windows([(volume, estimate_normalization(volume))]))
    return EpisodeSource(planes, EpisodeConfig(crop_px=32, zoom=(0.8, 1.2)))


def _steps(config, source):
    events = list(pretrain(Pretraining(config, device="cpu"), source))
    return [e for e in events if isinstance(e, PretrainStep)]


@pytest.mark.parametrize(
    ("weights", "losses"),
    [
        ({}, {"episodes", "grey", "semantic", "usage"}),
        ({"episode_weight": 0.0}, {"grey", "semantic", "usage"}),
        ({"episode_weight": 0.0, "semantic_weight": 0.0}, {"grey", "usage"}),
        ({"episode_weight": 0.0, "grey_weight": 0.0}, {"semantic", "usage"}),
        (NO_REGIONS, {"episodes"}),
    ],
)
def test_a_loss_of_weight_0_is_not_computed_and_nothing_is_drawn_for_it(weights, losses, source):
    config = PretrainConfig(**QUICK | weights)
    assert config.batch(0) == ("episodes" in losses, losses != {"episodes"})
    for step in _steps(config, source):
        assert set(step.losses) == losses


def test_nothing_at_all_to_learn_from_is_refused():
    with pytest.raises(InputError, match="weight 0"):
        PretrainConfig(episode_weight=0.0, views_per_step=0)


def test_it_begins_with_a_network_of_whatever_size(source):
    config = PretrainConfig(**QUICK | {"learning_rate": 1e-6})
    start = Pretraining(config, device="cpu").result()
    training = Pretraining(PretrainConfig(steps=1), start=start, device="cpu")
    torch.testing.assert_close(training.result().state_dict(), start.state_dict())
    assert training.config == fitting(PretrainConfig(steps=1), start)
    assert training.config.width == 4
    list(pretrain(training, source))
    after = training.result().state_dict()
    assert not torch.equal(after["assign.weight"], start.state_dict()["assign.weight"])


def test_how_it_goes_is_shown_with_a_picture_of_the_regions(source):
    training = Pretraining(PretrainConfig(**QUICK), device="cpu")
    events = list(pretrain(training, source))
    (look,) = (e for e in events if isinstance(e, PretrainLook))
    assert look.step == 3
    assert 1 <= look.effective_rank <= 4
    assert 1 <= look.region_use <= 4
    assert look.picture.shape == look.regions.shape == (LOOK_PX, LOOK_PX)
    assert look.regions.max() < 4
    (look,) = (
        e
        for e in pretrain(Pretraining(PretrainConfig(**QUICK | NO_REGIONS), device="cpu"), source)
        if isinstance(e, PretrainLook)
    )
    assert np.isnan(look.region_use)
    assert look.picture is None


def test_time_may_count_instead_of_steps(source):
    config = PretrainConfig(**QUICK | {"steps": 1, "minutes": 0.002})
    training = Pretraining(config, device="cpu")
    steps = [e for e in pretrain(training, source) if isinstance(e, PretrainStep)]
    assert training.elapsed_s >= 0.12
    assert steps[-1].done == 1
    assert all(a.done < b.done for a, b in itertools.pairwise(steps))


def test_a_finished_checkpoint_is_told_and_its_network_is_there(source, tmp_path):
    config, path = PretrainConfig(**QUICK), tmp_path / "net.checkpoint.pt"
    first = Pretraining(config, device="cpu")
    assert list(pretrain(first, source, path))[-1] == CheckpointWritten(3, path)
    again = Pretraining(config, device="cpu")
    assert list(pretrain(again, source, path)) == [CheckpointWritten(3, path)]
    torch.testing.assert_close(again.result().state_dict(), first.result().state_dict())
    assert again.elapsed_s == first.elapsed_s


def test_images_without_a_task_in_them_are_refused():
    flat = Volume(np.zeros((2, 64, 64), np.uint8), "ZYX")
    with pytest.raises(InputError, match="nothing to learn from"):
        list(image_windows([(flat, estimate_normalization(flat))]))
    with pytest.raises(InputError, match="no image"):
        list(image_windows([]))
