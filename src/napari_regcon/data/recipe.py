"""Recipes: everything that a training needs but the images, in a TOML file.

How much of what is read, how tasks are drawn from it, and the parameters of the training, for
each kind of network that this package trains. This module reads no image.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any

from napari_regcon.config import ContextTrainConfig, PretrainConfig, param, validate
from napari_regcon.data.context_tasks import ContextConfig
from napari_regcon.data.episodes import EpisodeConfig
from napari_regcon.errors import InputError

FEATURES, IN_CONTEXT = "features", "in-context"

NETWORKS: dict[str, tuple[type[Any], type[Any]]] = {
    FEATURES: (PretrainConfig, EpisodeConfig),
    IN_CONTEXT: (ContextTrainConfig, ContextConfig),
}
"""Kinds of networks, and the parameters of their training and of what is drawn for it."""


@dataclass(frozen=True)
class Recipe:
    """How a network is trained, but for the images.

    Parameters
    ----------
    train : PretrainConfig or ContextTrainConfig
        Parameters of the training.
    draw : EpisodeConfig or ContextConfig
        How small tasks are drawn, for the same kind of network.
    shares : dict of str to float
        How often a data set, or the phantoms together, are drawn; 1 where not given.
    without : tuple of str
        Data sets that are left out.
    """

    train: Any = field(default_factory=PretrainConfig)
    draw: Any = field(default_factory=EpisodeConfig)
    shares: dict[str, float] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    licence: str = param("not stated", "Licence", "Under which the weights may be used.")
    phantoms: int = param(0, "Phantoms", "Phantoms of different kinds.", minimum=0)
    phantom_shape: tuple[int, int, int] = param(
        (12, 384, 384), "Phantom shape", "Voxels of a phantom along Z, Y, X.", minimum=1
    )
    planes_per_volume: int = param(
        48, "Planes per volume", "Most planes of a volume along one axis.", minimum=1
    )

    @property
    def network(self) -> str:
        """Kind of the network, one of :data:`NETWORKS`."""
        return IN_CONTEXT if isinstance(self.train, ContextTrainConfig) else FEATURES

    def __post_init__(self) -> None:
        validate(self)
        if self.network == FEATURES and self.draw.crop_px % self.train.stride:
            raise InputError(
                f"Crop (px) is {self.draw.crop_px}.",
                expected=f"Expected a multiple of {self.train.stride}, which "
                f"{self.train.levels} levels need.",
            )
        for name, share in self.shares.items():
            if not 0 < share < float("inf"):
                raise InputError(
                    f"The share of {name} is {share}.",
                    expected="Expected a number above 0.",
                    next_step="To leave a data set out, name it in 'without'.",
                )
        if not isinstance(self.without, tuple):
            raise InputError(
                f"'without' is {self.without!r}.", expected="Expected a list of data sets."
            )


def read_recipe(name: str | Path) -> Recipe:
    """Read a recipe.

    Parameters
    ----------
    name : str or pathlib.Path
        One that ships (``"regcon-em"``, ``"adapt"``, ``"universeg-em-light"``), or a TOML file
        with ``licence``, ``network`` (``"features"`` or ``"in-context"``) and the tables
        ``train``, ``draw``, ``shares`` and ``data``, all optional.

    Raises
    ------
    InputError
        If there is none, it is not TOML, or an entry is unknown or out of range.
    """
    path = _recipe_path(str(name))
    try:
        text = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path} cannot be read as a recipe: {error}.") from error
    data = text.pop("data", {})
    tables, words = {"train", "draw", "shares"}, {"licence", "network"}
    _check_names(path, "data", data, {item.name for item in fields(Recipe)} - tables - words)
    _check_names(path, "recipe", text, tables | words)
    network = text.pop("network", FEATURES)
    if network not in NETWORKS:
        raise InputError(
            f"{path}: there is no network {network!r} to train.",
            expected=f"Expected one of {', '.join(NETWORKS)}.",
        )
    train, draw = NETWORKS[network]
    try:
        return Recipe(
            train=train(**_tuples(text.pop("train", {}))),
            draw=draw(**_tuples(text.pop("draw", {}))),
            shares={name: float(share) for name, share in text.pop("shares", {}).items()},
            **text,
            **_tuples(data),
        )
    except (TypeError, ValueError) as error:
        raise InputError(f"{path} has an entry that does not fit: {error}.") from error


def _recipe_path(name: str) -> Path:
    shipped = Path(str(resources.files("napari_regcon"))) / "recipes"
    path = shipped / f"{name}.toml"
    if path.is_file():
        return path
    if not Path(name).is_file():
        names = ", ".join(sorted(p.stem for p in shipped.glob("*.toml")))
        raise InputError(
            f"There is no recipe {name!r}.", expected=f"Expected {names}, or a TOML file."
        )
    return Path(name)


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}


def _check_names(path: Path, table: str, given: dict[str, Any], known: set[str]) -> None:
    unknown = sorted(set(given) - known)
    if unknown:
        raise InputError(
            f"{path}: {', '.join(unknown)} is not known in the {table} table.",
            expected=f"Expected {', '.join(sorted(known))}.",
        )
