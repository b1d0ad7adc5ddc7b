"""How well regions keep to true borders, beside two kinds of superpixels of equal number.

``python -m benchmarks.regions --data DIR`` prints a table and writes JSON. The parameter that
rules the number of pieces is found by bisection for each plane, so that all methods cut it into
as many. Boundary recall is the share of true border pixels with a border of a piece within 2 px;
the under-segmentation error (Neubert & Protzel 2012) adds up, over true classes, what pieces that
touch a class have outside of it or inside, whichever is less, as a share of the plane. Borders
may be long: their share of the pixels is given too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from skimage.segmentation import felzenszwalb, find_boundaries, slic
from torch.nn import functional

from benchmarks.datasets import Dataset, Unit, load_dataset
from benchmarks.environment import environment
from napari_regcon.config import RegionsConfig
from napari_regcon.data.views import ImageView
from napari_regcon.engine.embedding import load_network
from napari_regcon.engine.regions import RegionFinder
from napari_regcon.engine.segmenter import run
from napari_regcon.session.region_picture import distinct_colors
from napari_regcon.types import Box

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

TOLERANCE_PX = 2
PIXELS_PER_REGION = (100, 400, 1600)
BISECTIONS = 9


@dataclass(frozen=True)
class Row:
    """One method on one plane at one number of regions."""

    dataset: str
    method: str
    pixels_per_region: int
    regions: int
    recall: float
    error: float
    border: float
    seconds: float


def borders(labels: np.ndarray) -> np.ndarray:
    """Return the pixels ``(Y, X)`` that touch a pixel of another label at a side."""
    found = np.zeros(labels.shape, dtype=bool)
    for here, there in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:], np.s_[:-1])):
        differ = labels[here] != labels[there]
        found[here] |= differ
        found[there] |= differ
    return found


def boundary_recall(labels: np.ndarray, truth: np.ndarray) -> float:
    """Return the share of true border pixels with a border within ``TOLERANCE_PX``."""
    true = borders(truth)
    away = ndimage.distance_transform_edt(~borders(labels))
    return float((away[true] <= TOLERANCE_PX).mean()) if true.any() else float("nan")


def undersegmentation(labels: np.ndarray, truth: np.ndarray) -> float:
    """Return the under-segmentation error of regions ``0..n-1`` against classes."""
    n_classes = int(truth.max()) + 1
    pairs = labels.ravel().astype(np.int64) * n_classes + truth.ravel()
    inside = np.bincount(pairs, minlength=(labels.max() + 1) * n_classes).reshape(-1, n_classes)
    outside = inside.sum(axis=1, keepdims=True) - inside
    return float(np.minimum(inside, outside).sum() / labels.size)


def bisected(cut: Callable[[float], np.ndarray], low: float, high: float, n: int) -> np.ndarray:
    """Return the labels whose number is nearest to n; it grows with the parameter of ``cut``."""
    best = cut(low)
    for _ in range(BISECTIONS):
        middle = (low * high) ** 0.5
        labels = cut(middle)
        if abs(labels.max() + 1 - n) < abs(best.max() + 1 - n):
            best = labels
        low, high = (middle, high) if labels.max() + 1 < n else (low, middle)
    return best


def slic_pieces(image: np.ndarray, n: int) -> np.ndarray:
    """Cut ``(Y, X)`` float into about n pieces by SLIC."""
    options = {"compactness": 0.1, "channel_axis": None, "start_label": 0}
    return bisected(lambda x: slic(image, max(1, round(x)), **options), n / 4, 4 * n, n)


def felzenszwalb_pieces(image: np.ndarray, n: int) -> np.ndarray:
    """Cut ``(Y, X)`` float into about n pieces by Felzenszwalb and Huttenlocher's method."""

    def cut(x: float) -> np.ndarray:
        return felzenszwalb(image, scale=1 / x, sigma=0.8, min_size=20)

    return bisected(cut, 1e-5, 10.0, n)


RIVALS = {"SLIC": slic_pieces, "Felzenszwalb": felzenszwalb_pieces}


def measure(dataset: Dataset, unit: Unit, finders: dict[str, RegionFinder]) -> Iterator[Row]:
    """Measure every method on one plane."""
    item = dataset.images[unit.image]
    view = ImageView(item.volume, item.normalization, unit.prefix, 2)
    truth = dataset.truth(unit)
    image = view.read(view.box).mean(axis=0)

    def row(method: str, per_region: int, labels: np.ndarray, seconds: float) -> Row:
        return Row(
            dataset.name,
            method,
            per_region,
            int(labels.max()) + 1,
            boundary_recall(labels, truth),
            undersegmentation(labels, truth),
            float(borders(labels).mean()),
            seconds,
        )

    for name, finder in finders.items():
        begin = time.perf_counter()
        tree = run(finder.tree_in_steps(view, view.box))
        seconds = time.perf_counter() - begin
        for per_region in PIXELS_PER_REGION:
            labels = tree.cut_to(image.size // per_region).labels - 1
            yield row(name, per_region, labels, seconds)
    for name, rival in RIVALS.items():
        for per_region in PIXELS_PER_REGION:
            begin = time.perf_counter()
            labels = rival(image, image.size // per_region)
            seconds = (time.perf_counter() - begin) / (BISECTIONS + 1)
            yield row(name, per_region, labels, seconds)


def picture(dataset: Dataset, unit: Unit, finder: RegionFinder, side: int = 192) -> Image.Image:
    """Draw the middle of a plane, cut by every method (rows) at every number (columns)."""
    item = dataset.images[unit.image]
    view = ImageView(item.volume, item.normalization, unit.prefix, 2)
    image = view.read(view.box).mean(axis=0)
    tree = run(finder.tree_in_steps(view, view.box))
    middle = tuple(slice(max(0, (n - side) // 2), (n + side) // 2) for n in image.shape)
    zoom, gap = 2, 26
    cell = zoom * side + gap
    sheet = Image.new("RGB", (3 * cell, 3 * cell), "white")
    draw = ImageDraw.Draw(sheet)
    rows = {"regions": lambda _, n: tree.cut_to(n).labels, **RIVALS}
    for row, (name, cut) in enumerate(rows.items()):
        for column, per_region in enumerate(PIXELS_PER_REGION):
            labels = cut(image, image.size // per_region)[middle]
            large = np.repeat(np.repeat(labels, zoom, axis=0), zoom, axis=1)
            grey = Image.fromarray((255 * image[middle].clip(0, 1)).astype(np.uint8))
            pixels = np.array(
                grey.resize(large.shape[::-1], Image.Resampling.BICUBIC).convert("RGB")
            )
            pixels[find_boundaries(large, mode="inner")] = (255, 196, 0)
            sheet.paste(Image.fromarray(pixels), (column * cell, row * cell + gap - 4))
            text = f"{name}, {per_region} px each"
            draw.text(
                (column * cell + 4, row * cell + 2), text, "black", ImageFont.load_default(15)
            )
    return sheet


def soft_picture(dataset: Dataset, unit: Unit, weights: str, side: int = 512) -> Image.Image:
    """Draw the middle of a plane at half its size, and beside it the network's own regions.

    Every pixel has the colour of the soft region that it belongs to most.
    """
    item = dataset.images[unit.image]
    image = ImageView(item.volume, item.normalization, unit.prefix, 2).read(
        Box((0, 0), item.volume.label_shape[-2:])
    )
    net, _ = load_network(weights)
    sides = [min(side, n) // (2 * net.stride) * 2 * net.stride for n in image.shape[1:]]
    starts = [(n - s) // 2 for n, s in zip(image.shape[1:], sides, strict=True)]
    middle = tuple(slice(a, a + s) for a, s in zip(starts, sides, strict=True))
    seen = functional.avg_pool2d(torch.from_numpy(image.mean(axis=0)[middle])[None, None], 2)
    regions = net.region_logits(net(seen))[0].argmax(0).numpy()
    grey = seen[0, 0].clamp(0, 1).numpy()[..., None]
    drawn = distinct_colors(net.n_regions)[regions] * (0.25 + 0.75 * grey)
    both = np.concatenate([np.repeat(255 * grey, 3, axis=-1), drawn], axis=1)
    return Image.fromarray(both.astype(np.uint8))


def table(rows: Sequence[Row]) -> str:
    """Return a Markdown table of means over planes."""
    head = ("data set", "px per region", "method", "regions", "boundary recall")
    head += ("under-segmentation error", "border px", "s per plane")
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    keys = sorted(
        {(r.dataset, r.pixels_per_region, r.method) for r in rows},
        key=lambda key: (key[0], key[1], not key[2].startswith("regions"), key[2]),
    )
    for key in keys:
        group = [r for r in rows if (r.dataset, r.pixels_per_region, r.method) == key]
        mean = {name: np.nanmean([getattr(r, name) for r in group]) for name in _MEANT}
        seconds = statistics.median(r.seconds for r in group)
        lines.append(
            f"| {key[0]} | {key[1]} | {key[2]} | {mean['regions']:.0f} | {mean['recall']:.3f} | "
            f"{mean['error']:.3f} | {mean['border']:.0%} | {seconds:.2f} |"
        )
    return "\n".join(lines)


_MEANT = ("regions", "recall", "error", "border")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.regions", description=__doc__)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder of data sets")
    add("--dataset", nargs="+", default=["isbi2012_membrane", "platelet"])
    add("--planes", type=int, default=10, help="planes of each data set, spread evenly")
    add("--crop", type=int, help="cut planes to a central square of this side")
    add("--weights", help="also measure regions with these pre-trained features")
    add("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    add("--pictures", type=Path, help="folder for a picture of each data set")
    add("--out", type=Path, default=Path("benchmarks/results/regions.json"))
    options = parser.parse_args(arguments)
    finders = {"regions": RegionFinder(RegionsConfig())}
    if options.weights:
        finders["regions, network"] = RegionFinder(
            RegionsConfig(), weights=options.weights, device=options.device
        )
    rows: list[Row] = []
    for name in options.dataset:
        dataset = load_dataset(options.data / name, crop_px=options.crop)
        units = dataset.train + dataset.test
        places = np.linspace(0, len(units) - 1, min(options.planes, len(units))).astype(int)
        for place in places:
            rows += measure(dataset, units[place], finders)
            print(f"{name}: plane {place} of {len(units)}", flush=True)
        if options.pictures:
            drawn = picture(dataset, units[places[0]], finders["regions"])
            drawn.save(options.pictures / f"regions-{name}.jpg", quality=75)
            if options.weights:
                drawn = soft_picture(dataset, units[places[0]], options.weights)
                drawn.save(options.pictures / f"soft-regions-{name}.jpg", quality=75)
    print(table(rows))
    result = {"environment": environment(), "records": [asdict(row) for row in rows]}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1), encoding="utf-8")
    print(f"wrote {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
