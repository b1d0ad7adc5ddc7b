"""The pixel head from strokes to probabilities."""

import numpy as np
import pytest
import torch
from blob_task import blobs, dice, strokes, support_of
from scipy.ndimage import gaussian_filter

from napari_regcon.config import PixelHeadConfig
from napari_regcon.data.normalize import estimate_normalization
from napari_regcon.data.support import SupportSet
from napari_regcon.data.views import ImageView
from napari_regcon.engine import feature_memory, feature_source, pixel_head
from napari_regcon.engine.feature_store import FeatureStore
from napari_regcon.engine.pixel_head import PixelHead
from napari_regcon.engine.registry import load_segmenter
from napari_regcon.engine.segmenter import run
from napari_regcon.engine.volume import segment_volume
from napari_regcon.errors import InputError
from napari_regcon.nn.guided import guided_filter
from napari_regcon.types import Box, Volume

SMALL = {"sigma_max_px": 4.0}
"""A bank with few scales, so that tests are quick."""


@pytest.fixture(scope="module")
def plane():
    image, truth = blobs((100, 120))
    return image, truth, support_of(image, strokes(truth), "YX")


@pytest.mark.parametrize(
    ("shape", "axes", "dimensions"),
    [((100, 120), "YX", 2), ((4, 60, 70), "ZYX", 2), ((20, 40, 44), "ZYX", 3)],
)
def test_strokes_become_the_right_regions(shape, axes, dimensions):
    image, truth = blobs(shape)
    painted = strokes(truth)
    if len(shape) == 3:
        painted[1::2] = 0
    head = PixelHead(PixelHeadConfig(dimensions=dimensions, **SMALL), device="cpu")
    predictor = head.fit(support_of(image, painted, axes))
    result = predictor(image)
    assert result.shape == (2, *shape)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result.sum(0), 1, atol=1e-5)
    assert predictor.classes == ("background", "blob")
    assert predictor.spatial_ndim == dimensions
    assert dice(result[1] > 0.5, truth > 0) > 0.9


def test_a_whole_volume_leaves_the_features_of_painted_slices_and_no_more(monkeypatch):
    image, truth = blobs((9, 60, 70))
    painted = strokes(truth)
    painted[:4] = painted[5:] = 0
    head = PixelHead(PixelHeadConfig(**SMALL), device="cpu", store=FeatureStore(10**6))
    predictor = head.fit(support_of(image, painted, "ZYX"))
    monkeypatch.setattr(feature_memory, "PASSING_BYTES", 0)
    before = head.store.usage_bytes
    labels = np.zeros(image.shape, np.uint8)
    for _ in segment_volume(Volume(image, "ZYX"), predictor, labels):
        pass
    assert before == head.store.usage_bytes > 0
    np.testing.assert_array_equal(labels, predictor(image).argmax(0) + 1)


def test_colour_is_used():
    rng = np.random.default_rng(0)
    _, truth = blobs((80, 80))
    image = rng.integers(100, 130, (80, 80, 3)).astype(np.uint8)
    # Equal brightness: only the colour tells the classes apart.
    image[truth > 0, 0] += 60
    image[truth > 0, 1] -= 60
    predictor = PixelHead(PixelHeadConfig(**SMALL)).fit(support_of(image, strokes(truth), "YXC"))
    assert predictor.n_channels == 3
    assert dice(predictor(image)[1] > 0.5, truth > 0) > 0.9
    with pytest.raises(InputError, match=r"1 channel\(s\).*with 3"):
        predictor.check(Volume(image[..., 0], "YX"))


def test_same_strokes_and_seed_give_the_same_bytes(plane):
    image, _, support = plane
    results = [PixelHead(PixelHeadConfig(seed=3, **SMALL)).fit(support)(image) for _ in range(2)]
    assert results[0].tobytes() == results[1].tobytes()


def test_a_shared_store_changes_nothing_and_is_filled_by_the_fit(plane):
    image, _, support = plane
    store = FeatureStore()
    head = PixelHead(PixelHeadConfig(**SMALL), store=store)
    first = head.fit(support)(image)
    filled = store.usage_bytes
    assert filled > 0
    again = load_segmenter("pixel-head", store=store, **SMALL).fit(support)(image)
    assert first.tobytes() == again.tobytes()


def test_the_result_is_smoothed_in_each_plane_as_if_there_were_no_tiles(monkeypatch):
    for dimensions, shape, axes in ((2, (90, 75), "YX"), (3, (6, 50, 45), "ZYX")):
        monkeypatch.setitem(feature_source.TILE_SHAPES, dimensions, (4, 32, 32)[-dimensions:])
        image, truth = blobs(shape)
        support = support_of(image, strokes(truth), axes)
        config = {"dimensions": dimensions, **SMALL}
        rough = PixelHead(PixelHeadConfig(smoothing=0, **config)).fit(support)(image)
        smooth = PixelHead(PixelHeadConfig(smoothing=2, **config)).fit(support)(image)
        grey = support.examples[0].normalization(image.astype(np.float32))
        grey = gaussian_filter(grey, 0.7, radius=3, mode="mirror", axes=(-2, -1))
        for plane in np.ndindex(shape[:-2]):
            found, was = (torch.from_numpy(r[:, *plane].copy()) for r in (smooth, rough))
            guide = torch.from_numpy(grey[plane].astype(np.float16)).float()
            expected = guided_filter(was, guide, 2).clamp(0, 1)
            torch.testing.assert_close(found, expected, atol=2e-3, rtol=0)
        np.testing.assert_allclose(smooth.sum(0), 1, atol=1e-5)
        assert np.abs(smooth - rough).max() > 0.05


def test_any_box_is_the_crop_of_the_whole(monkeypatch):
    monkeypatch.setitem(feature_source.TILE_SHAPES, 2, (32, 32))
    image, truth = blobs((90, 75))
    support = support_of(image, strokes(truth), "YX")
    predictor = PixelHead(PixelHeadConfig(**SMALL)).fit(support)
    view = support.examples[0].view(2)
    whole = run(predictor.predict_box(view, view.box))
    box = Box((11, 30), (71, 75))
    part = run(predictor.predict_box(view, box))
    np.testing.assert_array_equal(part, whole[:, *box.slices])


def test_tiles_do_not_show(monkeypatch):
    image, truth = blobs((90, 75))
    support = support_of(image, strokes(truth), "YX")
    results = []
    for side in (32, 40, 128):
        monkeypatch.setitem(feature_source.TILE_SHAPES, 2, (side, side))
        results.append(PixelHead(PixelHeadConfig(**SMALL)).fit(support)(image))
    np.testing.assert_allclose(results[1], results[0], atol=1e-2)
    np.testing.assert_allclose(results[2], results[0], atol=1e-2)


def test_less_memory_gives_the_same_result(plane):
    image, _, support = plane
    predictor = PixelHead(PixelHeadConfig(**SMALL)).fit(support)
    whole = predictor(image)
    steps = 0
    while predictor.reduce_memory():
        steps += 1
    assert 2 <= steps < 30
    np.testing.assert_allclose(predictor(image), whole, atol=1e-2)


def test_some_planes_of_a_stack_are_the_bytes_of_the_whole(monkeypatch):
    monkeypatch.setitem(feature_source.TILE_SHAPES, 3, (8, 24, 24))
    image, truth = blobs((20, 40, 44))
    support = support_of(image, strokes(truth), "ZYX")
    predictor = PixelHead(PixelHeadConfig(dimensions=3, **SMALL)).fit(support)
    view = support.examples[0].view(3)
    whole = run(predictor.predict_box(view, view.box))
    for box in (Box((5, 0, 0), (6, 40, 44)), Box((6, 3, 20), (17, 30, 44))):
        part = run(predictor.predict_box(view, box))
        np.testing.assert_array_equal(part, whole[:, *box.slices])
    np.testing.assert_array_equal(
        predictor.predict_tile(view, Box((0, 0, 0), (8, 24, 24))), whole[:, :8, :24, :24]
    )


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_draft_has_every_few_pixels_of_the_whole(monkeypatch, dimensions):
    monkeypatch.setitem(feature_source.TILE_SHAPES, dimensions, (8, 32, 32)[-dimensions:])
    image, truth = blobs((20, 70, 75)[-dimensions:])
    support = support_of(image, strokes(truth), "ZYX"[-dimensions:])
    config = PixelHeadConfig(dimensions=dimensions, smoothing=0, **SMALL)
    predictor = PixelHead(config, device="cpu").fit(support)
    view = support.examples[0].view(dimensions)
    box = Box((5, 11, 30)[-dimensions:], (6, 70, 74)[-dimensions:])
    predictor.source.store.clear()
    assert predictor.draft(view, box, 3) is None  # that would take as long as the whole
    whole = run(predictor.predict_box(view, box))
    for step in (3, 3, 4):
        draft = predictor.draft(view, box, step)
        np.testing.assert_allclose(draft, whole[..., ::step, ::step], atol=1e-6)


def test_a_class_that_is_not_painted_yet_is_never_predicted():
    image, truth = blobs((60, 60))
    support = support_of(image, strokes(truth), "YX", ("background", "unseen", "blob"))
    support.examples.clear()
    painted = strokes(truth)
    painted[painted == 2] = 3
    support.add(Volume(image, "YX"), painted)
    result = PixelHead(PixelHeadConfig(**SMALL)).fit(support)(image)
    assert result.shape == (3, 60, 60)
    assert (result[1] == 0).all()
    np.testing.assert_allclose(result.sum(0), 1, atol=1e-5)


def test_one_class_alone_is_refused_before_any_work():
    image, truth = blobs((60, 60))
    painted = np.where(strokes(truth) == 2, 2, 0).astype(np.uint8)
    store = FeatureStore()
    with pytest.raises(InputError, match="background"):
        PixelHead(store=store).fit(support_of(image, painted, "YX"))
    assert store.usage_bytes == 0


def test_a_plane_has_no_neighbours_to_look_at(plane):
    _, _, support = plane
    with pytest.raises(InputError, match="Look in: 2"):
        PixelHead(PixelHeadConfig(dimensions=3)).fit(support)


def test_grey_and_colour_cannot_be_mixed(plane):
    image, truth = blobs((60, 60))
    support = support_of(image, strokes(truth), "YX")
    colour = np.repeat(image[..., None], 3, axis=-1)
    support.add(Volume(colour, "YXC", name="the colour one"), strokes(truth))
    with pytest.raises(InputError, match="the colour one"):
        PixelHead().fit(support)


def test_voxel_size_scales_the_filters_along_depth(plane):
    image, truth = blobs((20, 40, 44))
    support = SupportSet(("background", "blob"))
    volume = Volume(image, "ZYX", scale=(30.0, 10.0, 10.0), units=("nanometer",) * 3)
    support.add(volume, strokes(truth))
    predictor = PixelHead(PixelHeadConfig(dimensions=3, **SMALL)).fit(support)
    halo = predictor.source.extractor.halo_px
    assert halo[0] < halo[1] == halo[2]
    assert dice(predictor(image)[1] > 0.5, truth > 0) > 0.9


def test_finished_slices_are_sampled_so_that_fitting_stays_quick(monkeypatch):
    image, truth = blobs((128, 128))
    support = SupportSet(("background", "blob"))
    support.add(Volume(image, "YX"), truth * np.uint8(2), complete=True)
    assert support.painted_counts().sum() == 128 * 128
    monkeypatch.setattr(feature_source, "MAX_PIXELS_PER_CLASS", 200)
    seen = []
    fit = pixel_head.fit_classifier
    monkeypatch.setattr(
        pixel_head,
        "fit_classifier",
        lambda x, y, *rest, **more: seen.append(np.bincount(y)) or fit(x, y, *rest, **more),
    )
    result = PixelHead(PixelHeadConfig(**SMALL)).fit(support)(image)
    assert (seen[0] < 300).all()
    assert (seen[0] > 100).all()
    assert dice(result[1] > 0.5, truth > 0) > 0.9


def test_finished_slices_tell_how_much_of_a_class_there_is():
    rng = np.random.default_rng(0)
    truth = np.kron(rng.random((32, 32)) < 0.05, np.ones((8, 8), bool))
    # Hard to see: as dim as the noise is loud.
    image = (truth + rng.normal(0, 1.5, truth.shape)).astype(np.float32)
    labels = truth + np.uint8(1)
    found = []
    for mark in (True, False):
        support = SupportSet(("background", "patch"))
        given = labels.copy()
        given[0, 0] *= mark  # one pixel less, and it is no finished slice
        support.add(Volume(image, "YX"), given, complete=mark)
        found.append((PixelHead(PixelHeadConfig(**SMALL)).fit(support)(image)[1] > 0.5).mean())
    assert abs(found[0] - truth.mean()) < abs(found[1] - truth.mean())
    assert found[0] < found[1]


def test_a_fit_can_be_stopped_between_tiles(monkeypatch, plane):
    monkeypatch.setitem(feature_source.TILE_SHAPES, 2, (64, 64))
    _, _, support = plane
    store = FeatureStore()
    work = PixelHead(PixelHeadConfig(**SMALL), store=store).fit_in_steps(support)
    next(work)
    assert store.usage_bytes == 0  # also within the first tile
    while not store.usage_bytes:
        next(work)
    one_tile = store.usage_bytes
    work.close()
    assert store.usage_bytes == one_tile


def test_another_image_of_the_same_kind_can_be_predicted(plane):
    _, _, support = plane
    predictor = PixelHead(PixelHeadConfig(**SMALL)).fit(support)
    image, truth = blobs((70, 130), seed=5)
    brighter = (image.astype(np.float32) * 100 + 7).astype(np.float32)
    volume = Volume(brighter, "YX")
    view = ImageView(volume, estimate_normalization(volume), (), 2)
    result = run(predictor.predict_box(view, view.box))
    assert dice(result[1] > 0.5, truth > 0) > 0.85
