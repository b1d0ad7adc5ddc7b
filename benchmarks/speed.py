"""How fast it is, in pairs: ours beside what it is compared with, in one run.

``python -m benchmarks.speed`` prints a table and writes JSON. Every figure is a median with its
range; pairs are measured in turn, so that a machine that is slow for a while is slow for both.
Parts that start processes of their own (start-up, whole volumes, the preview through the engine
process) measure what a user waits for, not a function in isolation.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

# Before torch is imported: waiting threads must not spin beside another process.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from benchmarks import speed_engine, speed_networks, speed_training, speed_volume
from benchmarks.environment import environment
from benchmarks.timing import Row, table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PARTS: dict[str, Callable[[argparse.Namespace], list[Row]]] = {
    "matmul": speed_networks.matrix_multiply,
    "universeg": speed_networks.universeg_forms,
    "features": speed_networks.features,
    "startup": speed_engine.start_up,
    "preview": speed_engine.preview,
    "volume": speed_volume.whole_volume,
    "size": speed_volume.cost_against_size,
    "finetune": speed_training.fine_tuning,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    add = parser.add_argument
    add("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    add("--parts", nargs="+", choices=tuple(PARTS), default=tuple(PARTS))
    add("--volume", type=Path, help="volume for the part 'volume'; a phantom where not given")
    add("--repeats", type=int, default=5)
    add("--sizes", type=int, nargs="+", default=[1, 8, 64], help="Mvoxel for the part 'size'")
    add("--out", type=Path, default=Path("benchmarks/results/speed.json"))
    options = parser.parse_args(arguments)
    rows: list[Row] = []
    for part in options.parts:
        print(f"{part} ...", flush=True)
        found = PARTS[part](options)
        print(table(found), flush=True)
        rows += found
    result = {"environment": environment(), "records": [row.record() for row in rows]}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1), encoding="utf-8")
    print(f"wrote {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
