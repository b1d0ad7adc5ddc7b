"""Fine-tuning: it learns, keeps the best, takes in new strokes, and can be repeated."""

from copy import deepcopy
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from blob_task import blobs, dice, support_of

from napari_regcon.config import FinetuneConfig, PixelHeadConfig
from napari_regcon.data.support import SupportSet
from napari_regcon.engine.aside import Aside, AtOnce
from napari_regcon.engine.embedding import load_network, save_network
from napari_regcon.engine.feature_store import FeatureStore
from napari_regcon.engine.features import FilterBankExtractor
from napari_regcon.engine.finetune import FineTuning, finetune
from napari_regcon.engine.finetune_events import FinetuneCheck, FinetuneStep
from napari_regcon.engine.finetune_start import load_start
from napari_regcon.engine.finetuned import (
    FinetunedCard,
    load_finetuned,
    save_finetuned,
)
from napari_regcon.engine.finetuned_predictor import predictor_of
from napari_regcon.engine.opinion import FLOOR
from napari_regcon.engine.pixel_head import PixelHead
from napari_regcon.engine.registry import load_segmenter, method_of_weights
from napari_regcon.engine.segmenter import run
from napari_regcon.errors import InputError, WeightsError
from napari_regcon.nn.class_net import ClassNet
from napari_regcon.nn.regcon import RegConNet
from napari_regcon.types import Volume

QUICK = {
    "steps": 40,
    "crop_px": 64,
    "crops_per_step": 4,
    "width": 8,
    "levels": 2,
    "average_decay": 0.8,
    "check_every": 10,
    "learning_rate": 1e-2,
}
CLASSES = ("background", "blob")


def stroked(truth, n=8, seed=0, width=3):
    """Paint some short straight strokes inside each class."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(truth.shape, np.uint8)
    for value in (0, 1):
        places = np.argwhere(truth == value)
        for _ in range(n):
            y, x = places[rng.integers(len(places))]
            part = (slice(y, y + width), slice(x, x + 7))
            labels[part][truth[part] == value] = value + 1
    return labels


@pytest.fixture(scope="module")
def plane():
    image, truth = blobs((160, 160), seed=3)
    return image, truth, support_of(image, stroked(truth), "YX")


@pytest.fixture(scope="module")
def trained(plane):
    tuning = FineTuning(plane[2], FinetuneConfig(**QUICK), device="cpu")
    events = []
    work = finetune(tuning)
    while True:
        try:
            event = next(work)
        except StopIteration as stop:
            return tuning, events, stop.value
        if event is not None:  # None while the pixel head learns
            events.append(event)


def save(net, path, tuning):
    card = FinetunedCard(CLASSES, 1, 8, 2, tuning.config.downscale, {"licence": "CC0-1.0"})
    save_finetuned(net, path, card)
    return path


def test_it_learns_what_was_painted_and_its_file_segments(plane, trained, tmp_path):
    image, truth, support = plane
    tuning, _, net = trained
    path = save(net, tmp_path / "net.safetensors", tuning)
    assert method_of_weights(path) == ("fine-tuned", {})
    found = load_segmenter(str(path), device="cpu").fit(support)(image)
    assert found.shape == (2, *image.shape)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)
    assert dice(found[1] > 0.5, truth > 0) > 0.85


def test_it_begins_as_good_as_the_pixel_classifier(plane):
    image, _, support = plane
    tuning = FineTuning(support, FinetuneConfig(**QUICK), device="cpu")
    run(tuning.ask_pixel_head())
    found = predictor_of(tuning.snapshot(), 1, support, tuning.device)(image)
    expected = PixelHead(device="cpu").fit(support)(image)
    floored = np.maximum(expected, FLOOR)
    np.testing.assert_allclose(found, floored / floored.sum(0), atol=2e-3)


def test_it_looks_through_the_features_that_the_pixel_classifier_has_at_hand(
    plane, trained, monkeypatch
):
    _, _, support = plane
    tuning, _, net = trained
    store, view = FeatureStore(), support.examples[0].view(2)
    expected = predictor_of(net, 1, support, tuning.device).predict_tile(view, view.box)
    PixelHead(device="cpu", store=store).fit(support).predict_tile(view, view.box)
    used = store.usage_bytes
    monkeypatch.delattr(FilterBankExtractor, "compute_in_steps")
    found = predictor_of(net, 1, support, tuning.device, store).predict_tile(view, view.box)
    np.testing.assert_array_equal(found, expected)
    assert store.usage_bytes == used  # what the network itself makes is gone with it


def test_its_file_answers_as_the_network_does(plane, trained, tmp_path):
    image, _, support = plane
    tuning, _, net = trained
    path = save(net, tmp_path / "net.safetensors", tuning)
    found = load_segmenter(str(path), device="cpu").fit(support)(image)
    np.testing.assert_array_equal(found, predictor_of(net, 1, support, tuning.device)(image))
    bad = tmp_path / "bad.safetensors"
    card = FinetunedCard(CLASSES, 1, 8, 2, 1, {"base": {"smoothing": 99.0}})
    save_network(net, bad, card.about | {"classes": list(CLASSES), "n_channels": 1, "width": 8})
    with pytest.raises(WeightsError, match="does not say"):
        load_finetuned(bad)


def test_its_file_brings_along_all_that_its_pixel_classifier_looks_through(
    plane, trained, tmp_path, monkeypatch
):
    path = save(trained[2], tmp_path / "net.safetensors", trained[0])
    shipped = load_network("regcon-em")[0]

    def missing(*_names):
        raise AssertionError("asked for other weights")

    monkeypatch.setattr("napari_regcon.engine.pixel_head.load_network", missing)
    brought = load_finetuned(path)[0].base.network
    torch.testing.assert_close(brought.state_dict(), shipped.state_dict(), rtol=0, atol=0)
    load_segmenter(str(path), device="cpu").fit(plane[2])


def test_other_work_may_come_between_its_layers_and_changes_nothing(plane, monkeypatch):
    monkeypatch.setattr("napari_regcon.engine.aside.LOOK_UP_S", 0.0)
    config = FinetuneConfig(**QUICK | {"steps": 5})
    events = []
    for runner in (AtOnce(), Aside()):
        tuning = FineTuning(plane[2], config, device="cpu")
        run(tuning.ask_pixel_head())
        events.append(list(finetune(tuning, None, runner)))
    runner.close()
    assert events[0].count(None) == 0
    assert events[1].count(None) > 10
    once, aside = ([getattr(e, "loss", e) for e in found if e is not None] for found in events)
    assert aside == once


def test_events_tell_steps_and_checks(trained):
    _, events, _ = trained
    steps = [e for e in events if isinstance(e, FinetuneStep)]
    checks = [e for e in events if isinstance(e, FinetuneCheck)]
    assert [e.step for e in steps] == list(range(1, 41))
    assert steps[-1].done == 1
    assert all(a.elapsed_s < b.elapsed_s for a, b in pairwise(steps))
    assert [e.step for e in checks] == [10, 20, 30, 40]
    assert all(set(e.dice) == set(CLASSES) for e in checks)
    assert steps[-1].loss < steps[0].loss


def test_the_result_is_the_best_of_the_checks(trained):
    tuning, events, net = trained
    checks = [e for e in events if isinstance(e, FinetuneCheck)]
    best = max(checks, key=lambda e: (e.mean_dice, e.step))
    assert best.is_best
    assert tuning.best == best
    again = FineTuning(tuning.support, tuning.config, device="cpu")
    kept = None
    for event in finetune(again):
        if isinstance(event, FinetuneCheck) and event.step == best.step:
            kept = again.result().state_dict()
    for name, tensor in net.state_dict().items():
        torch.testing.assert_close(tensor, kept[name], rtol=0, atol=0)


def test_other_seeds_draw_other_crops(plane, trained):
    other = FineTuning(plane[2], FinetuneConfig(**QUICK | {"steps": 3, "seed": 1}), device="cpu")
    losses = [e.loss for e in finetune(other) if isinstance(e, FinetuneStep)]
    assert losses != [e.loss for e in trained[1] if isinstance(e, FinetuneStep)][:3]


def test_it_leaves_the_global_random_state_alone(plane):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    FineTuning(plane[2], FinetuneConfig(**QUICK), device="cpu").train_step()
    torch.testing.assert_close(torch.rand(3), expected)


def test_new_strokes_are_learnt_from_the_next_step_on(plane):
    image, truth, support = plane
    tuning = FineTuning(support, FinetuneConfig(**QUICK), device="cpu")
    tuning.train_step()
    more = SupportSet((*CLASSES,))
    more.add(Volume(image, "YX"), stroked(truth, n=12, seed=9))
    tuning.update(more)
    assert tuning.train_step().step == 2
    assert tuning.support is more


def test_without_strokes_to_keep_back_the_last_network_is_the_result(plane):
    image, truth, _ = plane
    support = support_of(image, stroked(truth, n=2), "YX")
    tuning = FineTuning(support, FinetuneConfig(**QUICK | {"steps": 12}), device="cpu")
    assert not tuning.has_held_out
    events = list(finetune(tuning))
    assert not any(isinstance(e, FinetuneCheck) for e in events)
    assert tuning.best is None
    assert isinstance(tuning.result(), ClassNet)


def test_it_starts_from_a_pre_trained_network(plane, tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "start.safetensors"
    sizes = {"embedding": 8, "regions": 4, "width": 8, "levels": 3}
    save_network(RegConNet(**sizes), path, sizes)
    start, _ = load_network(path)
    tuning = FineTuning(plane[2], FinetuneConfig(**QUICK), start=start, device="cpu")
    net = tuning.result()
    assert (net.body.width, net.body.levels) == (8, 3)
    image = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(net.eval().body.decode(image), start.eval().decode(image))


def test_a_colour_network_answers_a_grey_image_as_the_grey_one_it_started_from():
    torch.manual_seed(0)
    start = RegConNet(width=8, levels=2).eval()
    net = ClassNet(3, 2, width=8, levels=2).eval()
    net.start_from(start)
    grey = torch.rand(1, 1, 16, 16)
    with torch.no_grad():
        colour = net.body.decode(grey.repeat(1, 3, 1, 1))
        torch.testing.assert_close(colour, start.decode(grey), atol=1e-5, rtol=1e-4)


def test_a_network_that_was_fine_tuned_learns_on(plane, trained, tmp_path):
    path = save(trained[2], tmp_path / "net.safetensors", trained[0])
    start, parent = load_start(path)
    assert parent.sha256
    config = FinetuneConfig(**QUICK | {"steps": 1, "unlabelled": 0.0})

    def first_loss(begin_with):
        tuning = FineTuning(plane[2], config, start=begin_with, device="cpu")
        return next(e.loss for e in finetune(tuning) if isinstance(e, FinetuneStep))

    assert first_loss(start) < first_loss(None)
    three = SupportSet(("background", "blob", "rare"))
    three.examples = plane[2].examples
    other = FineTuning(three, config, start=start, device="cpu").result()
    torch.testing.assert_close(other.body.state_dict(), start.body.state_dict())
    assert other.n_features == 3


def test_it_goes_on_from_its_state_as_if_nothing_had_happened(plane, tmp_path):
    config = FinetuneConfig(**QUICK | {"steps": 12, "check_every": 5})
    one = FineTuning(plane[2], config, device="cpu")
    run(finetune(one))
    cut = FineTuning(plane[2], config, device="cpu")
    state = tmp_path / "state"
    for event in finetune(cut, state):
        if isinstance(event, FinetuneStep) and event.step == 7:
            break
    two = FineTuning(plane[2], config, device="cpu")
    steps = [e.step for e in finetune(two, state) if isinstance(e, FinetuneStep)]
    assert steps == list(range(6, 13))
    assert two.best == one.best
    for first, second in zip(one.result().parameters(), two.result().parameters(), strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_a_state_of_other_classes_is_refused(plane):
    config = FinetuneConfig(**QUICK)
    state = FineTuning(plane[2], config, device="cpu").state()
    image, truth, _ = plane
    other = support_of(image, stroked(truth), "YX", classes=("background", "nucleus"))
    with pytest.raises(InputError, match="training began with background, blob"):
        FineTuning(other, config, device="cpu").restore(state)


def test_a_state_of_other_parameters_is_refused_but_more_time_is_not(plane, tmp_path):
    config = FinetuneConfig(**QUICK | {"steps": 2})
    run(finetune(FineTuning(plane[2], config, device="cpu"), tmp_path / "state"))
    longer = FineTuning(plane[2], replace(config, steps=3), device="cpu")
    steps = [e.step for e in finetune(longer, tmp_path / "state") if isinstance(e, FinetuneStep)]
    assert steps == [3]
    other = FineTuning(plane[2], replace(config, seed=1), device="cpu")
    with pytest.raises(InputError, match="seed 0, not 1"):
        run(finetune(other, tmp_path / "state"))


def test_the_pixel_classifier_is_judged_on_the_same_strokes(trained):
    _, events, _ = trained
    checks = [e for e in events if isinstance(e, FinetuneCheck)]
    assert all(set(e.rival) == set(e.dice) for e in checks)
    assert all(e.rival == checks[0].rival for e in checks)  # nothing new was painted
    assert checks[0].mean_rival > 0.8
    assert checks[0].n_held == 1
    assert not checks[0].may_take_over  # one stroke of each class says nothing


def test_unlabelled_pixels_are_taught_by_the_pixel_classifier(plane):
    def loss(unlabelled):
        config = FinetuneConfig(**QUICK | {"steps": 1, "unlabelled": unlabelled})
        events = finetune(FineTuning(plane[2], config, device="cpu"))
        return next(e.loss for e in events if isinstance(e, FinetuneStep))

    assert loss(0.0) < loss(1.0) < loss(5.0)


def test_colour_images_and_smaller_ones_are_segmented(tmp_path):
    rng = np.random.default_rng(0)
    _, truth = blobs((128, 128))
    image = rng.integers(100, 130, (128, 128, 3)).astype(np.uint8)
    image[truth > 0, 0] += 60
    image[truth > 0, 1] -= 60
    support = support_of(image, stroked(truth), "YXC")
    config = FinetuneConfig(**QUICK | {"downscale": 2})
    tuning = FineTuning(support, config, device="cpu")
    net = run(finetune(tuning))
    path = tmp_path / "net.safetensors"
    save_finetuned(net, path, FinetunedCard(CLASSES, 3, 8, 2, 2, {}))
    found = load_segmenter(str(path), device="cpu").fit(support)(image)
    assert dice(found[1] > 0.5, truth > 0) > 0.75


def test_a_class_that_is_not_painted_enough_is_told_before_work_starts(plane):
    image, truth, _ = plane
    labels = stroked(truth)
    labels[labels == 2] = 0
    with pytest.raises(InputError, match="Nothing is painted yet for: blob"):
        FineTuning(support_of(image, labels, "YX"), device="cpu")


def test_other_classes_or_channels_are_refused(plane, trained, tmp_path):
    image, truth, _ = plane
    path = save(trained[2], tmp_path / "net.safetensors", trained[0])
    other = support_of(image, stroked(truth), "YX", classes=("background", "nucleus"))
    with pytest.raises(InputError, match="knows background, blob"):
        load_segmenter(str(path), device="cpu").fit(other)
    colour = support_of(np.stack([image] * 3, -1), stroked(truth), "YXC")
    with pytest.raises(InputError, match="3 channel"):
        load_segmenter(str(path), device="cpu").fit(colour)


def test_no_file_and_foreign_files_are_explained(tmp_path):
    with pytest.raises(InputError, match="none was chosen"):
        load_segmenter("fine-tuned", device="cpu")
    sizes = {"embedding": 8, "regions": 4, "width": 8, "levels": 2}
    foreign = tmp_path / "foreign.safetensors"
    save_network(RegConNet(**sizes), foreign, sizes)
    with pytest.raises(WeightsError, match="does not say which classes"):
        load_finetuned(foreign)
    wrong = tmp_path / "wrong.safetensors"
    card = FinetunedCard(("a", "b", "c"), 1, 8, 2, 1, {})
    save_finetuned(ClassNet(1, 2, width=8, levels=2), wrong, card)
    with pytest.raises(WeightsError, match="does not fit the network"):
        load_finetuned(wrong)
    huge = tmp_path / "huge.safetensors"
    save_finetuned(ClassNet(1, 2, 8, 2), huge, FinetunedCard(("a", "b"), 1, 10**6, 2, 1, {}))
    with pytest.raises(WeightsError, match="width 1000000"):
        load_finetuned(huge)
    deep = tmp_path / "deep.safetensors"
    sizes["levels"] = 10**6
    card = FinetunedCard(("a", "b"), 1, 8, 2, 1, {"base_network": sizes})
    save_finetuned(ClassNet(1, 2, 8, 2), deep, card)
    with pytest.raises(WeightsError, match="does not fit"):
        load_finetuned(deep)


@pytest.mark.parametrize("wrong", ["features", "hidden", "dimensions"])
def test_a_pixel_classifier_that_does_not_fit_is_refused(trained, tmp_path, wrong):
    net, path = deepcopy(trained[2]), tmp_path / "net.safetensors"
    about = {"licence": "CC0-1.0"}
    if wrong == "features":
        net.base.low = torch.zeros(72, 1)
        net.base.hidden_weight = torch.zeros(32, 72)
    elif wrong == "hidden":
        del net.base.hidden_weight
    base = PixelHeadConfig(dimensions=3 if wrong == "dimensions" else 2)
    save_finetuned(net, path, FinetunedCard(CLASSES, 1, 8, 2, 1, about, base))
    with pytest.raises(WeightsError, match="does not fit the network"):
        load_finetuned(path)


def test_weights_in_half_precision_are_taken_for_what_they_are(plane, trained, tmp_path):
    path = tmp_path / "net.safetensors"
    save(deepcopy(trained[2]).bfloat16(), path, trained[0])
    found = load_segmenter(str(path), device="cpu").fit(plane[2])(plane[0])
    assert np.isfinite(found).all()
