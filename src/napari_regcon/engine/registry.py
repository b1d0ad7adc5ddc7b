"""Segmenters by name. The one place that knows which methods exist."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_regcon.config import InContextConfig, PixelHeadConfig
from napari_regcon.errors import InputError

if TYPE_CHECKING:
    from napari_regcon.engine.features import FeatureStore
    from napari_regcon.engine.segmenter import Segmenter

METHODS: dict[str, type] = {"pixel-head": PixelHeadConfig, "in-context": InContextConfig}
"""Method names and the configuration class of each."""


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
        ``"pixel-head"`` (needs no weights) or ``"in-context"``.
    weights : str, optional
        Name in the weights registry, or a file.
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
    if method not in METHODS:
        raise InputError(
            f"There is no method {method!r}.", expected=f"Expected one of {', '.join(METHODS)}."
        )
    try:
        config = METHODS[method](**parameters)
    except TypeError as error:
        raise InputError(f"A parameter of {method!r} is not known: {error}.") from error
    if method == "pixel-head":
        from napari_regcon.engine.pixel_head import PixelHead

        return PixelHead(config, device=device, store=store)
    from napari_regcon.engine.in_context import InContext

    return InContext(config, weights=weights or "universeg-v1", device=device)
