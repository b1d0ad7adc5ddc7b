"""Choose what to compute on, and know when its memory is full.

``"auto"`` takes an NVIDIA GPU, then an Apple GPU, then the processor, and says why. A GPU counts
only if it really computes: an old driver or an unsupported card shows itself here and not in
the middle of the work. Nothing here knows what is computed.
"""

from __future__ import annotations

import functools
import gc
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch

from napari_regcon.config import DEVICES
from napari_regcon.errors import DeviceError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_GIB = 1024**3
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
THREAD_NAME = "regcon-shares"


@dataclass(frozen=True)
class Device:
    """A compute device that has been tried.

    Parameters
    ----------
    torch_device : torch.device
        What torch calls it.
    label : str
        For people, such as ``"CPU, 2 threads"`` or ``"NVIDIA H200, 139 GiB"``.
    reason : str
        Why this device, in a sentence.
    supports_bf16 : bool
        Whether half-size bfloat16 arithmetic is worth while on it.
    """

    torch_device: torch.device
    label: str
    reason: str
    supports_bf16: bool


def choose_device(name: str = "auto") -> Device:
    """Return a device that works.

    Parameters
    ----------
    name : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.

    Returns
    -------
    Device
        With ``"auto"``, the best that is usable here.

    Raises
    ------
    InputError
        If the name is not one of these.
    DeviceError
        If a device is asked for by name that is missing or does not compute.
    """
    if name not in DEVICES:
        raise InputError(
            f"There is no device {name!r}.", expected=f"Expected one of {', '.join(DEVICES)}."
        )
    if name == "cpu":
        return _describe("cpu", "Asked for.")
    if name != "auto":
        problem = _problem(name)
        if problem:
            raise DeviceError(
                f"The device {name!r} cannot be used: {problem}",
                next_step="Choose 'auto' or 'cpu', or " + _REMEDIES[name],
            )
        return _describe(name, "Asked for.")
    problems = []
    for candidate in ("cuda", "mps"):
        problem = _problem(candidate)
        if not problem:
            return _describe(candidate, "It is the fastest device here.")
        problems.append(problem)
    # A Mac never has CUDA and a PC never has MPS: only the likelier reason is told.
    return _describe("cpu", problems[1] if _is_mac_build() else problems[0])


_REMEDIES = {
    "cuda": "install an NVIDIA driver and a CUDA build of PyTorch (see pytorch.org).",
    "mps": "use macOS 14 or later on a Mac with an Apple chip.",
}


def _problem(kind: str) -> str:
    """Return why a GPU cannot be used, or an empty string where it computes."""
    if kind == "cuda":
        if not torch.backends.cuda.is_built():  # type: ignore[no-untyped-call]
            return "The installed PyTorch is built without CUDA."
        if not torch.cuda.is_available():
            return "No NVIDIA GPU with a working driver was found."
    elif not _is_mac_build():
        return "The installed PyTorch is built without Apple GPU support."
    elif not torch.backends.mps.is_available():
        return "No Apple GPU was found, or macOS is too old for it."
    try:
        image = torch.ones((1, 1, 8, 8), device=kind)
        total = torch.nn.functional.conv2d(image, image[:, :, :3, :3]).sum().item()
    except (RuntimeError, NotImplementedError) as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        return f"The GPU was found but failed a small test: {first_line}"
    return "" if total == 36 * 9 else "The GPU was found but gives wrong results."


def _is_mac_build() -> bool:
    return torch.backends.mps.is_built()


def _describe(kind: str, reason: str) -> Device:
    if kind == "cuda":
        properties = torch.cuda.get_device_properties(0)
        label = f"{properties.name}, {properties.total_memory // _GIB} GiB"
        has_bf16 = torch.cuda.get_device_capability(0) >= (8, 0)  # Ampere; before, emulated
        return Device(torch.device("cuda", 0), label, reason, has_bf16)
    if kind == "mps":
        return Device(torch.device("mps"), "Apple GPU", reason, False)
    threads = torch.get_num_threads()
    label = f"CPU, {threads} thread{'s' if threads != 1 else ''}"
    return Device(torch.device("cpu"), label, reason, _cpu_has_bf16())


def _cpu_has_bf16() -> bool:
    """Whether the processor has bfloat16 instructions; emulated, it is slower than float32."""
    get_capabilities = getattr(torch.cpu, "get_capabilities", dict)
    capabilities: dict[str, object] = get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


_MEMORY_SIGNS = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cudnn_status_alloc_failed",
    "cublas_status_alloc_failed",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that the device, or the machine, has no memory left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # Libraries under torch, and the allocator of the processor, only say it in words.
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in text for sign in _MEMORY_SIGNS)


def free_memory(device: Device | torch.device | None = None) -> None:
    """Give memory that torch holds in reserve back to the GPU.

    Parameters
    ----------
    device : Device or torch.device, optional
        Whose memory; that of every GPU in use where not given.
    """
    gc.collect()
    place = device.torch_device if isinstance(device, Device) else device
    if torch.cuda.is_available() and (place is None or place.type == "cuda"):
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available() and (place is None or place.type == "mps"):
        torch.mps.empty_cache()


def held_memory() -> int:
    """Return the bytes of GPU memory that torch holds in this process; 0 without a GPU."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return int(torch.cuda.memory_reserved())
    if torch.backends.mps.is_available():
        return int(torch.mps.driver_allocated_memory())
    return 0


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread of the processor.

    Steps of a millisecond are quicker this way: several threads wait for each other after each
    of them, and beside another busy program that wait takes longer than the work.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def in_threads(work: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    """Do independent pieces of work that leave Python for long, on as many threads as torch uses.

    Parameters
    ----------
    work : callable
        Is given one of the items.
    items : sequence
        One for each piece of work.

    Returns
    -------
    list
        What the work returned, in the order of the items.
    """
    workers = min(torch.get_num_threads(), len(items))
    with one_thread():
        if workers <= 1:
            return [work(item) for item in items]
        shares = [_pool(workers).submit(work, item) for item in items]
        wait(shares)
    return [share.result() for share in shares]


@functools.cache
def _pool(workers: int) -> ThreadPoolExecutor:
    """Return threads that are kept: to start them for every tile took a fifth of a preview."""
    return ThreadPoolExecutor(workers, THREAD_NAME)
