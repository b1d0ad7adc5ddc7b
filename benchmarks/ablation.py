"""What each part of pre-training is good for: the same short training with parts left out.

``python -m benchmarks.ablation --data DIR --out FOLDER`` trains one network for each variant, all
with the same recipe, data, seed and number of steps; an interrupted run goes on where it stopped.
``python -m benchmarks.quality --network FOLDER/*.safetensors`` then judges them. What is trained
so shortly says what a part adds, not how good the weights are that ship.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_regcon.data.episodes import EpisodeSource
from napari_regcon.data.recipe import read_recipe
from napari_regcon.data.training import recipe_corpora, recipe_planes
from napari_regcon.engine.embedding import save_network
from napari_regcon.engine.pretrain import pretrain
from napari_regcon.engine.pretrain_events import PretrainLook, PretrainStep
from napari_regcon.engine.pretraining import Pretraining

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_regcon.data.recipe import Recipe

NO_EPISODES = {"episode_weight": 0.0}
NO_REGIONS = {"grey_weight": 0.0, "semantic_weight": 0.0, "usage_weight": 0.0}
VARIANTS: dict[str, dict[str, Any]] = {
    # The rate is too low to learn anything by; only batch normalisation gets to know the images.
    "random": {"steps": 60, "learning_rate": 1e-6},
    "grey": NO_EPISODES | {"semantic_weight": 0.0},
    "semantic": NO_EPISODES | {"grey_weight": 0.0},
    "usregcon": NO_EPISODES,
    "episodes": NO_REGIONS,
    "all": {},
}
"""What differs from the recipe. The usage loss stays wherever there are regions: without it they
collapse, which is not what is asked here."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Train the variants from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablation", description=__doc__)
    add = parser.add_argument
    add("--data", type=Path, help="folder of data-set folders; phantoms alone if not given")
    add("--recipe", type=Path, default=Path(__file__).with_suffix(".toml"))
    add("--out", type=Path, required=True, help="folder for the networks")
    add("--variants", nargs="+", choices=tuple(VARIANTS), default=list(VARIANTS))
    options = parser.parse_args(arguments)
    recipe = read_recipe(options.recipe)
    options.out.mkdir(parents=True, exist_ok=True)
    planes = list(recipe_planes(recipe, recipe_corpora(recipe, options.data)))
    source = EpisodeSource(planes, recipe.draw, recipe.shares)
    for name in options.variants:
        train(name, recipe, source, options.out)
    return 0


def train(name: str, recipe: Recipe, source: EpisodeSource, folder: Path) -> None:
    """Train one variant and write its network, if it is not there yet."""
    out = folder / f"{name}.safetensors"
    if out.exists():
        return
    config = replace(recipe.train, **VARIANTS[name])
    training = Pretraining(config, device="cpu")
    losses = ""
    for event in pretrain(training, source, folder / f"{name}.checkpoint.pt"):
        match event:
            case PretrainStep():
                losses = ", ".join(f"{key} {value:.3f}" for key, value in event.losses.items())
            case PretrainLook():
                seen = f"rank {event.effective_rank:.1f}, regions {event.region_use:.1f}"
                seconds = f"{training.elapsed_s:.0f} s"
                print(f"{name}: step {event.step}: {losses}; {seen}, {seconds}", flush=True)
    card = {name: getattr(config, name) for name in ("embedding", "regions", "width", "levels")}
    card |= {"steps": training.step, "seconds": training.elapsed_s, "train": asdict(config)}
    save_network(training.result(), out, card)


if __name__ == "__main__":
    sys.exit(main())
