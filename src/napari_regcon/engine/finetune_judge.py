"""Judges networks in training by strokes that are kept back, and remembers the best.

The pixel classifier is judged beside it, on the same pixels, so that a network that is worse is
never taken for progress. Where wanted, the shape of objects counts too. Nothing here trains.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from napari_regcon.data.metrics import Confusion
from napari_regcon.data.solidity import FEWEST_OBJECTS, finished_solidity, mean_solidity
from napari_regcon.data.stroke_crops import StrokeCrops
from napari_regcon.engine.finetune_events import FinetuneCheck
from napari_regcon.errors import InputError
from napari_regcon.types import NOT_SAID

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from torch import Tensor

    from napari_regcon.config import FinetuneConfig
    from napari_regcon.data.stroke_crops import Crop, Opinion
    from napari_regcon.data.stroke_split import Stroke
    from napari_regcon.data.support import SupportSet
    from napari_regcon.nn.class_net import ClassNet

SHAPES_PX = 384
_SHAPES_ON = 4
"""Side and number of the parts of planes, each around a stroke, on which shapes are compared."""


class Judge:
    """The best network so far, by the strokes kept back.

    Parameters
    ----------
    config : FinetuneConfig
        Size of crops, and whose shapes count.
    opinion : callable
        What the pixel classifier thinks, which the network adds to and has to beat.

    Attributes
    ----------
    best : FinetuneCheck or None
        How good it is; None where there was nothing to judge by.
    """

    def __init__(self, config: FinetuneConfig, opinion: Opinion) -> None:
        self.best: FinetuneCheck | None = None
        self._config = config
        self._opinion = opinion
        self._weights: dict[str, Tensor] | None = None
        self._solidity: dict[int, float] = {}

    @property
    def has_work(self) -> bool:
        """Whether there is anything to judge by."""
        return bool(self._held or self._solidity)

    def update(self, support: SupportSet, learnt: Sequence[Stroke], held: Sequence[Stroke]) -> None:
        """Judge by these strokes from now on.

        Raises
        ------
        InputError
            If shapes of a class are to count that is not there, or has too few finished objects.
        """
        config = self._config
        wanted = [name.strip() for name in config.compact.split(",") if name.strip()]
        if wanted:
            self._solidity |= _wanted_solidity(support, wanted, self._solidity)
            first = {support.examples[s.example].view(2).key: s for s in (*learnt, *held)}
            shown = list(first.values())[:_SHAPES_ON]
            self._shapes = self._crops(support, shown, SHAPES_PX, self._opinion)
        self._classes = support.classes
        self._held = self._crops(support, held, config.crop_px, self._opinion)
        self._n_held = min(sum(i in s.values for s in held) for i in range(len(self._classes)))

    def look(
        self, step: int, net: ClassNet, predict: Callable[[Crop], np.ndarray]
    ) -> FinetuneCheck:
        """Judge a network, and keep it if none was better.

        Parameters
        ----------
        step : int
            Steps it was trained.
        net : ClassNet
            The network.
        predict : callable
            Class indices ``(H, W)`` of a crop.
        """
        dice = self._dice(self._held, predict)
        rival: dict[str, float] = {}
        if all(crop.opinion.any() for crop in self._held):  # it was asked
            rival = self._dice(self._held, lambda crop: crop.opinion.argmax(0))
        solidity = {}
        if self._solidity:
            found = mean_solidity(map(predict, self._shapes), self._solidity)
            solidity = {
                self._classes[i]: abs(found.get(i, 0.0) - value)
                for i, value in self._solidity.items()
            }
        event = FinetuneCheck(step, dice, True, rival, self._n_held, solidity)
        # A later one is as good as an earlier one that did as well: it has learnt more.
        if self.best is not None and event.score < self.best.score:
            return FinetuneCheck(step, dice, False, rival, self._n_held, solidity)
        self.best = event
        self._weights = deepcopy(net.state_dict())
        return event

    def put_best(self, net: ClassNet) -> None:
        """Give a network the weights of the best; leave it as it is where none was judged."""
        if self._weights is not None:
            net.load_state_dict(self._weights)

    def state(self) -> dict[str, Any]:
        """Return what :meth:`restore` needs to go on from here."""
        best = self.best
        return {"best": None if best is None else vars(best), "weights": self._weights}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.best = None if state["best"] is None else FinetuneCheck(**state["best"])
        self._weights = state["weights"]

    def _crops(
        self, support: SupportSet, strokes: Sequence[Stroke], side_px: int, opinion: Opinion
    ) -> list[Crop]:
        config = self._config
        return StrokeCrops(
            support,
            strokes,
            side_px,
            config.downscale,
            opinion,
            neighbours=config.neighbours,
        ).straight()

    def _dice(self, held: Sequence[Crop], find: Callable[[Crop], np.ndarray]) -> dict[str, float]:
        """Return the Dice of the classes that occur among the labels kept back."""
        confusion = Confusion(self._classes)
        for crop in held:
            said = crop.labels != NOT_SAID
            confusion.add((crop.labels + 1)[said], (find(crop) + 1)[said])
        judged = confusion.counts.sum(1) > 0
        found = zip(self._classes, confusion.dice(), judged, strict=True)
        return {name: float(value) for name, value, is_judged in found if is_judged}


def _wanted_solidity(
    support: SupportSet, wanted: Sequence[str], known: dict[int, float]
) -> dict[int, float]:
    """Return the solidity of finished objects of the classes that are named."""
    found = finished_solidity(support)
    for name in wanted:
        if name not in support.classes:
            raise InputError(
                f"Compact classes names {name!r}.",
                expected=f"Expected some of {', '.join(support.classes)}, separated by commas.",
            )
        if support.classes.index(name) not in found | known:
            raise InputError(
                f"There are fewer than {FEWEST_OBJECTS} finished objects of {name!r}.",
                expected=f"Expected at least {FEWEST_OBJECTS} in slices or boxes marked complete, "
                "not cut by a border.",
                next_step=f"Finish more of them, or take {name!r} out of Compact classes.",
            )
    return {i: value for i, value in found.items() if support.classes[i] in wanted}
