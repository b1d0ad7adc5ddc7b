"""Read the tensors of a weights file that nobody vouches for.

The outside is checked first, see :mod:`~napari_regcon.engine.weights_check`; then torch or
safetensors reads it without running anything in it, and every tensor is checked and copied.
Nothing here knows which network the tensors are for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_regcon.engine.weights_check import MAX_BYTES, SAVE_AGAIN, check_file, damaged
from napari_regcon.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

_MAX_NAME = 500
_WRAPPERS = ("state_dict", "model_state_dict", "model", "weights")
_CARDS = ("card", "metadata")


def read_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors of a file, and what it says about itself.

    Parameters
    ----------
    path : pathlib.Path
        Any file.

    Returns
    -------
    state : dict of str to torch.Tensor
        On the processor, contiguous, in memory of their own.
    card : dict of str to Any
        Plain values stored beside the tensors, unchecked.

    Raises
    ------
    WeightsError
        Whatever is wrong with the file.
    """
    kind = check_file(path)
    try:
        if kind == "torch":
            content = _load_torch(path)
            card: dict[str, Any] = {}
        else:
            content, card = _load_safetensors(path)
        content, more = _unwrap(content)
        return _own(path, content), card | more
    except WeightsError:
        raise
    except Exception as error:  # torch raises nearly anything on a damaged file
        raise damaged(path, error) from error


def _load_torch(path: Path) -> Any:
    import torch

    # Mapped, torch takes tensors out of one checked block. Read one by one, older versions
    # believe the size a tensor claims and read memory behind its end.
    return torch.load(path, map_location="cpu", weights_only=True, mmap=True)


def _load_safetensors(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    import safetensors

    with safetensors.safe_open(path, framework="pt", device="cpu") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118


def _unwrap(content: Any) -> tuple[Any, dict[str, Any]]:
    """Take the state dict out of ``{"state_dict": ...}`` and the like, and keep the rest."""
    card: dict[str, Any] = {}
    for _ in range(3):
        inner = _inner(content)
        if inner is None:
            break
        for key, value in content.items():
            nested = key in _CARDS and isinstance(value, dict)
            card |= dict(_plain_items(value if nested else {key: value}))
        content = inner
    if isinstance(content, dict) and content and all(_is_parallel(key) for key in content):
        content = {key.removeprefix("module."): value for key, value in content.items()}
    return content, card


def _inner(content: Any) -> dict[Any, Any] | None:
    if not isinstance(content, dict):
        return None
    return next((content[k] for k in _WRAPPERS if isinstance(content.get(k), dict)), None)


def _is_parallel(key: object) -> bool:
    return isinstance(key, str) and key.startswith("module.")


def _plain_items(values: dict[Any, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(key, str) and isinstance(value, str | int | float | None):
            yield key, value


def _own(path: Path, content: Any) -> dict[str, Tensor]:
    """Check each tensor and copy it out of the file, which may change or be deleted later."""
    if not isinstance(content, dict) or not content:
        raise WeightsError(
            f"{path.name} holds {'nothing' if content == {} else type(content).__name__}.",
            expected="Expected a state dict: tensors by name.",
            next_step=SAVE_AGAIN,
        )
    left = MAX_BYTES
    state = {}
    for key, tensor in content.items():
        left -= _checked_bytes(path, key, tensor)
        if left < 0:
            raise damaged(path, "its tensors claim more memory than any weights need.")
        state[key] = tensor.detach().clone().contiguous()
    return state


def _checked_bytes(path: Path, key: object, tensor: Any) -> int:
    """Return the bytes of a tensor that is what it seems to be."""
    import torch

    if not isinstance(key, str) or not key.isprintable() or len(key) > _MAX_NAME:
        raise damaged(path, "a tensor has an unreadable name.")
    if not isinstance(tensor, torch.Tensor):
        raise WeightsError(
            f"{path.name} has {key!r} of type {type(tensor).__name__} among its tensors.",
            expected="Expected a state dict: tensors by name.",
            next_step=SAVE_AGAIN,
        )
    n_bytes = tensor.numel() * tensor.element_size()
    # A tensor can repeat one stored number to any size by a stride of 0.
    if tensor.layout is not torch.strided or n_bytes > tensor.untyped_storage().nbytes():
        raise damaged(path, f"{key!r} of shape {tuple(tensor.shape)} is larger than its data.")
    return n_bytes
