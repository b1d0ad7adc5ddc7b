"""A pre-trained network as a file: the network of averaged weights, and the card it carries.

The card says what a user should know: licences, recipe, what was seen, what training began with.
Nothing here trains.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from napari_regcon.engine.embedding import save_network

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_regcon.data.corpus import Corpus
    from napari_regcon.data.recipe import Recipe
    from napari_regcon.engine.context_training import ContextTraining
    from napari_regcon.engine.pretraining import Pretraining
    from napari_regcon.engine.weights import WeightsInfo


@dataclass(frozen=True, eq=False)
class Origin:
    """What a network was trained with, and on.

    Parameters
    ----------
    name : str
        What to call them.
    recipe : Recipe
        Everything but the images.
    families : tuple of str
        Data sets that were seen; ``"phantom"`` for phantoms.
    corpora : sequence of Corpus
        The data sets among them that are folders.
    images : sequence of dict
        Images of the user that were seen, as
        :func:`napari_regcon.data.fingerprint.about_image` tells them.
    parent : WeightsInfo or None
        The weights that training began with; None for random ones.
    """

    name: str
    recipe: Recipe
    families: Sequence[str] = ()
    corpora: Sequence[Corpus] = ()
    images: Sequence[dict[str, Any]] = ()
    parent: WeightsInfo | None = None


def save_pretrained(training: Pretraining | ContextTraining, path: Path, origin: Origin) -> None:
    """Write what a training has made so far, whole or not at all.

    Parameters
    ----------
    training : Pretraining or ContextTraining
        The training.
    path : pathlib.Path
        A name that ends in ``.safetensors``.
    origin : Origin
        What it was trained with, and on.
    """
    save_network(training.result(), path, _card(training, origin))


def _card(training: Pretraining | ContextTraining, origin: Origin) -> dict[str, Any]:
    config, parent = training.config, origin.parent
    told = {c.name: ", ".join(filter(None, (c.licence, c.source))) for c in origin.corpora}
    drawn = "drawn by napari-regcon"
    return {
        "name": origin.name,
        "licence": origin.recipe.licence,
        **config.sizes,
        "seed": config.seed,
        "data": list(origin.families),
        "data_licences": "\n".join(f"{n}: {told.get(n, drawn)}" for n in origin.families),
        "images": list(origin.images),
        "parent": parent.name if parent else "none",
        "parent_sha256": parent.sha256 if parent else "",
        "parent_licence": parent.licence if parent else "",
        "recipe": asdict(origin.recipe),
        "made_with": f"napari-regcon {version('napari-regcon')}",
        "steps": training.step,
    }
