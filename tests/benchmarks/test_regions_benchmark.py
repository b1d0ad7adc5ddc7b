"""The measures of the region benchmark, on cases small enough to count by hand."""

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from benchmarks import regions

TRUTH = np.repeat([[0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]], 4, axis=0)


def shifted(columns):
    return np.repeat([[0] * (6 + columns) + [1] * (6 - columns)], 4, axis=0)


def test_borders_within_two_pixels_count():
    assert regions.boundary_recall(TRUTH, TRUTH) == 1
    assert regions.boundary_recall(shifted(2), TRUTH) == 1
    assert regions.boundary_recall(shifted(3), TRUTH) == 0.5  # of two columns, one is in reach
    assert regions.boundary_recall(np.zeros_like(TRUTH), TRUTH) == 0
    assert np.isnan(regions.boundary_recall(TRUTH, np.zeros_like(TRUTH)))


def test_what_leaks_is_counted_for_both_classes():
    assert regions.undersegmentation(TRUTH, TRUTH) == 0
    # The first region has two columns of the other class: lost to both classes.
    assert regions.undersegmentation(shifted(2), TRUTH) == pytest.approx(2 * 2 / 12)


def test_rivals_come_near_the_number_asked_for():
    noise = np.random.default_rng(0).random((96, 96)).astype(np.float32)
    image = 4 * ndimage.gaussian_filter(noise, 3)
    for cut in regions.RIVALS.values():
        assert 30 <= cut(image, 40).max() + 1 <= 50


def test_the_command_measures_and_draws(tmp_path, capsys):
    folder = tmp_path / "data" / "steps"
    folder.mkdir(parents=True)
    truth = np.kron([[1, 2], [2, 1]], np.ones((32, 32))).astype(np.uint8)
    stack = np.stack([truth, truth])
    noise = np.random.default_rng(0).normal(0, 4, stack.shape)
    tifffile.imwrite(folder / "raw.tif", (90 * stack + noise).astype(np.uint8))
    tifffile.imwrite(folder / "labels.tif", stack)
    (folder / "dataset.toml").write_text(
        """
name = "steps"
modality = "made up"
role = "measure"
licence = "none"
axes = "ZYX"
labels_are = "classes"
classes = { 1 = "one", 2 = "two" }
[[images]]
raw = "raw.tif"
labels = "labels.tif"
"""
    )
    arguments = ["--data", str(tmp_path / "data"), "--dataset", "steps", "--planes", "1"]
    arguments += ["--pictures", str(tmp_path), "--out", str(tmp_path / "out.json")]
    arguments += ["--weights", "regcon-em", "--device", "cpu"]
    assert regions.main(arguments) == 0
    assert "| steps | 400 | regions | 10 | 1.000 |" in capsys.readouterr().out
    assert (tmp_path / "regions-steps.jpg").stat().st_size > 1000
    assert (tmp_path / "soft-regions-steps.jpg").exists()
