"""Whole volumes: a segmenter against the random-forest recipe, and cost against size.

Every measurement is a fresh process, so that its peak memory is its own.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.array
import numpy as np
import tifffile

from benchmarks.methods import random_forest, skimage_features
from benchmarks.timing import Row
from napari_regcon.config import FinetuneConfig
from napari_regcon.data.phantom import make_phantom
from napari_regcon.data.support import SupportSet
from napari_regcon.data.volumes import open_volume
from napari_regcon.engine.embedding import load_network
from napari_regcon.engine.finetune import FineTuning, finetune
from napari_regcon.engine.finetuned_predictor import predictor_of
from napari_regcon.engine.registry import load_segmenter
from napari_regcon.engine.segmenter import run
from napari_regcon.engine.volume import segment_volume
from napari_regcon.types import Progress, Volume

if TYPE_CHECKING:
    import argparse

    from napari_regcon.engine.segmenter import Predictor

PHANTOM_SHAPE = (32, 512, 512)
PLANES_PX = 1024


@dataclass(frozen=True)
class _Kind:
    name: str
    method: str
    parameters: dict[str, Any]
    complete: bool = False


SEGMENTERS = {
    "filters": _Kind("pixel head, filters", "pixel-head", {"features": "filters"}),
    "both": _Kind("pixel head, filters and regcon-em", "pixel-head", {"features": "both"}),
    "fine-tuned": _Kind("fine-tuned network and pixel head", "fine-tuned", {}),
    "in-context": _Kind("in context, one example", "in-context", {}, complete=True),
}


def whole_volume(options: argparse.Namespace) -> list[Row]:
    """Measure a whole volume: each segmenter beside the random forest on scikit-image features."""
    with tempfile.TemporaryDirectory() as folder:
        path = options.volume
        if path is None:
            path = Path(folder) / "phantom.tif"
            tifffile.imwrite(path, np.asarray(make_phantom(PHANTOM_SHAPE, seed=3).volume.data))
        found = {kind: _child(kind, str(path), options.device) for kind in (*SEGMENTERS, "forest")}
    other = found.pop("forest")
    return [
        Row(
            f"whole volume {' x '.join(map(str, ours['shape']))}, {SEGMENTERS[kind].name}",
            "s",
            (ours["seconds"],),
            "random forest, scikit-image",
            (other["seconds"],),
            {"peak MB": ours["peak_mb"], "its peak MB": other["peak_mb"]},
        )
        for kind, ours in found.items()
    ]


def cost_against_size(options: argparse.Namespace) -> list[Row]:
    """Measure time and peak memory of the pixel head on volumes of growing size."""
    rows = []
    for mvoxel in options.sizes:
        found = _child("size", str(mvoxel), options.device)
        extra = {"peak MB": found["peak_mb"], "s per Mvoxel": round(found["seconds"] / mvoxel, 2)}
        rows.append(Row(f"{mvoxel} Mvoxel, pixel head", "s", (found["seconds"],), extra=extra))
    return rows


def _child(kind: str, argument: str, device: str) -> dict:
    command = [sys.executable, "-m", "benchmarks.speed_volume", kind, argument, device]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def _main(kind: str, argument: str, device: str) -> None:
    if kind == "size":
        n_planes = max(1, math.ceil(int(argument) * 1e6 / PLANES_PX**2))
        volume = _lazy_volume(n_planes)
    else:
        volume = open_volume(argument)
    start = time.perf_counter()
    if kind == "forest":
        _forest(volume, _painted(volume))
    else:
        _ours(volume, SEGMENTERS.get(kind, SEGMENTERS["both"]), device)
    seconds = round(time.perf_counter() - start, 2)
    print(json.dumps({"seconds": seconds, "peak_mb": _peak_mb(), "shape": volume.label_shape}))


def _lazy_volume(n_planes: int) -> Volume:
    """Return planes that are made when they are read, so that only the tool's memory counts."""
    plane = np.asarray(make_phantom((1, PLANES_PX, PLANES_PX), seed=4).volume.data)

    def roll(block: np.ndarray, block_info: dict | None = None) -> np.ndarray:
        number = block_info[None]["chunk-location"][0] if block_info else 0
        return np.roll(block, 37 * number, axis=2)

    base = dask.array.from_array(plane, chunks=(1, PLANES_PX, PLANES_PX))
    stack = dask.array.concatenate([base] * n_planes)
    return Volume(stack.map_blocks(roll, dtype=plane.dtype), "ZYX", name="phantom planes")


def _painted(volume: Volume, *, complete: bool = False) -> np.ndarray:
    """Label the bright and the dark on the first plane: ten strokes' worth of pixels, or all."""
    plane = np.asarray(volume.data[0])
    labels = np.zeros(volume.label_shape, np.uint8)
    if complete:
        labels[0] = np.where(plane > np.percentile(plane, 25), 1, 2)
        return labels
    rng = np.random.default_rng(0)
    low, high = np.percentile(plane, [15, 60])
    for value, places in ((1, np.argwhere(plane > high)), (2, np.argwhere(plane < low))):
        chosen = places[rng.choice(len(places), 1200, replace=False)]
        labels[0][tuple(chosen.T)] = value
    return labels


def _ours(volume: Volume, kind: _Kind, device: str) -> None:
    support = SupportSet(("background", "dark"))
    labels = _painted(volume, complete=kind.complete)
    support.add(volume, labels, complete=kind.complete)
    predictor = _fitted(kind, support, device)
    with tempfile.TemporaryDirectory() as folder:
        for event in segment_volume(volume, predictor, out=Path(folder) / "out.zarr"):
            if isinstance(event, Progress):
                print(event.done, event.total, file=sys.stderr)


def _fitted(kind: _Kind, support: SupportSet, device: str) -> Predictor:
    if kind.method != "fine-tuned":
        return load_segmenter(kind.method, device=device, **kind.parameters).fit(support)
    tuning = FineTuning(
        support, FinetuneConfig(steps=1), start=load_network("regcon-em")[0], device=device
    )
    return predictor_of(run(finetune(tuning)), 1, support, tuning.device)


def _forest(volume: Volume, labels: np.ndarray) -> None:
    first = skimage_features(np.asarray(volume.data[0]).astype(np.float32) / 255)
    painted = labels[0] > 0
    forest = random_forest(0).fit(first[painted], labels[0][painted])
    result = np.empty(volume.label_shape, np.uint8)
    for index in range(len(result)):
        found = skimage_features(np.asarray(volume.data[index]).astype(np.float32) / 255)
        flat = forest.predict(found.reshape(-1, found.shape[-1]))
        result[index] = flat.reshape(result[index].shape)


def _peak_mb() -> int:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024**2 if sys.platform == "darwin" else 1024))


if __name__ == "__main__":
    _main(*sys.argv[1:])
