"""Fine-tuning that looks at neighbouring slices: as good at first, exact everywhere, refused."""

from unittest.mock import patch

import numpy as np
import pytest
import torch
from blob_task import support_of
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_regcon.config import FinetuneConfig
from napari_regcon.data.normalize import Normalization
from napari_regcon.data.views import ImageView
from napari_regcon.engine import feature_source
from napari_regcon.engine.device import choose_device
from napari_regcon.engine.embedding import save_network
from napari_regcon.engine.finetune import FineTuning, finetune
from napari_regcon.engine.finetuned import card_of, load_finetuned, save_finetuned
from napari_regcon.engine.finetuned_predictor import predictor_of
from napari_regcon.engine.registry import load_segmenter
from napari_regcon.engine.segmenter import run
from napari_regcon.engine.volume import segment_volume
from napari_regcon.errors import InputError, WeightsError
from napari_regcon.nn.class_net import ClassNet
from napari_regcon.nn.regcon import RegConNet
from napari_regcon.types import Volume

QUICK = {
    "crop_px": 64,
    "crops_per_step": 4,
    "width": 8,
    "levels": 2,
    "average_decay": 0.8,
    "check_every": 10,
    "learning_rate": 1e-2,
    "unlabelled": 0.0,
}


def random_net(neighbours, n_channels=1, seed=0):
    torch.manual_seed(seed)
    net = ClassNet(n_channels, 2, 4, 2, neighbours=neighbours)
    torch.nn.init.normal_(net.head.weight)
    return net.eval()


def noise(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def painted(image):
    """Return a support set with strokes of both classes on slice 1 of a stack."""
    labels = np.zeros(image.shape, np.uint8)
    for i in range(6):
        labels[1, 4 + 14 * i, 5:20] = 1
        labels[1, 4 + 14 * i, -20:-5] = 2
    return support_of(image, labels, "ZYX")


@pytest.fixture(scope="module")
def hidden():
    """A stack whose painted slice shows nothing: only those beside it tell left from right."""
    image = np.random.default_rng(1).normal(100, 20, (4, 90, 96))
    image[0::2, :, :48] += 60
    image[1::2] = 100
    image = image.clip(0, 255).astype(np.uint8)
    return image, painted(image)


def trained(support, neighbours, steps=25):
    config = FinetuneConfig(**QUICK, steps=steps, neighbours=neighbours)
    tuning = FineTuning(support, config, device="cpu")
    run(finetune(tuning))
    return tuning


@pytest.fixture(scope="module")
def tuned(hidden):
    return trained(hidden[1], 1)


def test_it_learns_what_only_the_neighbours_show(hidden, tuned):
    image, support = hidden
    net = tuned.result()
    found = predictor_of(net, 1, support, tuned.device)(image)[:, 1].argmax(0)
    assert (found[:, :44] == 0).mean() > 0.95
    assert (found[:, 52:] == 1).mean() > 0.95


def test_its_file_says_so_and_segments_as_it_does(hidden, tuned, tmp_path):
    image, support = hidden
    path = tmp_path / "net.safetensors"
    save_finetuned(tuned.result(), path, card_of(tuned, None))
    net, card = load_finetuned(path)
    assert (net.neighbours, card.neighbours, card.n_channels) == (1, 1, 1)
    predictor = load_segmenter(str(path), device="cpu").fit(support)
    whole = predictor(image)
    np.testing.assert_array_equal(
        whole, predictor_of(tuned.result(), 1, support, tuned.device)(image)
    )
    volume = support.examples[0].volume
    parts = np.zeros((2, *image.shape), np.float32)
    out = np.zeros(image.shape, np.uint8)
    for _ in segment_volume(
        volume,
        predictor,
        out,
        probabilities=parts,
        normalization=predictor.normalization,
        block_shape=(40, 50),
    ):
        pass
    np.testing.assert_allclose(parts, whole, atol=1e-6)
    np.testing.assert_array_equal(out, whole.argmax(0) + 1)
    flat = Volume(image[0], "YX", name="flat")
    with pytest.raises(InputError, match="'flat' has no depth axis"):
        predictor.check(flat)


def test_an_image_without_depth_is_refused_and_nothing_changes(hidden, tuned):
    image, support = hidden
    labels = np.zeros(image.shape[1:], np.uint8)
    labels[10, :20], labels[50, :20] = 1, 2
    flat = support_of(image[0], labels, "YX")
    with pytest.raises(InputError, match="no depth axis") as told:
        FineTuning(flat, FinetuneConfig(neighbours=1), device="cpu")
    assert "Slices beside" in str(told.value)
    moving = support_of(image, np.stack([labels] * len(image)), "TYX")
    with pytest.raises(InputError, match="no depth axis"):
        tuned.update(moving)
    assert tuned.support is support


@pytest.mark.parametrize("n_channels", [1, 3])
def test_a_pre_trained_network_answers_as_without_neighbours_at_first(n_channels):
    torch.manual_seed(0)
    start = RegConNet(width=8, levels=2).eval()
    alone, beside = (ClassNet(n_channels, 2, 8, 2, neighbours=n).eval() for n in (0, 2))
    for net in (alone, beside):
        net.start_from(start)
    image = torch.rand(1, 5 * n_channels, 16, 16)
    middle = image[:, 2 * n_channels : 3 * n_channels]
    with torch.no_grad():
        torch.testing.assert_close(beside.body.decode(image), alone.body.decode(middle))


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1)])
def test_training_goes_on_with_the_neighbours_that_both_look_at(before, after):
    start = random_net(before, n_channels=2)
    net = ClassNet(2, 2, 4, 2, neighbours=after).eval()
    net.start_from(start)
    shared = torch.rand(1, 6, 16, 16)  # the slice and one on either side; nothing farther away
    grown = torch.cat([torch.zeros(1, 2, 16, 16), shared, torch.zeros(1, 2, 16, 16)], 1)
    given = {1: shared, 2: grown}
    with torch.no_grad():
        torch.testing.assert_close(net(given[after]), start(given[before]))


@settings(max_examples=6)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(17, 40), st.integers(17, 40)),
    block=st.tuples(st.integers(12, 40), st.integers(12, 40)),
    neighbours=st.integers(1, 3),
    n_channels=st.sampled_from([1, 2]),
)
def test_blocks_planes_and_a_slow_transcription_agree(shape, block, neighbours, n_channels):
    image = noise(shape if n_channels == 1 else (*shape, n_channels))
    axes = "ZYX" if n_channels == 1 else "ZYXC"
    normalization = Normalization((0.0,) * n_channels, (255.0,) * n_channels)
    volume = Volume(image, axes)
    labels = np.zeros(shape, np.uint8)
    labels[0, 0, :5], labels[0, 5, :5] = 1, 2
    support = support_of(image, labels, axes)
    net = random_net(neighbours, n_channels)
    device = choose_device("cpu")
    with patch.dict(feature_source.TILE_SHAPES, {2: (24, 24)}):
        predictor = predictor_of(net, 1, support, device)
        by_block = np.zeros((2, *shape), np.float32)
        work = segment_volume(
            volume,
            predictor,
            np.zeros(shape, np.uint8),
            probabilities=by_block,
            normalization=normalization,
            block_shape=block,
        )
        for _ in work:
            pass
        again = predictor_of(net, 1, support, device)
        for z in range(shape[0]):
            view = ImageView(volume, normalization, (z,), 2)
            plane = run(again.predict_box(view, view.box))
            np.testing.assert_allclose(by_block[:, z], plane, atol=1e-6)
            about = 0.05 if device.supports_bf16 else 3e-3  # precision of features and network
            np.testing.assert_allclose(plane, slow(net, image / 255, z), atol=about)


def slow(net, image, z):
    """Return the probabilities of a plane, with all slices beside it gathered one by one."""
    image = image if image.ndim == 4 else image[..., None]
    depth, height, width, _ = image.shape
    pad = net.halo_px + net.stride
    pad += -pad % net.stride
    channels = []
    for at in range(z - net.neighbours, z + net.neighbours + 1):
        while depth > 1 and not 0 <= at < depth:
            at = -at if at < 0 else 2 * (depth - 1) - at  # noqa: PLW2901
        plane = image[at if depth > 1 else 0]
        for channel in np.moveaxis(plane, -1, 0):
            below = pad + -height % net.stride, pad + -width % net.stride
            channels.append(np.pad(channel, ((pad, below[0]), (pad, below[1])), mode="reflect"))
    with torch.no_grad():
        logits = net(torch.from_numpy(np.stack(channels)[None]).float())
    return logits.softmax(1)[0, :, pad : pad + height, pad : pad + width].numpy()


def test_a_card_that_claims_many_neighbours_is_refused(tuned, tmp_path):
    path = tmp_path / "net.safetensors"
    net = ClassNet(1, 2, 4, 2)
    about = {"classes": ["a", "b"], "n_channels": 1, "width": 4, "levels": 2, "downscale": 1}
    save_network(net, path, about)
    assert load_finetuned(path)[1].neighbours == 0  # one that was written before there were any
    save_network(net, path, about | {"neighbours": 100})
    with pytest.raises(WeightsError, match="neighbours 100"):
        load_finetuned(path)
