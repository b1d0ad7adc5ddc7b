"""Tables and curves from benchmark rows."""

from __future__ import annotations

import statistics
from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

CEILING_SHARE = 0.9
"""'Strokes needed' counts up to this share of the supervised ceiling."""


def summarise(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Average repeats; one record per data set, class, method, protocol and budget."""
    groups = defaultdict(list)
    for row in rows:
        key = ("dataset", "role", "class", "method", "protocol", "budget")
        groups[tuple((k, row[k]) for k in key)].append(row)
    return [
        {
            **dict(key),
            "repeats": len(group),
            "commit": group[-1]["commit"],
            "dice_mean": round(statistics.mean(r["dice"] for r in group), 4),
            "dice_std": round(statistics.pstdev(r["dice"] for r in group), 4),
            "fit_s": round(statistics.median(r["fit_s"] for r in group), 3),
            "predict_s": round(statistics.median(r["predict_s"] for r in group), 3),
        }
        for key, group in groups.items()
    ]


def table(records: Sequence[dict[str, Any]]) -> str:
    """Return a Markdown table: a row per data set, class and method, a column per budget."""
    measured = [r for r in records if r["protocol"] != "ceiling"]
    if not measured:
        return "Nothing was measured."
    budgets = sorted({r["budget"] for r in measured})
    ceilings = {
        (r["dataset"], r["class"]): r["dice_mean"] for r in records if r["protocol"] == "ceiling"
    }
    head = ["data set", "class", "method", *map(str, budgets), "fit s", "predict s"]
    head += [f"needed for {CEILING_SHARE:g} of ceiling"] if ceilings else []
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    groups = defaultdict(dict)
    for r in measured:
        groups[r["dataset"], r["class"], r["method"]][r["budget"]] = r
    for (dataset, label, method), by_budget in groups.items():
        cells = [_cell(by_budget.get(b)) for b in budgets]
        last = by_budget[max(by_budget)]
        seen = " (seen)" if last["role"] == "train" and _trained(method) else ""
        row = [dataset, label, method + seen, *cells, f"{last['fit_s']:.2f}"]
        row.append(f"{last['predict_s']:.2f}")
        if ceilings:
            row.append(_needed(by_budget, ceilings.get((dataset, label))))
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def _cell(record: dict[str, Any] | None) -> str:
    return f"{record['dice_mean']:.3f} ± {record['dice_std']:.3f}" if record else ""


def _trained(method: str) -> bool:
    """Whether weights that ship, trained on data with role "train", stand behind a method."""
    return "+" in method or method.startswith("in-context")


def _needed(by_budget: dict[int, dict[str, Any]], ceiling: float | None) -> str:
    if ceiling is None:
        return ""
    reached = [b for b, r in by_budget.items() if r["dice_mean"] >= CEILING_SHARE * ceiling]
    return f"{min(reached)} (of {ceiling:.3f})" if reached else f"not reached (of {ceiling:.3f})"


def curves(records: Sequence[dict[str, Any]], stem: Path) -> list[Path]:
    """Draw Dice against budget with bands, one picture per data set; return the files."""
    from matplotlib import use

    use("Agg")
    from matplotlib import pyplot as plt

    written = []
    for dataset in dict.fromkeys(r["dataset"] for r in records):
        mine = [r for r in records if r["dataset"] == dataset]
        labels = list(dict.fromkeys(r["class"] for r in mine))
        figure, axes = plt.subplots(
            1, len(labels), figsize=(4 * len(labels), 4.2), squeeze=False, layout="constrained"
        )
        for axis, label in zip(axes[0], labels, strict=True):
            _draw(axis, [r for r in mine if r["class"] == label])
            axis.set_title(f"{dataset}: {label}", fontsize=9)
        lines, names = axes[0][0].get_legend_handles_labels()
        columns = 2 * len(labels)
        figure.legend(lines, names, fontsize=7, loc="outside lower center", ncols=columns)
        path = stem.with_name(f"{stem.name}-{dataset}.png")
        figure.savefig(path, dpi=110)
        plt.close(figure)
        written.append(path)
    return written


def _draw(axis: Any, records: Sequence[dict[str, Any]]) -> None:
    for method in dict.fromkeys(r["method"] for r in records):
        mine = sorted((r for r in records if r["method"] == method), key=lambda r: r["budget"])
        if mine[0]["protocol"] == "ceiling":
            axis.axhline(mine[0]["dice_mean"], color="0.5", ls="--", lw=1, label="supervised")
            continue
        x = [r["budget"] for r in mine]
        mean = [r["dice_mean"] for r in mine]
        low = [r["dice_mean"] - r["dice_std"] for r in mine]
        high = [r["dice_mean"] + r["dice_std"] for r in mine]
        (line,) = axis.plot(x, mean, marker="o", ms=3, label=method)
        axis.fill_between(x, low, high, color=line.get_color(), alpha=0.15, lw=0)
        axis.set_xscale("log")
        axis.set_xticks(x, [str(b) for b in x])
        axis.minorticks_off()
        axis.set_xlabel(mine[0]["protocol"])
    axis.set_ylabel("Dice")
    axis.set_ylim(0, 1)
    axis.grid(alpha=0.3)
