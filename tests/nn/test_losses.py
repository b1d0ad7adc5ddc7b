"""Each loss against a slow transcription of its formula, and against collapse."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from napari_regcon.nn.losses.episode import episode_loss, ridge_head
from napari_regcon.nn.losses.grey import grey_loss
from napari_regcon.nn.losses.overlap import SMOOTHING, overlap_loss
from napari_regcon.nn.losses.semantic import semantic_loss
from napari_regcon.nn.losses.sparse import sparse_loss
from napari_regcon.nn.losses.usage import usage_loss
from napari_regcon.nn.regions import coverage, pool


def _masks(batch=2, regions=4, side=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, regions, side, side, generator=generator).softmax(1)


def test_pooling_is_the_weighted_mean_over_each_region():
    masks, values = _masks(), torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    result = pool(masks, values)
    for b in range(2):
        for k in range(4):
            for c in range(3):
                m, v = masks[b, k].numpy(), values[b, c].numpy()
                assert result[b, k, c] == pytest.approx((m * v).sum() / m.sum(), abs=1e-5)


def test_pooling_an_empty_region_stays_finite():
    masks = torch.zeros(1, 2, 4, 4)
    masks[:, 0] = 1
    assert torch.isfinite(pool(masks, torch.rand(1, 1, 4, 4))).all()
    assert coverage(masks).tolist() == [[1.0, 0.0]]


def _slow_grey(masks, image, weight, margin):
    masks, image = masks.double().numpy(), image.double().numpy()
    total = 0.0
    for m, i in zip(masks, image[:, 0], strict=True):
        grey = [(mk * i).sum() / mk.sum() for mk in m]
        inside = (
            sum(
                m[k, y, x] * (i[y, x] - grey[k]) ** 2
                for k in range(len(m))
                for y in range(i.shape[0])
                for x in range(i.shape[1])
            )
            / i.size
        )
        pairs = [(k, n) for k in range(len(m)) for n in range(k + 1, len(m))]
        hinge = sum(max(0.0, margin - abs(grey[k] - grey[n])) for k, n in pairs) / len(pairs)
        total += inside + weight * hinge
    return total / len(masks)


@pytest.mark.parametrize(("weight", "margin"), [(0.5, 0.2), (0.0, 0.2), (2.0, 0.05)])
def test_grey_loss_is_the_formula(weight, margin):
    masks, image = _masks(), torch.rand(2, 1, 6, 6, generator=torch.Generator().manual_seed(2))
    expected = _slow_grey(masks, image, weight, margin)
    assert float(grey_loss(masks, image, weight=weight, margin=margin)) == pytest.approx(
        expected, abs=1e-6
    )


def test_grey_loss_prefers_the_true_partition():
    image = torch.zeros(1, 1, 8, 8)
    image[..., 4:] = 1
    true = torch.cat([1 - image, image], 1)
    assert grey_loss(true, image) < grey_loss(true.transpose(2, 3), image)


def _slow_semantic(first, second, counts, temperature):
    first = torch.nn.functional.normalize(first.double(), dim=-1).numpy()
    second = torch.nn.functional.normalize(second.double(), dim=-1).numpy()
    places = [(b, k) for b in range(first.shape[0]) for k in range(first.shape[1]) if counts[b, k]]
    losses = []
    for views in ((first, second), (second, first)):
        for b, k in places:
            anchor = views[0][b, k]
            positive = math.exp(anchor @ views[1][b, k] / temperature)
            negatives = sum(
                math.exp(anchor @ views[1][c, n] / temperature) for c, n in places if n != k
            )
            losses.append(-math.log(positive / (positive + negatives)))
    return float(np.mean(losses))


def test_semantic_loss_is_the_formula_and_spares_the_same_index_elsewhere():
    generator = torch.Generator().manual_seed(3)
    first, second = torch.randn(2, 3, 5, 8, generator=generator)
    counts = torch.rand(3, 5, generator=generator) > 0.3
    expected = _slow_semantic(first, second, counts, 0.1)
    assert float(semantic_loss(first, second, counts)) == pytest.approx(expected, rel=1e-4)
    # The same index in another image is neither positive nor negative.
    other = second.clone()
    counts = torch.ones(3, 5, dtype=torch.bool)
    before = semantic_loss(first[:, :1], other[:, :1], counts[:, :1])
    assert float(before) == 0.0


def test_semantic_loss_is_small_for_equal_views_and_large_for_collapsed_ones():
    first = torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(4))
    counts = torch.ones(2, 6, dtype=torch.bool)
    collapsed = torch.ones(2, 6, 16)
    assert semantic_loss(first, first, counts) < 0.1
    assert float(semantic_loss(collapsed, collapsed, counts)) == pytest.approx(
        math.log(11), abs=0.01
    )


def test_usage_loss_matches_the_formula():
    masks = _masks().double()
    mean, inside = np.zeros(4), 0.0
    for b, y, x in np.ndindex(2, 6, 6):
        shares = masks[b, :, y, x].numpy()
        mean += shares / 72
        inside -= sum(m * np.log(m) for m in shares) / 72
    information = -sum(m * np.log(m) for m in mean) - inside
    assert float(usage_loss(masks)) == pytest.approx(1 - information / np.log(4), abs=1e-6)


def test_usage_loss_is_zero_for_even_and_clear_use_and_one_for_either_collapse():
    clear = torch.zeros(2, 4, 4, 4)
    for k in range(4):
        clear[:, k, k] = 1
    one = torch.zeros(2, 4, 4, 4)
    one[:, 2] = 1
    undecided = torch.full((2, 4, 4, 4), 0.25)
    assert float(usage_loss(clear)) == pytest.approx(0, abs=1e-5)
    assert float(usage_loss(one)) == pytest.approx(1, abs=1e-5)
    assert float(usage_loss(undecided)) == pytest.approx(1, abs=1e-5)


def test_ridge_head_solves_the_balanced_normal_equations():
    generator = torch.Generator().manual_seed(5)
    features = torch.randn(40, 3, generator=generator)
    targets = torch.tensor([0] * 30 + [1] * 10)
    head = ridge_head(features, targets, 2, ridge=0.0).numpy()
    weight = np.where(targets.numpy() == 0, 1 / 60, 1 / 20)
    design = np.column_stack([features.numpy(), np.ones(40)])
    wanted = np.where(targets.numpy()[:, None] == np.arange(2), 1.0, -1.0)
    root = np.sqrt(weight)[:, None]
    expected = np.linalg.lstsq(design * root, wanted * root, rcond=None)[0]
    np.testing.assert_allclose(head, expected, atol=1e-4)


def test_episode_loss_matches_the_formula():
    generator = torch.Generator().manual_seed(5)
    stroked, judged = (torch.randn(n, 3, generator=generator) for n in (12, 9))
    said, truth = torch.arange(12) % 2, (torch.arange(9) % 3 > 0).long()
    head = ridge_head(stroked, said, 2, ridge=0.3).double().numpy()
    total = norm = 0.0
    for pixel, target in zip(judged.double().numpy(), truth.tolist(), strict=True):
        logits = [2.5 * (pixel @ head[:-1, k] + head[-1, k]) for k in range(2)]
        weight = 1 / np.sqrt((truth == target).sum().item())
        total -= weight * (logits[target] - np.log(sum(np.exp(v) for v in logits)))
        norm += weight
    loss = episode_loss(stroked, said, judged, truth, 2, scale=2.5, ridge=0.3)
    assert float(loss) == pytest.approx(total / norm, rel=1e-4)


def test_episode_loss_sends_a_gradient_through_the_head():
    generator = torch.Generator().manual_seed(6)
    stroked, judged = (torch.randn(8, 4, generator=generator).requires_grad_() for _ in range(2))
    classes = torch.arange(8) % 2
    episode_loss(stroked, classes, judged, classes, 2).backward()
    # Stroked pixels act through the head, the others through their own score.
    assert (stroked.grad.abs().sum(1) > 0).all()
    assert (judged.grad.abs().sum(1) > 0).all()


def test_descending_the_losses_does_not_collapse_the_partition():
    generator = torch.Generator().manual_seed(8)
    image = (torch.arange(16).repeat(16, 1) // 4 / 3.0)[None, None]
    logits = (0.01 * torch.randn(1, 4, 16, 16, generator=generator)).requires_grad_()
    optimiser = torch.optim.Adam([logits], 0.1)
    for _ in range(150):
        masks = logits.softmax(1)
        loss = grey_loss(masks, image) + usage_loss(masks)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    hard = logits.argmax(1)
    assert len(torch.unique(hard)) == 4
    assert float(grey_loss(logits.detach().softmax(1), image)) < 0.01


@pytest.mark.parametrize("power", [0.5, 0.8])
def test_sparse_loss_matches_the_formulas_and_ignores_what_is_not_said(power):
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(-1, 2, (2, 4, 5), generator=generator)  # the third class is nowhere
    said = [(b, y, x) for b, y, x in np.ndindex(2, 4, 5) if labels[b, y, x] >= 0]
    counts = [sum(int(labels[p]) == k for p in said) for k in range(2)]
    entropy = norm = 0.0
    overlap, found, wanted = np.zeros(3), np.zeros(3), np.zeros(3)
    for b, y, x in said:
        values = np.exp(logits[b, :, y, x].numpy())
        chances, true = values / values.sum(), int(labels[b, y, x])
        share = counts[true] ** power / counts[true]
        entropy -= np.log(chances[true]) * share
        norm += share
        overlap[true] += chances[true]
        found += chances**2
        wanted[true] += 1
    dice = [2 * overlap[k] / (found[k] + wanted[k]) for k in range(2)]
    expected = entropy / norm + 1 - np.mean(dice)
    assert float(sparse_loss(logits, labels, power)) == pytest.approx(expected, abs=1e-5)
    changed = logits.clone().movedim(1, -1)
    changed[labels < 0] += 5
    same = sparse_loss(changed.movedim(-1, 1), labels, power)
    assert float(same) == pytest.approx(expected, abs=1e-5)


def test_sparse_loss_of_nothing_is_zero_and_can_be_learnt_from():
    logits = torch.randn(1, 2, 3, 3, requires_grad=True)
    loss = sparse_loss(logits, torch.full((1, 3, 3), -1))
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None


def test_overlap_loss_matches_the_formulas_image_by_image():
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(3, 1, 4, 5, generator=generator)
    labels = (torch.rand(3, 1, 4, 5, generator=generator) > 0.6).float()
    labels[2] = 0  # what is looked for is not there
    entropy, dice = 0.0, []
    for b in range(3):
        overlap = found = wanted = 0.0
        for y, x in np.ndindex(4, 5):
            chance = 1 / (1 + np.exp(-float(logits[b, 0, y, x])))
            true = float(labels[b, 0, y, x])
            entropy -= np.log(chance if true else 1 - chance) / labels.numel()
            overlap, found, wanted = overlap + chance * true, found + chance**2, wanted + true
        smooth = SMOOTHING * 20
        dice.append((2 * overlap + smooth) / (found + wanted + smooth))
    expected = 1 - np.mean(dice) + 0.7 * entropy
    assert float(overlap_loss(logits, labels, entropy_weight=0.7)) == pytest.approx(expected, 1e-5)


def test_overlap_loss_is_nearly_nothing_where_all_is_right_also_without_the_class():
    labels = torch.zeros(2, 1, 8, 8)
    labels[0, :, 2:6, 2:6] = 1
    assert float(overlap_loss(40 * labels - 20, labels)) < 1e-4
