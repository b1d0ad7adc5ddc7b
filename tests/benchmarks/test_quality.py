"""The quality benchmark on a small data set: same figures twice, what a record holds, resuming."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dataset_folder import write_dataset

pytest.importorskip("matplotlib", reason="the benchmarks' own extra")

from benchmarks.datasets import load_dataset
from benchmarks.finetuning import methods_for
from benchmarks.methods import Method, Painted

from benchmarks import protocols, quality
from napari_regcon.config import FinetuneConfig
from napari_regcon.errors import InputError


def _write(folder, kind="classes", n_planes=6, role="measure"):
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:96, :120]
    truth = np.zeros((n_planes, 96, 120), np.uint8)
    for plane in truth:
        for number in range(1, 7):
            cy, cx = rng.integers(10, 86), rng.integers(10, 110)
            plane[(y - cy) ** 2 + (x - cx) ** 2 < 120] = number if kind == "instances" else 1
    raw = (truth > 0) * 90 + 80 + rng.normal(0, 20, truth.shape)
    squeezed = [a[0] if n_planes == 1 else a for a in (raw.clip(0, 255).astype(np.uint8), truth)]
    write_dataset(folder, *squeezed, role=role, labels_are=kind)


@pytest.fixture
def data(tmp_path):
    _write(tmp_path / "data" / "blobs")
    return tmp_path / "data"


def _run(data, out, *more):
    words = ["--data", str(data), "--fast", "--out", str(out), *more]
    assert quality.main([*words, "--methods", "pixel-head", "prototype"]) == 0
    return json.loads(out.read_text())


@pytest.mark.parametrize("budget", ["strokes", "slices"])
def test_running_twice_gives_the_same_figures(data, tmp_path, budget, capsys):
    first = _run(data, tmp_path / "a.json", "--budget", budget)
    second = _run(data, tmp_path / "b.json", "--budget", budget)
    dice = [[r["dice_mean"] for r in run["records"]] for run in (first, second)]
    assert dice[0] == dice[1]
    assert min(dice[0]) > 0.5
    record = first["records"][0]
    assert record.keys() >= {
        "dataset", "class", "method", "protocol", "budget", "dice_mean", "dice_std", "fit_s",
        "predict_s",
    }  # fmt: skip
    assert record["protocol"] == budget
    assert first["environment"].keys() >= {"commit", "device", "versions"}
    assert "| blobs | blob | pixel-head |" in capsys.readouterr().out
    assert (tmp_path / "a-blobs.png").stat().st_size > 1000


def test_a_finished_part_is_not_measured_again(data, tmp_path, monkeypatch):
    first = _run(data, tmp_path / "a.json")

    def fail(*_args, **_settings):
        raise AssertionError("measured again")

    monkeypatch.setattr(quality, "strokes_protocol", fail)
    assert _run(data, tmp_path / "a.json")["records"] == first["records"]


def test_each_budget_is_a_part_of_its_own(data, tmp_path):
    one = _run(data, tmp_path / "a.json", "--budgets", "6")
    assert {record["budget"] for record in one["records"]} == {6}
    two = _run(data, tmp_path / "a.json", "--budgets", "10", "6")
    assert [r for r in two["records"] if r["budget"] == 6] == one["records"]
    assert {record["budget"] for record in two["records"]} == {6, 10}
    again = _run(data, tmp_path / "a.json", "--budgets", "6")
    assert again["records"] == one["records"]


def test_fine_tuning_is_measured_by_budget_start_and_ingredient(data, tmp_path):
    plain = "fine-tuned-regcon-em-2steps"
    words = ["--data", str(data), "--fast", "--budgets", "8", "--out", str(tmp_path / "a.json")]
    words += ["--steps", "2", "--variants", "unlabelled=0,crop_px=64"]
    changed = f"{plain},unlabelled=0,crop_px=64"
    assert quality.main([*words, "--methods", plain, changed]) == 0
    records = json.loads((tmp_path / "a.json").read_text())["records"]
    assert [record["method"] for record in records] == [plain, changed]
    assert min(record["dice_mean"] for record in records) > 0.5


def test_a_variant_that_is_none_says_what_there_is():
    budgets = [FinetuneConfig(minutes=3), FinetuneConfig(steps=7)]
    assert set(methods_for(budgets, ["missing=0"])) == {
        f"fine-tuned-{name}"
        for budget in ("3min", "7steps")
        for name in (f"regcon-em-{budget}", f"scratch-{budget}", f"regcon-em-{budget},missing=0")
    }
    for bad in ("magic=1", "crop_px=many", "missing"):
        with pytest.raises(InputError, match="Expected NAME=VALUE"):
            methods_for(budgets, [bad])


def test_fast_keeps_to_data_that_no_weights_have_seen_unless_it_is_named(data, tmp_path):
    _write(data / "seen", role="train")
    first = _run(data, tmp_path / "a.json")
    assert {record["dataset"] for record in first["records"]} == {"blobs"}
    named = _run(data, tmp_path / "b.json", "--dataset", "seen")
    assert {record["dataset"] for record in named["records"]} == {"seen"}


def test_the_head_as_it_is_by_default_is_measured_where_no_network_is_named(data, tmp_path):
    words = ["--data", str(data), "--fast", "--budgets", "6", "--out", str(tmp_path / "a.json")]
    assert quality.main([*words, "--methods", "pixel-head+regcon-em"]) == 0
    records = json.loads((tmp_path / "a.json").read_text())["records"]
    assert [record["method"] for record in records] == ["pixel-head+regcon-em"]


def test_an_unknown_name_says_what_there_is(data, tmp_path):
    with pytest.raises(SystemExit, match="pixel-head"):
        quality.main(["--data", str(data), "--methods", "magic"])
    with pytest.raises(SystemExit, match="blobs"):
        quality.main(["--data", str(data), "--dataset", "nothing"])


def test_the_halves_never_meet(data, tmp_path):
    dataset = load_dataset(data / "blobs")
    assert not set(dataset.train) & set(dataset.test)
    assert len(dataset.test) >= len(dataset.train)
    _write(tmp_path / "single", n_planes=1)
    single = load_dataset(tmp_path / "single")
    assert [image.truth.shape for image in single.images] == [(96, 60), (96, 60)]


def test_instances_become_objects_and_on_request_their_boundaries(tmp_path):
    _write(tmp_path / "cells", kind="instances")
    plain = load_dataset(tmp_path / "cells")
    assert plain.classes == ("background", "blob")
    edged = load_dataset(tmp_path / "cells", boundary=True)
    assert edged.classes == ("background", "blob", "boundary")
    for image, other in zip(plain.images, edged.images, strict=True):
        np.testing.assert_array_equal(image.truth > 0, other.truth > 0)
        assert (other.truth == 2).any()


def test_a_folder_without_a_card_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"dataset\.toml"):
        load_dataset(tmp_path)


class _AllBackground(Method):
    name = "nothing"

    def fit(self, painted: Painted, seed: int) -> None:
        self.n_painted = sum(int((plane > 0).sum()) for plane in painted.planes.values())

    def predict(self, dataset, unit):
        return np.zeros(dataset.truth(unit).shape, np.uint8)


def test_corrections_go_where_the_reference_is_wrong(data):
    dataset = load_dataset(data / "blobs")
    strokes = protocols.simulate_strokes(dataset, _AllBackground(), n_strokes=20, seed=1)
    assert len(strokes) == 20
    assert [s.class_index for s in strokes[:6]] == [0, 1] * 3
    # The reference calls everything background, so every correction is on the other class.
    assert {s.class_index for s in strokes[6:]} == {1}
    for stroke in strokes:
        assert stroke.unit in dataset.train
        assert (dataset.truth(stroke.unit)[stroke.mask] == stroke.class_index).all()


def test_a_budget_means_that_many_strokes(data):
    dataset = load_dataset(data / "blobs")
    strokes = protocols.simulate_strokes(dataset, _AllBackground(), n_strokes=10, seed=1)
    method = _AllBackground()
    scores = dict(protocols.strokes_protocol(dataset, method, strokes, (1, 6, 10, 50), seed=0))
    assert list(scores) == [6, 10]
    assert scores[10].dice == {"blob": 0.0}
