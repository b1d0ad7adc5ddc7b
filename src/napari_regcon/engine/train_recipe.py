"""What a recipe needs to be followed: the training, and the source of its tasks.

The one place that knows which training each kind of network has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_regcon.data.context_tasks import ContextSource
from napari_regcon.data.episodes import EpisodeSource
from napari_regcon.data.recipe import IN_CONTEXT
from napari_regcon.engine.context_training import ContextTraining
from napari_regcon.engine.embedding import load_network
from napari_regcon.engine.pretraining import Pretraining
from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_regcon.data.recipe import Recipe
    from napari_regcon.data.source_planes import SourcePlane
    from napari_regcon.engine.weights import WeightsInfo


def training_of(
    recipe: Recipe, *, start: str | None = None, device: str = "auto"
) -> tuple[Pretraining | ContextTraining, WeightsInfo | None]:
    """Return the training of a recipe at its first step, and the weights that it begins with.

    Parameters
    ----------
    recipe : Recipe
        What is trained, and how.
    start : str, optional
        Weights of features to begin with; random ones where not given.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.

    Raises
    ------
    InputError
        If the network of this recipe cannot begin with weights.
    WeightsError
        If the weights cannot be loaded.
    DeviceError
        If the device is not there.
    """
    if recipe.network != IN_CONTEXT:
        net, parent = load_network(start) if start else (None, None)
        return Pretraining(recipe.train, start=net, device=device), parent
    if start:
        raise InputError(
            "A network that segments in context is trained from random weights only.",
            next_step="Leave the weights to begin with away.",
        )
    return ContextTraining(recipe.train, device=device), None


def source_of(recipe: Recipe, planes: Sequence[SourcePlane]) -> EpisodeSource | ContextSource:
    """Return what draws the tasks of a recipe from some planes."""
    kind = ContextSource if recipe.network == IN_CONTEXT else EpisodeSource
    return kind(planes, recipe.draw, recipe.shares)
