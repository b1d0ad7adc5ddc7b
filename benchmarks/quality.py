"""Dice against the amount of painting, for our methods and their rivals, side by side.

``python -m benchmarks.quality --data DIR`` reads every folder under DIR that has a
``dataset.toml``. Finished parts are kept beside the output, so an interrupted run goes on where
it stopped; the same command gives the same figures.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import report
from benchmarks.datasets import Dataset, load_dataset
from benchmarks.environment import environment
from benchmarks.methods import Method, available_methods, version_of
from benchmarks.protocols import (
    Score,
    Stroke,
    score_supervised,
    simulate_strokes,
    slices_protocol,
    strokes_protocol,
)
from benchmarks.store import Store
from benchmarks.unet import UNetFromScratch
from napari_regcon.config import FinetuneConfig
from napari_regcon.data.corpus import corpus_folders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

REFERENCE = "rf-skimage"
DEFAULT_NETWORK = "regcon-em"
CEILING = "ceiling"
BUDGETS = {"strokes": (6, 10, 20, 50), "slices": (1, 2, 4, 8, 16)}
_SPREAD = ("in-context-spread", "pixel-head-spread")
LEFT_OUT = {
    "strokes": ("in-context", "in-context-float32", *_SPREAD),
    "slices": ("in-context-float32", *_SPREAD),
}
"""Methods that are not measured where none are named: those in context learn nothing from strokes,
half precision is of interest where it is asked for, and so are strokes that are spread first."""
FAST_BUDGETS = {"strokes": (6, 20), "slices": (1, 4)}
FAST_CROP_PX = 384
FAST_TEST_PLANES = 3
FAST_UNET_STEPS = 40


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line."""
    options = _parse(arguments)
    trainings = [FinetuneConfig(minutes=value) for value in options.minutes]
    trainings += [FinetuneConfig(steps=value) for value in options.steps]
    methods = available_methods(options.network, trainings, options.variants)
    unknown = set(options.methods or ()) - set(methods)
    if unknown:
        sys.exit(f"Unknown or unavailable methods {sorted(unknown)}; there are {sorted(methods)}.")
    if options.fast:
        methods["unet-scratch"] = lambda: UNetFromScratch(FAST_UNET_STEPS)
    left_out = LEFT_OUT[options.budget]
    names = options.methods or [name for name in methods if name not in left_out]
    chosen = {name: methods[name] for name in names}
    folders = _folders(options)
    store = Store(options.out.with_suffix(".partial.jsonl"), version_of)
    keys: list[str] = []
    for folder in folders:
        dataset = load_dataset(folder, boundary=options.boundary, crop_px=options.crop)
        print(f"{dataset.name}: {len(dataset.train)} planes to paint, {len(dataset.test)} to test")
        keys += _measure(dataset, chosen, methods[REFERENCE], options, store)
    _write(options, report.summarise(store.rows(keys)))
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder of data-set folders")
    add("--dataset", nargs="+", help="names of folders; all where not given, see --fast")
    add("--methods", nargs="+", help="names of methods; all where not given")
    add(
        "--network",
        nargs="+",
        default=[DEFAULT_NETWORK],
        help="weights of pre-trained networks, names or files, to measure beside the others "
        "(default: %(default)s)",
    )
    add(
        "--minutes",
        nargs="+",
        type=float,
        default=[],
        help="time budgets of fine-tuning, to measure beside the others",
    )
    add(
        "--steps",
        nargs="+",
        type=int,
        default=[],
        help="budgets of fine-tuning in steps, which do not depend on the machine",
    )
    add(
        "--variants",
        nargs="+",
        default=[],
        help="fine-tuning with other parameters, such as unlabelled=0 or missing=0,downscale=2; "
        "'compact' needs finished slices",
    )
    add("--budget", choices=tuple(BUDGETS), default="strokes")
    add("--budgets", nargs="+", type=int, help="numbers of strokes or slices to measure at")
    add("--repeats", type=int, default=3)
    add("--out", type=Path, default=Path("benchmarks/results/quality.json"))
    add("--boundary", action="store_true", help="a boundary class where labels are instances")
    add("--crop", type=int, help="cut planes to a central square of this side, to take less time")
    add("--test-planes", type=int, help="measure on at most this many planes, evenly spaced")
    add(
        "--ceiling-steps",
        type=int,
        default=1000,
        help="steps of the U-Net trained on every training plane, the ceiling; 0: none",
    )
    add(
        "--fast",
        action="store_true",
        help="one repeat, few budgets, cropped, no ceiling; only data sets with the role "
        "'measure' where none are named",
    )
    options = parser.parse_args(arguments)
    if options.fast:
        options.repeats = 1
        options.crop = options.crop or FAST_CROP_PX
        options.ceiling_steps = 0
        options.test_planes = options.test_planes or FAST_TEST_PLANES
    options.budgets = options.budgets or (FAST_BUDGETS if options.fast else BUDGETS)[options.budget]
    return options


def _folders(options: argparse.Namespace) -> list[Path]:
    names = options.dataset
    role = "measure" if options.fast and not names else None
    found = {folder.name: folder for folder in corpus_folders(options.data, role)}
    missing = set(names or ()) - set(found)
    if missing:
        sys.exit(
            f"No data set called {sorted(missing)} in {options.data}; there are {sorted(found)}."
        )
    return [found[name] for name in names or found]


def _measure(
    dataset: Dataset,
    chosen: dict[str, Callable[[], Method]],
    reference: Callable[[], Method],
    options: argparse.Namespace,
    store: Store,
) -> Iterator[str]:
    """Measure what is not in the store yet; yield the key of every part."""
    for repeat in range(options.repeats):
        strokes: list[Stroke] = []
        for name, make in chosen.items():
            method = make()
            for budget in options.budgets:
                key = _key(dataset, name, options, repeat, budget)
                yield key
                if store.has(key):
                    continue
                if options.budget == "strokes" and not strokes:
                    n_strokes = max(options.budgets)
                    strokes = simulate_strokes(
                        dataset, reference(), n_strokes=n_strokes, seed=repeat
                    )
                settings = {"seed": repeat, "n_test": options.test_planes}
                scores = (
                    strokes_protocol(dataset, method, strokes, [budget], **settings)
                    if options.budget == "strokes"
                    else slices_protocol(dataset, method, [budget], **settings)
                )
                store.add(key, name, _rows(dataset, name, options.budget, scores))
                print(f"  {name}, repeat {repeat + 1}: {store.last_line()}", flush=True)
    if options.ceiling_steps:
        key = _key(dataset, f"{CEILING}-{options.ceiling_steps}", options, 0, len(dataset.train))
        yield key
        if not store.has(key):
            best = score_supervised(dataset, options.ceiling_steps, options.test_planes)
            store.add(key, CEILING, _rows(dataset, CEILING, CEILING, [(len(dataset.train), best)]))


def _key(
    dataset: Dataset, method: str, options: argparse.Namespace, repeat: int, budget: int
) -> str:
    size = f"{'fast' if options.fast else 'full'}-{options.crop}"
    classes = "-".join(dataset.classes)
    parts = (dataset.name, classes, method, options.budget, size, options.test_planes, repeat)
    return "/".join(map(str, (*parts, budget)))


def _rows(
    dataset: Dataset,
    method: str,
    protocol: str,
    scores: Iterable[tuple[int, Score]],
) -> list[dict[str, Any]]:
    return [
        {
            "dataset": dataset.name,
            "role": dataset.role,
            "class": name,
            "method": method,
            "protocol": protocol,
            "budget": budget,
            "dice": dice,
            "commit": version_of(method),
            "fit_s": score.fit_s,
            "predict_s": score.predict_s,
        }
        for budget, score in scores
        for name, dice in score.dice.items()
    ]


def _write(options: argparse.Namespace, records: list[dict[str, Any]]) -> None:
    settings = {
        "protocol": options.budget,
        "budgets": options.budgets,
        "repeats": options.repeats,
        "fast": options.fast,
        "crop_px": options.crop,
        "test_planes": options.test_planes,
        "ceiling_steps": options.ceiling_steps,
    }
    result = {"environment": environment(), "settings": settings, "records": records}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1), encoding="utf-8")
    print(report.table(records))
    for path in report.curves(records, options.out.with_suffix("")):
        print(f"wrote {path}")
    print(f"wrote {options.out}")


if __name__ == "__main__":
    sys.exit(main())
