"""Which weights a session used, and whether the same ones are on this computer.

Weights are the same if their SHA-256 sum is, whatever they are called. Needs no torch.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_regcon.engine import weights
from napari_regcon.engine.weights_store import sha256_of
from napari_regcon.errors import WeightsError

if TYPE_CHECKING:
    from napari_regcon.session.saved import SessionState


def with_sum(state: SessionState) -> SessionState:
    """Return a session that knows the sum of its weights, as far as they are here."""
    if not state.weights or state.weights_sha256:
        return state
    return replace(state, weights_sha256=_sum_here(state.weights))


def find_weights(state: SessionState) -> str | None:
    """Return under which name the weights of a session are found here; None if it used none.

    Raises
    ------
    WeightsError
        If they are not here, or are others than they were.
    """
    wanted = state.weights_sha256
    if not state.weights:
        return None
    found = _sum_here(state.weights)
    if found and wanted in ("", found):
        return state.weights
    same = (e.name for e in weights.entries() if wanted and weights.known_sum(e) == wanted)
    name = next((name for name in same if _sum_here(name)), None)
    if name is not None:
        return name
    raise WeightsError(
        f"The session used the weights {state.weights!r}"
        + (
            f", and those on this computer are others: their SHA-256 sum is {found}."
            if found
            else ", which are not on this computer."
        ),
        expected=f"Expected the sum {wanted}." if wanted else "",
        next_step="Get the file that was used, and import it under any name with: napari-regcon "
        "weights import FILE --name NAME.",
    )


def weights_here(state: SessionState) -> tuple[str, str]:
    """Return the name of a session's weights, and why they cannot be used; either may be empty."""
    try:
        return find_weights(state) or "", ""
    except WeightsError as error:
        return "", str(error)


def _sum_here(name: str) -> str:
    """Return the sum of weights as they are on this computer; empty where they are not."""
    try:
        entry = weights.find(name)
    except WeightsError:
        path = Path(name).expanduser()
        return sha256_of(path) if path.is_file() else ""
    path = weights.path_of(entry)
    if not path.exists():
        return ""
    return weights.known_sum(entry) or sha256_of(path)
