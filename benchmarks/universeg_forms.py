"""UniverSeg's factorised form beside the plain one: time, work, memory and largest difference.

``python -m benchmarks.universeg_forms`` prints a table. The two are timed in turn, with a support
set that is encoded beforehand, as for the tiles of an image; what the encoding takes is told
besides.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import weakref
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

# Before torch is imported: waiting threads must not spin beside another process.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.timing import Row, in_turn, matmul_rates, table
from napari_regcon.engine.device import choose_device
from napari_regcon.engine.weights import load_state
from napari_regcon.nn.universeg import UniverSeg, load_universeg

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from napari_regcon.engine.device import Device

SIDE_PX = 128
SIZES = (1, 4, 16, 64)
_MIB = 1024**2


def rows(
    *,
    device: str = "auto",
    repeats: int = 5,
    sizes: Sequence[int] = SIZES,
    side_px: int = SIDE_PX,
    width: int = 64,
    weights: str | None = None,
) -> list[Row]:
    """Measure both forms at several sizes of the support set.

    Parameters
    ----------
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    repeats : int
        Pairs that are timed at each size.
    sizes : sequence of int
        Support examples.
    side_px : int
        Side of the query and of the examples.
    width : int
        Channels of the network, whose numbers are random.
    weights : str, optional
        Weights to load instead, a name or a file.

    Returns
    -------
    list of Row
        Milliseconds for one query, in float32 and, where the device likes it, bfloat16.
    """
    chosen = choose_device(device)
    torch.manual_seed(0)
    network = UniverSeg(width)
    if weights is not None:
        network = load_universeg(load_state(weights)[0], name=weights)
    network = network.to(chosen.torch_device).eval()
    found = []
    for dtype in (torch.float32, torch.bfloat16) if chosen.supports_bf16 else (torch.float32,):
        rate = statistics.median(matmul_rates(chosen.torch_device, dtype, repeats=repeats))
        half = dtype == torch.bfloat16
        found += [
            _row(network, chosen, n, half=half, repeats=repeats, side_px=side_px, rate=rate)
            for n in sizes
        ]
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.universeg_forms")
    add = parser.add_argument
    add("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    add("--repeats", type=int, default=5)
    add("--sizes", type=int, nargs="+", default=SIZES)
    add("--side-px", type=int, default=SIDE_PX)
    add("--width", type=int, default=64, help="channels of a network of random numbers")
    add("--weights", help="measure the network of these weights instead")
    print(table(rows(**vars(parser.parse_args(arguments)))))
    return 0


def _row(
    network: UniverSeg,
    device: Device,
    n: int,
    *,
    half: bool,
    repeats: int,
    side_px: int,
    rate: float,
) -> Row:
    query, images, labels = _task(n, side_px, device.torch_device)

    def precision() -> AbstractContextManager[Any]:
        kind = device.torch_device.type
        return torch.autocast(kind, torch.bfloat16) if half else nullcontext()

    def timed(action: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        def run() -> torch.Tensor:
            with torch.inference_mode(), precision():
                return action()

        return run

    with torch.inference_mode(), precision():
        encoded = network.encode_support(images, labels)
    ours = timed(lambda: network.segment(query, encoded))
    plain = timed(lambda: network(query, images, labels, factorised=False))
    encode = timed(lambda: network.encode_support(images, labels).mean)
    own, other, encoding = in_turn([ours, plain, encode], repeats=repeats)
    # The reference for both precisions is the plain form in float32.
    with torch.inference_mode():
        exact = network(query, images, labels, factorised=False)
    work = [_gflop(network.width, n, side_px, factorised=f) for f in (True, False)]
    peaks = [_peak_mib(form, device.torch_device) for form in (ours, plain)]
    rates = [1000 * w / statistics.median(t) for w, t in zip(work, (own, other), strict=True)]
    extra = {
        "encoding": f"{statistics.median(encoding):.3g} ms",
        "GFLOP": f"{work[0]:.1f} for {work[1]:.1f}",
        "GFLOP/s": f"{rates[0]:.0f} for {rates[1]:.0f}",
        "of the matrix-multiply rate": f"{rates[0] / rate:.0%} for {rates[1] / rate:.0%}",
        "peak": f"{peaks[0]:.0f} MiB and {encoded.nbytes / _MIB:.0f} encoded for {peaks[1]:.0f}",
        "largest difference": f"{(ours().float() - exact).abs().max().item():.1e} "
        f"of {exact.abs().max().item():.2g}",
    }
    name = f"UniverSeg {side_px} x {side_px} px, S = {n}, {'bfloat16' if half else 'float32'}"
    return Row(name, "ms", own, "plain form", other, extra)


def _task(n: int, side_px: int, device: torch.device | str) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(n)
    query = torch.rand(1, 1, side_px, side_px, generator=generator)
    images = torch.rand(1, n, 1, side_px, side_px, generator=generator)
    labels = (torch.rand(images.shape, generator=generator) > 0.5).float()
    return tuple(t.to(device) for t in (query, images, labels))


def _gflop(width: int, n: int, side_px: int, *, factorised: bool) -> float:
    """Return the work for one query, counted without doing it."""
    network = UniverSeg(width).to("meta")
    query, images, labels = _task(n, side_px, "meta")
    encoded = network.encode_support(images, labels)
    with FlopCounterMode(display=False) as counter:
        if factorised:
            network.segment(query, encoded)
        else:
            network(query, images, labels, factorised=False)
    return counter.get_total_flops() / 1e9


class _LiveMemory(TorchDispatchMode):
    """Follows the memory of all tensors that are made."""

    def __init__(self) -> None:
        super().__init__()
        self._live: dict[int, int] = {}
        self.peak_bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                key = storage.data_ptr()
                if key not in self._live:
                    self._live[key] = storage.nbytes()
                    weakref.finalize(storage, self._live.pop, key, None)
        self.peak_bytes = max(self.peak_bytes, sum(self._live.values()))
        return result


def _peak_mib(form: Callable[[], torch.Tensor], device: torch.device) -> float:
    """Return the most memory that tensors made on the way took at a time."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        form()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / _MIB
    with _LiveMemory() as memory:
        form()
    return memory.peak_bytes / _MIB


if __name__ == "__main__":
    sys.exit(main())
