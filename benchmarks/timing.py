"""Timing in pairs, and rows of a speed table."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True)
class Row:
    """One measured figure.

    Parameters
    ----------
    what : str
        What was measured.
    unit : str
        Unit of the values, such as ``"ms"``.
    values : tuple of float
        Every repeat.
    against : str
        What it is compared with in the same run; empty where with nothing.
    other : tuple of float
        The values of that.
    extra : dict
        Further figures, such as peak memory.
    """

    what: str
    unit: str
    values: tuple[float, ...]
    against: str = ""
    other: tuple[float, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """Median of the pairwise ratios other / ours: above 1 ours is faster."""
        if not self.other:
            return None
        return statistics.median(b / a for a, b in zip(self.values, self.other, strict=False))

    def record(self) -> dict[str, Any]:
        """Return the row as plain values for JSON."""
        record = asdict(self) | {"median": statistics.median(self.values), "ratio": self.ratio}
        if self.other:
            record["other_median"] = statistics.median(self.other)
        return record


def spread(values: Sequence[float]) -> str:
    """Return the median with its range."""
    return f"{statistics.median(values):.4g} ({min(values):.3g} to {max(values):.3g})"


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| what | unit | ours | compared with | its | ratio | besides |", "|" + "---|" * 7]
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        other = spread(row.other) if row.other else ""
        extra = ", ".join(f"{k} {v}" for k, v in row.extra.items())
        cells = (row.what, row.unit, spread(row.values), row.against, other, ratio, extra)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def matmul_rates(
    device: torch.device, dtype: torch.dtype, *, repeats: int, side: int = 2048
) -> tuple[float, ...]:
    """Return the device's GFLOP/s in multiplying square matrices, once for every repeat."""
    matrix = torch.rand(side, side, device=device).to(dtype)
    (times,) = in_turn([lambda: matrix @ matrix], repeats=repeats)
    return tuple(2 * side**3 / (1e6 * ms) for ms in times)


def in_turn(
    actions: Sequence[Callable[[], object]], *, repeats: int, warm_ups: int = 1
) -> list[tuple[float, ...]]:
    """Time several actions in turn, A B A B, and return the milliseconds of each."""
    found: list[list[float]] = [[] for _ in actions]
    for turn in range(warm_ups + repeats):
        for action, times in zip(actions, found, strict=True):
            synchronize()
            start = time.perf_counter()
            action()
            synchronize()
            if turn >= warm_ups:
                times.append(1000 * (time.perf_counter() - start))
    return [tuple(times) for times in found]


def synchronize() -> None:
    """Wait until the device has done what it was asked to."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    elif torch.backends.mps.is_available():
        torch.mps.synchronize()
