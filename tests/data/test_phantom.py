import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_regcon.config import parameters
from napari_regcon.data.phantom import CLASSES, PhantomConfig, make_phantom
from napari_regcon.data.phantom.fields import SmoothField
from napari_regcon.errors import InputError

MEMBRANE, MITOCHONDRION, VESICLE = (CLASSES.index(n) + 1 for n in CLASSES[1:])


@pytest.fixture(scope="module")
def phantom():
    return make_phantom((10, 128, 128), seed=6)


def test_it_has_image_truth_scale_and_every_class(phantom):
    volume = phantom.volume
    assert volume.data.shape == phantom.labels.shape == (10, 128, 128)
    assert volume.data.dtype == phantom.labels.dtype == np.uint8
    assert volume.axes == "ZYX"
    assert volume.scale == (30.0, 8.0, 8.0)
    assert set(volume.units) == {"nanometer"}
    share = np.bincount(phantom.labels.ravel(), minlength=5) / phantom.labels.size
    assert share[0] == 0
    assert 0.05 < share[MEMBRANE] < 0.35
    assert 0.01 < share[MITOCHONDRION] < 0.35
    assert 0.0005 < share[VESICLE] < 0.1


def test_membranes_and_mitochondria_are_darker_than_cytoplasm(phantom):
    image, labels = np.asarray(phantom.volume.data), phantom.labels
    mean = [image[labels == i + 1].mean() for i in range(len(CLASSES))]
    assert mean[0] > mean[MEMBRANE - 1] + 30
    assert mean[0] > mean[MITOCHONDRION - 1] + 30


def test_the_image_uses_the_grey_scale_without_much_clipping(phantom):
    image = np.asarray(phantom.volume.data)
    assert 25 < image.std() < 70
    assert np.isin(image, (0, 255)).mean() < 0.02


def test_membranes_part_the_volume_into_cells(phantom):
    middle = phantom.labels[5] != MEMBRANE
    cells, n = ndimage.label(middle)
    largest = np.bincount(cells.ravel())[1:].max()
    assert n > 8
    assert largest < 0.6 * middle.size


def test_mitochondria_and_vesicles_lie_inside_cells(phantom):
    organelles = phantom.labels >= MITOCHONDRION
    grown = ndimage.binary_dilation(organelles[:, 1:-1, 1:-1], np.ones((1, 3, 3)))
    touching = grown & (phantom.labels[:, 1:-1, 1:-1] == MEMBRANE)
    assert touching.sum() < 0.01 * organelles.sum()


def test_the_same_seed_gives_the_same_volume_and_another_seed_another():
    shape = (3, 48, 48)
    first, again, other = (make_phantom(shape, seed=s) for s in (5, 5, 6))
    assert np.array_equal(first.volume.data, again.volume.data)
    assert np.array_equal(first.labels, again.labels)
    assert (first.labels != other.labels).mean() > 0.05


@settings(max_examples=12, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 40), st.integers(1, 40)),
    voxel=st.sampled_from([(30.0, 8.0, 8.0), (50.0, 4.0, 4.0), (12.0, 12.0, 12.0)]),
    seed=st.integers(0, 1000),
)
def test_any_shape_voxel_size_and_kind_works(shape, voxel, seed):
    config = PhantomConfig.draw(np.random.default_rng(seed))
    phantom = make_phantom(shape, seed=seed, voxel_size_nm=voxel, config=config)
    assert phantom.volume.data.shape == phantom.labels.shape == shape
    assert phantom.volume.scale == voxel
    assert phantom.labels.min() >= 1
    assert phantom.labels.max() <= len(CLASSES)


def test_sections_that_lie_close_together_look_alike():
    def likeness(thickness_nm):
        config = PhantomConfig(noise=0.0, artefacts_per_section=0.0, jitter_px=0.0)
        labels = make_phantom((2, 96, 96), voxel_size_nm=(thickness_nm, 8.0, 8.0), config=config)
        return (labels.labels[0] == labels.labels[1]).mean()

    assert likeness(5.0) > 0.93 > likeness(120.0)


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ({"noise": 0.0}, {"noise": 0.2}),
        ({"contrast": 0.5}, {"contrast": 1.0}),
        ({"section_variation": 0.0}, {"section_variation": 0.2}),
    ],
)
def test_imaging_parameters_change_the_image_and_not_the_truth(less, more):
    shape = (4, 64, 64)
    calm = {"artefacts_per_section": 0.0}
    a = make_phantom(shape, seed=2, config=PhantomConfig(**calm, **less))
    b = make_phantom(shape, seed=2, config=PhantomConfig(**calm, **more))
    assert np.array_equal(a.labels, b.labels)
    assert np.std(a.volume.data) < np.std(b.volume.data)


def test_artefacts_leave_the_truth_alone():
    shape = (6, 64, 64)
    clean = make_phantom(shape, seed=1, config=PhantomConfig(artefacts_per_section=0.0))
    spoilt = make_phantom(shape, seed=1, config=PhantomConfig(artefacts_per_section=1.0))
    assert np.array_equal(clean.labels, spoilt.labels)
    changed = [
        np.abs(a.astype(float) - b).mean() > 1
        for a, b in zip(clean.volume.data, spoilt.volume.data, strict=True)
    ]
    assert all(changed)


def test_no_organelles_are_drawn_where_none_are_wanted():
    config = PhantomConfig(mitochondria_per_um3=0.0, synapses_per_um3=0.0)
    phantom = make_phantom((4, 96, 96), seed=1, config=config)
    assert phantom.labels.max() == MEMBRANE


def test_thicker_membranes_cover_more():
    thin, thick = (
        make_phantom((3, 96, 96), config=PhantomConfig(membrane_thickness_nm=t)) for t in (12, 40)
    )
    assert (thick.labels == MEMBRANE).sum() > 1.5 * (thin.labels == MEMBRANE).sum()


@pytest.mark.parametrize("wrong", [{"shape": (0, 8, 8)}, {"shape": (8, 8)}])
def test_an_impossible_shape_is_refused(wrong):
    with pytest.raises(InputError, match="three positive numbers"):
        make_phantom(**wrong)


def test_an_impossible_voxel_size_is_refused():
    with pytest.raises(InputError, match="voxel size"):
        make_phantom((4, 8, 8), voxel_size_nm=(30.0, 0.0, 8.0))


def test_a_parameter_out_of_range_is_refused():
    with pytest.raises(InputError, match="Noise"):
        PhantomConfig(noise=5.0)


def test_kinds_vary_and_stay_in_range():
    rng = np.random.default_rng(0)
    kinds = [PhantomConfig.draw(rng) for _ in range(20)]
    for item in parameters(PhantomConfig):
        values = [getattr(kind, item.name) for kind in kinds]
        assert len(set(values)) > 10
        assert min(values) >= item.minimum
        assert max(values) <= item.maximum


def test_a_field_has_unit_spread_and_the_same_values_on_a_grid_and_at_points():
    field = SmoothField.draw(np.random.default_rng(0), (300.0, 400.0), (10.0, 20.0))
    y, x = np.linspace(0, 300, 31), np.linspace(0, 400, 41)
    grid = field.grid(y, x)
    assert abs(grid.std() - 1) < 0.15
    points = np.stack(np.meshgrid(y, x, indexing="ij"), -1).reshape(-1, 2)
    assert np.allclose(field.at(points).reshape(grid.shape), grid, atol=1e-4)
