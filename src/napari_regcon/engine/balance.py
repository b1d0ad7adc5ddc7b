"""How much a class counts in learning, by how many of its pixels are painted.

To some power of their number: with power 0 classes are even, and a rare one is found nearly
everywhere; with power 1 they keep the shares that were painted, which strokes do not tell. Knows
nothing of who learns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_regcon.data.support import SupportSet

OF_STROKES = 0.5
"""So that strokes which correct a class that is found in too many places can make it rarer."""

OF_FINISHED_PARTS = 0.75
"""Below 1, as overlap asks for more of a rare class than the fewest wrong pixels do."""


def class_power(support: SupportSet) -> float:
    """Return the power for a support set, between the two by where most of its pixels are."""
    return OF_STROKES + support.finished_share() * (OF_FINISHED_PARTS - OF_STROKES)
