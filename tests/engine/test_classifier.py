"""The perceptron of the pixel head: its written-out gradients, its weights, its probabilities."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch.nn import functional

from napari_regcon.engine.classifier import HIDDEN, dropout_at, fit_classifier, gradients

CPU = torch.device("cpu")


def test_the_gradients_are_those_of_the_cross_entropy():
    torch.manual_seed(0)
    inputs, kept = torch.randn(20, 5), torch.randint(0, 2, (20, HIDDEN)) * 2.0
    targets = torch.randint(0, 3, (20,))
    shapes = ((HIDDEN, 5), (HIDDEN,), (3, HIDDEN), (3,))
    parameters = [torch.randn(shape).requires_grad_() for shape in shapes]
    hidden = functional.linear(inputs, *parameters[:2]).relu() * kept
    loss = functional.cross_entropy(functional.linear(hidden, *parameters[2:]), targets)
    expected = torch.autograd.grad(loss, parameters)
    with torch.no_grad():
        found = gradients(inputs, functional.one_hot(targets, 3).float(), kept, *parameters)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)


def _points(n, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    inner = rng.normal(0, 0.5, (n, 2))
    angle = rng.uniform(0, 2 * np.pi, n)
    ring = np.stack([np.cos(angle), np.sin(angle)], 1) * 3 + rng.normal(0, 0.3, (n, 2))
    two = np.where(labels[:, None] == 1, ring, inner)
    useless = rng.normal(size=(n, 6))
    return np.concatenate([two, two**2, useless], 1).astype(np.float32), labels


def _accuracy(fitted, features, labels):
    found = fitted.probabilities(torch.from_numpy(features.T.copy())).argmax(0).numpy()
    return (found == labels).mean()


def test_it_learns_what_no_straight_line_separates():
    fitted = fit_classifier(*_points(600), 2, CPU)
    assert _accuracy(fitted, *_points(5000, seed=1)) > 0.95


def test_the_same_input_gives_the_same_scores_whatever_the_number_of_threads():
    features, labels = _points(400)
    probe = torch.from_numpy(_points(30_000, seed=2)[0].T.copy())
    before = torch.get_num_threads()
    try:
        scores = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            scores.append(fit_classifier(features, labels, 2, CPU, seed=3).probabilities(probe))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*scores)
    other = fit_classifier(features, labels, 2, CPU, seed=4).probabilities(probe)
    assert not torch.equal(scores[0], other)


def _settings_of_a_new_thread():
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.__config__.parallel_info).result()


def test_scoring_on_several_threads_leaves_the_settings_of_the_libraries_alone():
    fitted = fit_classifier(*_points(400), 2, CPU)
    probe = torch.from_numpy(_points(30_000, seed=2)[0].T.copy())
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)  # as no other test here, so that the scoring threads are new
        here, elsewhere = torch.__config__.parallel_info(), _settings_of_a_new_thread()
        fitted.probabilities(probe)
        assert torch.__config__.parallel_info() == here
        assert _settings_of_a_new_thread() == elsewhere
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_features_of_any_scale_and_constant_ones_are_fine(scale):
    features, labels = _points(400)
    features = np.concatenate([features * scale, np.full((400, 1), 7, np.float32)], 1)
    assert _accuracy(fit_classifier(features, labels, 2, CPU), features, labels) > 0.9


def test_a_class_that_was_not_painted_is_never_predicted():
    features, labels = _points(200)
    found = fit_classifier(features, labels * 2, 3, CPU).probabilities(
        torch.from_numpy(features.T.copy())
    )
    assert (found[1] == 0).all()
    assert torch.isfinite(found).all()


def test_a_class_of_which_more_was_painted_is_found_more_often():
    features, labels = _points(400)
    features[:, :4] *= 0.1  # hard to tell apart
    probe = torch.from_numpy(features.T.copy())

    def share(totals):
        fitted = fit_classifier(features, labels, 2, CPU, totals=totals)
        return fitted.probabilities(probe)[0].mean().item()

    counts = np.bincount(labels)
    assert share(counts) == share(None)
    assert share(counts * [100, 1]) > share(None) + 0.1
    assert share(counts * [1, 100]) < share(None) - 0.1


def test_the_higher_the_power_the_rarer_is_a_rare_class():
    features, labels = _points(400)
    features[:, :4] *= 0.1  # hard to tell apart
    totals = np.array([1000, 10])
    probe = torch.from_numpy(features.T.copy())

    def share(power):
        fitted = fit_classifier(features, labels, 2, CPU, totals=totals, power=power)
        return fitted.probabilities(probe)[1].mean().item()

    assert share(0.0) > share(0.5) + 0.02
    assert share(0.5) > share(0.75) + 0.02
    assert share(0.75) > share(1.0)


def test_dropout_fades_as_more_is_painted():
    shares = [dropout_at(n) for n in (0, 100, 30_000, 50_000, 70_000, 100_000, 10**6)]
    assert shares == sorted(shares, reverse=True)
    assert shares[2] == 0.5
    assert shares[-1] == 0.25


def test_where_much_is_painted_finer_differences_are_learnt():
    rng = np.random.default_rng(0)
    features = rng.uniform(-1, 1, (4000, 4)).astype(np.float32)
    labels = (features[:, 0] * features[:, 1] > 0).astype(int)

    def accuracy(factor):
        totals = factor * np.bincount(labels)
        return _accuracy(fit_classifier(features, labels, 2, CPU, totals=totals), features, labels)

    assert accuracy(100) > accuracy(1) + 0.02
