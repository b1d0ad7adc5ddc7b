"""Segmenters by name. The one place that knows which methods exist."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_regcon.config import FinetunedConfig, InContextConfig, PixelHeadConfig
from napari_regcon.errors import InputError, WeightsError

if TYPE_CHECKING:
    from napari_regcon.engine.feature_store import FeatureStore
    from napari_regcon.engine.segmenter import Segmenter

METHODS: dict[str, type] = {
    "pixel-head": PixelHeadConfig,
    "in-context": InContextConfig,
    "fine-tuned": FinetunedConfig,
}
"""Names of methods to choose from, and the configuration class of each."""


_TELLING = {
    "enc_blocks.0.cross.cross_conv.weight": ("in-context", {}),
    "assign.weight": ("pixel-head", {"features": "both"}),
    "head.weight": ("fine-tuned", {}),
}
"""Tensors that tell which method a file of weights is for, and how it uses them."""


def method_of_weights(weights: str | Path) -> tuple[str, dict[str, Any]]:
    """Return the method that weights are for.

    Parameters
    ----------
    weights : str or pathlib.Path
        Of a network that this package has: a name in the registry, or a file.

    Returns
    -------
    method : str
        A name in :data:`METHODS`.
    parameters : dict
        What has to be chosen so that the method uses them.

    Raises
    ------
    WeightsError
        If they cannot be read, or are for no method.
    """
    from napari_regcon.engine.weights import load_state

    state, _ = load_state(weights)
    for name, (method, parameters) in _TELLING.items():
        if name in state:
            return method, dict(parameters)
    raise WeightsError(
        f"The weights in {Path(weights).name} are of no network that this plugin has.",
        expected="Expected weights of UniverSeg, or made by 'napari-regcon pretrain' or "
        "'napari-regcon finetune'.",
    )


def load_segmenter(
    method: str = "pixel-head",
    *,
    weights: str | None = None,
    device: str = "auto",
    store: FeatureStore | None = None,
    **parameters: Any,
) -> Segmenter:
    """Make a segmenter.

    Parameters
    ----------
    method : str
        ``"pixel-head"``, ``"in-context"``, or a file of weights, which stands for the method it
        is for; ``"spread"`` fills slices that have strokes.
    weights : str, optional
        Name in the weights registry, or a file that was imported, downloaded or pre-trained.
        Where not given, the method's own: ``"universeg-em-light"`` for ``"in-context"``,
        ``"regcon-em"`` for
        the pixel head with ``features="network"`` or ``"both"``, none for the pixel head with
        filters alone.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    store : FeatureStore, optional
        Features that other segmenters have computed already, for methods that use some.
    **parameters
        Fields of the method's configuration class.

    Raises
    ------
    InputError
        If the method or a parameter is unknown or out of range.
    WeightsError
        If weights are needed and cannot be loaded.
    DeviceError
        If the device is not there.
    """
    if method not in METHODS and Path(method).is_file():
        weights = method
        method, needed = method_of_weights(Path(method))
        parameters = needed | parameters
    if method == "spread":
        from napari_regcon.engine.spread import StrokeSpreader

        return StrokeSpreader(device=device, store=store)
    if method not in METHODS:
        raise InputError(
            f"There is no method {method!r}.",
            expected=f"Expected one of {', '.join(METHODS)}, or a file of weights.",
        )
    try:
        config = METHODS[method](**parameters)
    except TypeError as error:
        raise InputError(f"A parameter of {method!r} is not known: {error}.") from error
    if method == "pixel-head":
        from napari_regcon.engine.pixel_head import PixelHead

        return PixelHead(config, device=device, store=store, weights=weights)
    if method == "fine-tuned":
        if not weights:
            raise InputError(
                "A fine-tuned network is a file, and none was chosen.",
                next_step="Make one with 'napari-regcon finetune', or import one.",
            )
        from napari_regcon.engine.finetuned import FineTuned

        return FineTuned(config, weights=weights, device=device, store=store)
    from napari_regcon.engine.in_context import InContext

    return InContext(config, weights=weights or config.default_weights, device=device)
