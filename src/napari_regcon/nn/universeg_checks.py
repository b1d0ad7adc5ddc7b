"""What can be wrong with what UniverSeg is given, said in words.

Shapes of queries and support sets, and names and shapes of the tensors in a weights file. Nothing
here computes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_regcon.errors import InputError, WeightsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from torch import Tensor, nn

MULTIPLE_PX = 8
"""Height and width are halved three times, so they must be multiples of this."""

_WIDTH_KEY = "enc_blocks.0.cross.cross_conv.weight"
_MAX_WIDTH = 512
_NAMED = 4


def check_support(images: Tensor, labels: Tensor) -> None:
    """Check that support images and labels are ``(B, S, 1, H, W)`` both.

    Raises
    ------
    InputError
        Says which is not, and what was expected.
    """
    for what, tensor in (("support images", images), ("support labels", labels)):
        if tensor.ndim != 5 or tensor.shape[2] != 1 or 0 in tensor.shape:
            raise InputError(
                f"The {what} have the shape {tuple(tensor.shape)}.",
                expected="Expected (queries, examples, 1, height, width), with at least one "
                "example and one grey channel.",
            )
    if images.shape != labels.shape:
        raise InputError(
            f"The support images have the shape {tuple(images.shape)}, but the support labels "
            f"{tuple(labels.shape)}.",
            expected="Expected one label image for each image, of the same size.",
        )
    _check_size("support images", images)


def check_query(query: Tensor, support: Tensor) -> None:
    """Check that queries are ``(B, 1, H, W)`` and fit a support of ``(B or 1, S, C, H, W)``.

    Raises
    ------
    InputError
        Says what does not fit, and what was expected.
    """
    if query.ndim != 4 or query.shape[1] != 1 or 0 in query.shape:
        raise InputError(
            f"The query has the shape {tuple(query.shape)}.",
            expected="Expected (queries, 1, height, width), with one grey channel.",
        )
    _check_size("query", query)
    if query.shape[-2:] != support.shape[-2:]:
        raise InputError(
            f"The query is {_size(query)}, but the support is {_size(support)}.",
            expected="Expected the same height and width.",
        )
    if support.shape[0] not in {1, query.shape[0]}:
        raise InputError(
            f"There are {query.shape[0]} queries, but {support.shape[0]} support sets.",
            expected="Expected one support set for each query, or one for all.",
        )


def check_state(state: Mapping[str, Tensor], network: Callable[[int], nn.Module], name: str) -> int:
    """Check that a state dict has exactly the tensors of the network.

    Parameters
    ----------
    state : mapping of str to Tensor
        What was in the file.
    network : callable
        Makes the network for a width.
    name : str
        What to call the weights in messages.

    Returns
    -------
    int
        The width.

    Raises
    ------
    WeightsError
        If tensors are missing, foreign, of another shape, not floating point or not finite.
    """
    key = state.get(_WIDTH_KEY)
    width = key.shape[0] if key is not None and key.ndim == 4 else None
    if width is None or not 1 <= width <= _MAX_WIDTH:
        raise WeightsError(
            f"{name} is no UniverSeg network: it has {_summary(state)}, and no usable "
            f"{_WIDTH_KEY!r}.",
            expected=_EXPECTED,
            next_step="Choose other weights.",
        )
    with torch.device("meta"):
        wanted = {name: tensor.shape for name, tensor in network(width).state_dict().items()}
    problems = [
        _listed("missing", wanted.keys() - state.keys()),
        _listed("not part of the network", state.keys() - wanted.keys()),
        _listed(
            "of another shape",
            (
                f"{name} {tuple(state[name].shape)} instead of {tuple(shape)}"
                for name, shape in wanted.items()
                if name in state and state[name].shape != shape
            ),
        ),
        _listed("not floating point", (n for n, t in state.items() if not t.is_floating_point())),
        _listed("not finite", (n for n, t in state.items() if not t.isfinite().all())),
    ]
    if any(problems):
        raise WeightsError(
            f"{name} does not fit the UniverSeg network: {'; '.join(filter(None, problems))}.",
            expected=_EXPECTED,
            next_step="Choose other weights, or get the file again.",
        )
    return width


_EXPECTED = "Expected the 44 tensors of UniverSeg version 1 (enc_blocks, dec_blocks, out_conv)."


def _listed(what: str, names: Iterable[str]) -> str:
    """Return a sentence part such as ``2 tensors missing (a, b)``, or an empty string."""
    found = sorted(names)
    if not found:
        return ""
    more = ", ..." if len(found) > _NAMED else ""
    return f"{len(found)} {_plural(found)} {what} ({', '.join(found[:_NAMED])}{more})"


def _plural(found: Iterable[str]) -> str:
    return "tensor" if len(list(found)) == 1 else "tensors"


def _summary(state: Mapping[str, Tensor]) -> str:
    names = sorted(state)
    if not names:
        return "no tensors"
    more = ", ..." if len(names) > _NAMED else ""
    return f"{len(names)} {_plural(names)} ({', '.join(names[:_NAMED])}{more})"


def _check_size(what: str, images: Tensor) -> None:
    if any(n % MULTIPLE_PX for n in images.shape[-2:]):
        raise InputError(
            f"The {what} is {_size(images)}."
            if what == "query"
            else f"The {what} are {_size(images)}.",
            expected=f"Expected height and width that are multiples of {MULTIPLE_PX}.",
            next_step="Crop or mirror the image to such a size.",
        )


def _size(images: Tensor) -> str:
    return f"{images.shape[-2]} x {images.shape[-1]} pixels"
