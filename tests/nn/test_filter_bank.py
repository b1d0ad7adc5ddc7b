"""The filter bank against slow references, and the exactness of its tiles."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_regcon.nn import filter_bank
from napari_regcon.nn.filter_bank import FilterBank, geometric_sigmas


def smooth_noise(shape, sigma=1.5, seed=0):
    image = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma)
    return (0.5 + 0.25 * image / image.std()).clip(-0.5, 1.5).astype(np.float32)


def whole(bank, image):
    """Features of a whole image, mirrored at its borders."""
    padded = np.pad(image, [(h, h) for h in bank.halo_px], mode="reflect")
    return bank(torch.from_numpy(padded[None]), (0,) * image.ndim).numpy()


def reference(image, sigma, aspect):
    """Slow transcription of one scale at full resolution: a dictionary of feature images."""
    sigmas = [sigma / a for a in aspect]
    image = image.astype(np.float64)

    def gaussian(values, factor=1.0):
        for axis, s in enumerate(sigmas):
            radius = int(np.ceil(filter_bank.TRUNCATE * factor * s))
            values = ndimage.gaussian_filter1d(
                values, factor * s, axis=axis, mode="mirror", radius=radius
            )
        return values

    def derivative(values, *axes):
        if len(axes) == 2 and axes[0] == axes[1]:
            values = ndimage.correlate1d(values, [1, -2, 1], axes[0], mode="mirror")
        else:
            for axis in axes:
                values = ndimage.correlate1d(values, [-0.5, 0, 0.5], axis, mode="mirror")
        return values * np.prod([sigmas[axis] for axis in axes])

    smooth = gaussian(image)
    n = image.ndim
    slopes = [derivative(smooth, i) for i in range(n)]
    hessian = np.stack([[derivative(smooth, i, j) for j in range(n)] for i in range(n)])
    # The mirrored continuation of a product of derivatives is odd where one of them is across
    # the border, so it is averaged on a mirrored enlargement of the image instead.
    tensor = np.stack(
        [[gaussian_of_product(image, sigmas, i, j) for j in range(n)] for i in range(n)]
    )
    eigenvalues = [
        np.linalg.eigvalsh(np.moveaxis(m, (0, 1), (-2, -1)))[..., ::-1] for m in (hessian, tensor)
    ]
    floor = filter_bank.NOISE_FLOOR
    roots = np.sqrt(eigenvalues[1].clip(0) + floor**2) - floor
    return [
        smooth,
        np.sqrt(sum(s**2 for s in slopes)),
        sum(hessian[i, i] for i in range(n)),
        *np.moveaxis(eigenvalues[0], -1, 0),
        *np.moveaxis(roots, -1, 0),
    ]


def gaussian_of_product(image, sigmas, i, j):
    pad = [int(np.ceil(10 * s)) + 2 for s in sigmas]
    big = np.pad(image, [(p, p) for p in pad], mode="reflect")
    for axis, s in enumerate(sigmas):
        radius = int(np.ceil(filter_bank.TRUNCATE * s))
        big = ndimage.gaussian_filter1d(big, s, axis=axis, radius=radius)
    product = 1.0
    for axis in (i, j):
        product = product * sigmas[axis] * ndimage.correlate1d(big, [-0.5, 0, 0.5], axis)
    for axis, s in enumerate(sigmas):
        wide = s * filter_bank.INTEGRATION
        radius = int(np.ceil(filter_bank.TRUNCATE * wide))
        product = ndimage.gaussian_filter1d(product, wide, axis=axis, radius=radius)
    return product[tuple(slice(p, -p) for p in pad)]


@pytest.mark.parametrize("sigma", [0.7, 1.3, 2.2, 3.1])
def test_a_plane_agrees_with_scipy(sigma):
    image = smooth_noise((47, 61))
    bank = FilterBank([sigma], (1, 1))
    found = whole(bank, image)
    np.testing.assert_array_equal(found[0], image)
    for name, a, b in zip(bank.names[1:], found[1:], reference(image, sigma, (1, 1)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("aspect", [(1, 1, 1), (3.1, 1, 1)])
def test_a_stack_agrees_with_scipy(aspect):
    image = smooth_noise((15, 24, 21))
    bank = FilterBank([1.4], aspect)
    found = whole(bank, image)
    for name, a, b in zip(bank.names[1:], found[1:], reference(image, 1.4, aspect), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("sigma", [4, 8.0, 16.0])
def test_wide_filters_on_a_coarse_lattice_are_close_to_the_full_ones(sigma):
    image = smooth_noise((150, 170), sigma=3)
    bank = FilterBank([sigma], (1, 1))
    found = whole(bank, image)[1:]
    for name, a, b in zip(bank.names[1:], found, reference(image, sigma, (1, 1)), strict=True):
        # Interpolated magnitudes are blunt where the true one has a cusp, so not every pixel.
        assert np.quantile(np.abs(a - b), 0.95) < 0.1 * np.ptp(b), name
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.98, name


def test_differences_of_gaussians_are_those_of_neighbouring_scales():
    bank = FilterBank([1.0, 2.0, 4.0], (1, 1))
    found = dict(zip(bank.names, whole(bank, smooth_noise((40, 40))), strict=True))
    expected = found["Gaussian, 2 px"] - found["Gaussian, 4 px"]
    np.testing.assert_array_equal(found["difference of Gaussians, 2 and 4 px"], expected)


@pytest.mark.parametrize("aspect", [(1.0, 1.0), (2.5, 1.0, 1.0)])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_tile_with_its_halo_is_the_crop_of_the_whole(aspect, data):
    bank = FilterBank([0.7, 2.0, 4.5, 7.0], aspect)
    shape = (90, 85) if len(aspect) == 2 else (9, 40, 37)
    image = smooth_noise(shape, seed=1)
    start = [data.draw(st.integers(0, n - 1)) for n in shape]
    stop = [data.draw(st.integers(a + 1, n)) for a, n in zip(start, shape, strict=True)]
    padded = np.pad(image, [(h, h) for h in bank.halo_px], mode="reflect")
    inside = tuple(slice(a, b + 2 * h) for a, b, h in zip(start, stop, bank.halo_px, strict=True))
    tile = bank(torch.from_numpy(padded[inside][None].copy()), start).numpy()
    crop = whole(bank, image)[:, *(slice(a, b) for a, b in zip(start, stop, strict=True))]
    np.testing.assert_allclose(tile, crop, atol=1e-5)


@pytest.mark.parametrize("sigma", [1.0, 5.0, 9.0])
def test_the_halo_is_as_small_as_it_can_be(sigma):
    bank = FilterBank([sigma], (1, 1))
    (halo, _), step = bank.halo_px, bank._scales[0][0].step_px
    image = torch.rand(1, 5 + 2 * halo, 5 + 2 * halo, generator=torch.Generator().manual_seed(0))
    worst = (step - 1, step - 1)
    changed = image.clone()
    changed[:, 0] += 1
    assert not torch.equal(bank(image, worst), bank(changed, worst))


def test_channels_are_filtered_one_by_one():
    bank = FilterBank([1.0, 6.0], (1, 1))
    channels = [smooth_noise((60, 60), seed=i) for i in range(3)]
    padded = np.pad(channels, [(0, 0), *((h, h) for h in bank.halo_px)], mode="reflect")
    found = bank(torch.from_numpy(padded), (0, 0))
    assert found.shape == (3 * bank.n_features, 60, 60)
    for i, part in enumerate(found.split(bank.n_features)):
        np.testing.assert_allclose(part, whole(bank, channels[i]), atol=1e-6)


def test_a_constant_image_has_no_edges_at_any_scale():
    bank = FilterBank(geometric_sigmas(0.7, 16), (1, 1))
    found = dict(zip(bank.names, whole(bank, np.full((40, 50), 0.3, np.float32)), strict=True))
    for name, values in found.items():
        flat = name == "intensity" or name.startswith("Gaussian")
        np.testing.assert_allclose(values, 0.3 if flat else 0.0, atol=2e-5, err_msg=name)


def test_brightness_scale_is_kept_by_derivatives_at_every_scale():
    # A ramp has the same scale-normalised slope per sigma everywhere inside.
    sigmas = [1.0, 2.0, 4.0, 8.0]
    bank = FilterBank(sigmas, (1, 1))
    ramp = np.tile(np.linspace(0, 1, 201, dtype=np.float32), (201, 1))
    found = dict(zip(bank.names, whole(bank, ramp)[:, 100, 100], strict=True))
    for sigma in sigmas:
        assert found[f"gradient magnitude, {sigma:.2g} px"] == pytest.approx(sigma / 200, rel=1e-3)


def test_scales_run_from_the_finest_to_the_widest_evenly():
    sigmas = geometric_sigmas(0.7, 16.0)
    assert sigmas[0] == pytest.approx(0.7)
    assert sigmas[-1] == pytest.approx(16.0)
    ratios = [b / a for a, b in itertools.pairwise(sigmas)]
    np.testing.assert_allclose(ratios, ratios[0])
    assert geometric_sigmas(4.0, 4.0) == pytest.approx([4.0, 4.0])
