"""Segmenting in context: from complete slices to probabilities."""

import in_context_task as task
import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.transform import downscale_local_mean

from napari_regcon.config import InContextConfig
from napari_regcon.data.normalize import Normalization
from napari_regcon.data.support import SupportSet
from napari_regcon.data.views import ImageView
from napari_regcon.engine import context_network
from napari_regcon.engine.in_context import InContext
from napari_regcon.engine.registry import load_segmenter
from napari_regcon.engine.segmenter import run
from napari_regcon.engine.volume import segment_volume
from napari_regcon.errors import InputError, WeightsError
from napari_regcon.nn.universeg import EncodedSupport, UniverSeg
from napari_regcon.types import Box, Note, Volume

RAW = Normalization((0.0,), (255.0,))
SMALL = {"tile_px": 64, "downscale": 1, "support_size": 3, "choose_from": 0}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file with random weights in the layout of the released ones."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.pt"
    torch.save(UniverSeg(4).state_dict(), path)
    return str(path)


@pytest.fixture
def segmenter(weights):
    def make(**parameters):
        config = InContextConfig(**{**SMALL, **parameters})
        return InContext(config, weights=weights, device="cpu", bf16=False)

    return make


def stack(shape=(2, 100, 140), seed=0):
    rng = np.random.default_rng(seed)
    pairs = [task.squares(shape[1:], rng, 12) for _ in range(shape[0])]
    images, truths = zip(*pairs, strict=True)
    return np.stack(images), np.stack(truths)


def support_of(image, truth, *, classes=("background", "bright", "dark"), axes="ZYX", complete=1):
    """Make a support set in which the first planes are finished."""
    support = SupportSet(classes)
    labels = np.zeros(truth.shape, np.uint8)
    labels[:complete] = truth[:complete] + 1
    support.add(Volume(image, axes), labels, complete=True, normalization=RAW)
    return support


@pytest.fixture(scope="module")
def phantom():
    image, truth = stack()
    return image, support_of(image, truth)


def view_of(plane):
    return ImageView(Volume(plane, "YX"), RAW, (), 2)


# -------------------------------------------------------------------------- what comes out


def test_finds_on_other_slices_what_was_finished_on_one():
    image, truth = stack((3, 100, 120), seed=5)
    segmenter = load_segmenter("in-context", device="cpu", **SMALL, ensemble=2)
    found = segmenter.fit(support_of(image, truth))(image[1:]).argmax(0)
    for value in range(3):
        dice = 2 * ((found == value) & (truth[1:] == value)).sum()
        dice /= (found == value).sum() + (truth[1:] == value).sum()
        assert dice > 0.9


@pytest.mark.parametrize("shape", [(100, 140), (64, 64), (40, 90), (1, 7), (200, 33)])
@pytest.mark.parametrize("downscale", [1, 3])
def test_probabilities_for_images_of_any_size(segmenter, phantom, shape, downscale):
    predictor = segmenter(downscale=downscale).fit(phantom[1])
    found = predictor(np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8))
    assert found.shape == (3, *shape)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)
    assert found.min() >= 0


def _two_sizes(small=1):
    """Return an image with a large square and small ones, and its classes."""
    truth = np.zeros((1, 600, 600), np.uint8)
    truth[0, 60:260, 60:260] = 2
    truth[0, 300:580:20, 300:580:20] = small
    truth[0] = np.maximum(truth[0], small * ndimage.grey_dilation(truth[0] == small, 9))
    return (60 + 80 * truth).astype(np.uint8), truth


def test_the_scale_of_each_class_follows_from_what_is_painted_and_is_told(segmenter):
    image, truth = _two_sizes()
    predictor = segmenter(downscale=0).fit(support_of(image, truth))
    assert [(task.value, task.downscale) for task in predictor._draws[0]] == [(2, 1), (3, 9)]
    (said,) = predictor.notes
    assert "bright at its own size, dark at 1/9 of its size" in said
    assert predictor.tile_shape == (64, 64)
    found = predictor(image[0, :100, :90])
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)
    assert segmenter(downscale=9).fit(support_of(image, truth)).notes == ()


def test_a_class_is_seen_at_its_own_scale_with_the_tile_in_the_middle(segmenter):
    image, truth = _two_sizes()
    predictor = segmenter(downscale=0).fit(support_of(image, truth))
    _, far = predictor._draws[0]
    tile = Box((100, 40), (164, 104))
    found = predictor.predict_tile(view_of(image[0]), tile)
    lead, side = (far.crop_px - 64) // 2, far.crop_px
    padded = np.pad(image[0].astype(np.float32), side, mode="reflect")
    y, x = tile.start[0] + side - lead, tile.start[1] + side - lead
    small = downscale_local_mean(padded[y : y + side, x : x + side], (9, 9))
    spread = ((small - small.min()) / np.ptp(small)).astype(np.float32)
    logits = predictor._runner.logits(spread, far).numpy()
    larger = ndimage.zoom(logits, 9, order=1, mode="nearest", grid_mode=True)
    there = larger[lead : lead + 64, lead : lead + 64]
    np.testing.assert_allclose(np.log(found[2] / found[0]), there, atol=1e-3)


def test_the_examples_most_like_a_tile_are_shown(segmenter, phantom):
    predictor = segmenter(choose_from=6, support_size=2).fit(phantom[1])
    task = predictor._draws[0][0]
    assert task.n_examples == 6
    asked = []
    predictor._runner.logits = lambda image, task, *, keep: (
        asked.append(task) or torch.zeros(64, 64)
    )
    query = task.images[0, 4, 0].numpy()  # of two examples for it, itself is one
    predictor._logits(query, task)
    (shown,) = asked
    assert shown.n_examples == 2
    assert any(torch.equal(one, task.images[0, 4]) for one in shown.images[0])


@pytest.mark.parametrize("downscale", [1, 2])
def test_a_tile_is_asked_of_the_network_as_it_was_trained(segmenter, phantom, downscale):
    image, support = phantom
    made = segmenter(downscale=downscale, ensemble=2)
    predictor = made.fit(support)
    tile = next(predictor.grid((100, 140)).tiles())
    found = predictor.predict_tile(view_of(image[1]), tile)

    pad = (64 * downscale - tile.shape[0]) // 2
    whole = np.pad(image[1][tile.slices] / 255.0, ((pad, pad), (0, 0)), mode="reflect")
    small = downscale_local_mean(whole, (downscale, downscale))
    query = torch.tensor((small - small.min()) / (small.max() - small.min()))[None, None].float()
    probabilities = []
    for tasks in predictor._draws:
        logits = [made.network(query, t.images, t.labels, factorised=False) for t in tasks]
        odds = [np.ones((64 * downscale, 64 * downscale))]
        for found_logits in logits:
            small_logits = found_logits[0, 0].detach().numpy()
            odds.append(np.exp(ndimage.zoom(small_logits, downscale, order=1, mode="nearest",
                                            grid_mode=True)))  # fmt: skip
        probabilities.append(np.stack(odds) / np.sum(odds, 0))
    larger = sum(probabilities) / 2
    inside = larger[:, pad : pad + tile.shape[0]]
    assert inside.std() > 0.01
    np.testing.assert_allclose(found, inside, atol=1e-5)


def test_each_class_has_its_own_support(segmenter, phantom):
    predictor = segmenter().fit(phantom[1])
    (tasks,) = predictor._draws
    assert [t.value for t in tasks] == [2, 3]
    for t in tasks:
        assert t.images.shape == t.labels.shape == (1, 3, 1, 64, 64)
        assert set(t.labels.unique().tolist()) == {0, 1}
        # The brightest is bright and the darkest dark, so the labels are of the right class.
        inside, outside = t.images[t.labels > 0].mean(), t.images[t.labels == 0].mean()
        assert (inside > outside) == (t.value == 2)


def test_with_one_class_the_answer_is_the_sigmoid(segmenter):
    image, truth = stack()
    support = support_of(image, np.minimum(truth, 1), classes=("background", "thing"))
    made = segmenter()
    predictor = made.fit(support)
    tile = Box((0, 0), (64, 64))
    found = predictor.predict_tile(view_of(image[1]), tile)
    ((only,),) = predictor._draws
    part = image[1, :64, :64].astype(np.float32)
    logits = predictor._runner.logits((part - part.min()) / np.ptp(part), only)
    np.testing.assert_allclose(found[1], torch.sigmoid(logits).numpy(), atol=1e-5)


def test_without_a_background_every_class_is_asked_for(segmenter):
    image, truth = stack()
    support = support_of(image, truth, classes=("grey", "bright", "dark"))
    predictor = segmenter().fit(support)
    assert [t.value for t in predictor._draws[0]] == [1, 2, 3]
    np.testing.assert_allclose(predictor(image[1]).sum(0), 1, atol=1e-5)


@pytest.mark.parametrize("missing", ["background", "dark"])
def test_a_class_that_nothing_shows_gets_nothing(segmenter, missing):
    image, truth = stack()
    classes = ("background", "a", "b", "dark")
    support = SupportSet(classes)
    labels = np.zeros(truth.shape, np.uint8)
    labels[0] = truth[0] + (2 if missing == "background" else 1)
    support.add(Volume(image, "ZYX"), labels, complete=True, normalization=RAW)
    found = segmenter().fit(support)(image[1])
    index = classes.index(missing)
    assert not found[index].any()
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)


def test_colour_images_are_seen_as_grey(segmenter):
    image, truth = stack()
    grey = segmenter().fit(support_of(image, truth))
    colour = np.repeat(image[..., None], 3, -1)
    support = SupportSet(("background", "bright", "dark"))
    labels = np.zeros(truth.shape, np.uint8)
    labels[0] = truth[0] + 1
    normalization = Normalization((0.0,) * 3, (255.0,) * 3)
    support.add(Volume(colour, "ZYXC"), labels, complete=True, normalization=normalization)
    predictor = segmenter().fit(support)
    assert predictor.n_channels == 3
    np.testing.assert_allclose(predictor(colour[1]), grey(image[1]), atol=1e-4)


# ----------------------------------------------------------------------- the same every time


def test_any_part_of_an_image_gives_the_same_result(segmenter, phantom):
    image, support = phantom
    predictor = segmenter().fit(support)
    view = view_of(image[1])
    whole = run(predictor.predict_box(view, view.box))
    part = Box((30, 50), (81, 133))
    np.testing.assert_allclose(
        run(predictor.predict_box(view, part)), whole[:, *part.slices], atol=1e-6
    )


def test_the_seed_decides(segmenter):
    image, truth = stack((1, 300, 300))
    support = support_of(image, truth)
    once, again, other = (
        segmenter(seed=seed, support_size=2).fit(support)(image[0, :64, :64]) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(once, again)
    assert np.abs(once - other).max() > 1e-4


def test_an_ensemble_is_the_mean_of_its_draws(segmenter):
    image, truth = stack((1, 300, 300))
    predictor = segmenter(ensemble=3, support_size=2).fit(support_of(image, truth))
    together, draws = predictor(image[0, :64, :64]), predictor._draws
    assert len(draws) == 3
    alone = []
    for tasks in draws:
        predictor._draws = [tasks]
        alone.append(predictor(image[0, :64, :64]))
    assert np.abs(alone[0] - alone[1]).max() > 1e-4
    np.testing.assert_allclose(together, np.mean(alone, 0), atol=1e-6)


def test_less_memory_gives_the_same_result(segmenter, phantom):
    image, support = phantom
    predictor = segmenter(support_size=9).fit(support)
    results = [predictor(image[1])]
    while predictor.reduce_memory():
        results.append(predictor(image[1]))
    assert len(results) == 4  # four examples at a time, two, one, and nothing kept
    assert not predictor._runner._encoded
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], atol=1e-5)
    assert not predictor.reduce_memory()


def test_encoded_support_is_kept_only_where_there_is_room(segmenter, phantom, monkeypatch):
    image, support = phantom
    kept = segmenter().fit(support)
    expected = kept(image[1])
    nbytes = [encoded.nbytes for encoded in kept._runner._encoded.values()]
    assert len(nbytes) == 2
    monkeypatch.setattr(context_network, "KEPT_BYTES", sum(nbytes) - 1)
    tight = segmenter().fit(support)
    np.testing.assert_allclose(tight(image[1]), expected, atol=1e-6)
    assert len(tight._runner._encoded) == 1


def test_support_is_encoded_once_for_all_tiles(segmenter, phantom, monkeypatch):
    calls, encode = [], UniverSeg.encode_support

    def spy(self, *given, **options) -> EncodedSupport:
        calls.append(given[0].shape[1])
        return encode(self, *given, **options)

    monkeypatch.setattr(UniverSeg, "encode_support", spy)
    predictor = segmenter().fit(phantom[1])
    predictor(phantom[0])
    assert calls == [3, 3]


def test_half_precision_is_near(segmenter, weights, phantom):
    image, support = phantom
    half = InContext(InContextConfig(**SMALL), weights=weights, device="cpu", bf16=True)
    exact, near = (s.fit(support)(image[1]) for s in (segmenter(), half))
    assert 0 < np.abs(exact - near).max() < 0.05


# ------------------------------------------------------------------------------ being told


def test_fitting_can_be_stopped_between_crops(segmenter, phantom):
    steps = sum(1 for _ in segmenter(ensemble=2).fit_in_steps(phantom[1]))
    assert steps == 2 * 2 * 3


def test_a_tile_can_be_stopped_between_classes(segmenter, phantom):
    image, support = phantom
    predictor = segmenter(ensemble=2).fit(support)
    view, tile = view_of(image[1]), Box((0, 0), predictor.tile_shape)
    answers = []

    def predict():
        answers.append((yield from predictor.predict_in_steps(view, tile)))

    assert len(list(predict())) == sum(len(tasks) for tasks in predictor._draws)
    np.testing.assert_array_equal(answers[0], predictor.predict_tile(view, tile))
    parts = list(predictor.predict_parts(view, tile, [tile]))
    assert parts.count(None) == len(parts) - 1


def test_strokes_alone_are_refused(segmenter):
    image, truth = stack()
    labels = np.zeros(truth.shape, np.uint8)
    labels[0, 50, 20:60], labels[0, 70, 20:60] = 1, 2
    support = SupportSet(("background", "thing"))
    support.add(Volume(image, "ZYX"), labels)
    with pytest.raises(InputError, match="choose the pixel head"):
        segmenter().fit(support)


def test_strokes_beside_complete_slices_are_told(segmenter):
    image, truth = stack()
    support = support_of(image, truth)
    assert segmenter().fit(support).notes == ()
    labels = np.zeros(truth.shape, np.uint8)
    labels[1, 50, 20:60] = 2
    support.add(Volume(image, "ZYX"), labels)
    (note,) = segmenter().fit(support).notes
    assert note.startswith("1 painted slice with strokes only is not used")
    predictor = segmenter().fit(support)
    out = np.zeros(truth.shape, np.uint8)
    events = segment_volume(Volume(image, "ZYX"), predictor, out)
    assert next(events) == Note(note)
    events.close()


def test_an_image_of_another_kind_is_refused(segmenter, phantom):
    predictor = segmenter().fit(phantom[1])
    with pytest.raises(InputError, match="3 channel"):
        predictor.check(Volume(np.zeros((8, 8, 3), np.uint8), "YXC"))


def test_weights_of_another_network_are_refused_by_name(tmp_path):
    torch.save({"fc.weight": torch.ones(3)}, tmp_path / "resnet.pt")
    with pytest.raises(WeightsError, match="resnet is no UniverSeg network"):
        load_segmenter("in-context", weights=str(tmp_path / "resnet.pt"), device="cpu")


def test_the_released_layout_is_loaded_from_a_file(tmp_path):
    torch.manual_seed(1)
    original = UniverSeg()
    torch.save(original.state_dict(), tmp_path / "universeg_v1.pt")
    made = load_segmenter("in-context", weights=str(tmp_path / "universeg_v1.pt"), device="cpu")
    assert (made.weights.n_tensors, made.weights.n_parameters) == (44, 1_182_785)
    for name, tensor in made.network.state_dict().items():
        assert torch.equal(tensor, original.state_dict()[name])
