"""Regions: the pieces that an image falls into, for one plane or a whole volume.

A plane is cut along the edges of its grey values and, where weights are given, of what a
pre-trained network sees. Volumes are done slice by slice, with numbers that go on from slice to
slice; planes larger than ``LARGEST_PX`` are cut into equal parts, which regions do not cross.
Memory does not grow with the volume. Without weights torch is not imported.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_regcon.config import RegionsConfig
from napari_regcon.data.export import Output, require_space
from napari_regcon.data.export_files import ResultSpec
from napari_regcon.data.normalize import estimate_normalization
from napari_regcon.data.region_growth import grow_tree
from napari_regcon.data.region_links import RegionLinks
from napari_regcon.data.region_tree import plane_parts
from napari_regcon.data.superpixels import edge_strength
from napari_regcon.data.views import ImageView
from napari_regcon.engine.targets import Target, refuse_inputs
from napari_regcon.errors import InputError
from napari_regcon.types import BlockDone, Box, Event, Finished, Progress, Volume

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_regcon.data.region_tree import RegionTree
    from napari_regcon.engine.region_features import NetworkFeatures


def partition(
    image: np.ndarray | Volume,
    granularity: float = RegionsConfig.granularity,
    *,
    weights: str | None = None,
    device: str = "auto",
    **parameters: Any,
) -> np.ndarray:
    """Cut an image into regions, in memory.

    Parameters
    ----------
    image : numpy.ndarray or Volume
        An array is ``(Y, X)``, ``(Z, Y, X)`` or ``(T, Z, Y, X)``; for colours give a volume.
    granularity : float
        From 0 (few large regions) to 1 (many small ones). Finer regions only split coarser ones,
        slice by slice.
    weights : str, optional
        Pre-trained features to cut along: a name in the weights registry, or a file.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``; of use with weights only.
    **parameters
        Other fields of :class:`napari_regcon.config.RegionsConfig`.

    Returns
    -------
    numpy.ndarray
        uint32, all axes of the image but channels. Regions are numbered from 1; within a slice
        each is one piece. A region of the next slice has the same number where the two overlap
        each other most.

    Raises
    ------
    InputError
        If the image or a parameter cannot be used.
    WeightsError
        If weights cannot be loaded.
    """
    if not isinstance(image, Volume):
        image = volume_of(image)
    try:
        config = RegionsConfig(granularity=granularity, **parameters)
    except TypeError as error:
        raise InputError(f"A parameter of regions is not known: {error}.") from error
    regions = np.zeros(image.label_shape, dtype=np.uint32)
    for _ in partition_volume(image, regions, config, weights=weights, device=device):
        pass
    return regions


def volume_of(image: np.ndarray) -> Volume:
    """Return a grey array ``(Y, X)``, ``(Z, Y, X)`` or ``(T, Z, Y, X)`` as a volume.

    Raises
    ------
    InputError
        If it has other axes.
    """
    if not 2 <= image.ndim <= 4:
        raise InputError(
            f"An array with {image.ndim} axes cannot be cut into regions.",
            expected="Expected 2 to 4 axes: Y X, Z Y X, or T Z Y X.",
        )
    return Volume(image, "TZYX"[4 - image.ndim :], name="the image")


def partition_volume(
    volume: Volume,
    out: Target,
    config: RegionsConfig | None = None,
    *,
    weights: str | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> Generator[Event, None, None]:
    """Cut a volume into regions slice by slice and write them.

    The arguments are checked when this is called; the work starts with the first event that is
    asked for. Closing the iterator, or an error, stops it at the next step and removes the file
    it was making.

    Parameters
    ----------
    volume : Volume
        The image, 2-D or 3-D, with or without time and channels. Read part by part.
    out : str, pathlib.Path or array
        File that ends in ``.zarr`` (OME-Zarr 0.5), ``.tif`` or ``.tiff``, or an array of uint32
        or a larger whole-number type, of shape ``volume.label_shape``.
    config : RegionsConfig, optional
        Granularity and the rest.
    weights : str, optional
        Pre-trained features to cut along: a name in the weights registry, or a file.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``; of use with weights only.
    overwrite : bool
        Whether an existing file is replaced, once the new one is complete.

    Returns
    -------
    generator of Event
        ``Progress`` and ``BlockDone`` after each slice, or part of one, and ``Finished``.

    Raises
    ------
    InputError
        At the call: if the volume is empty or the target cannot be used. Later: if the disk
        runs full.
    WeightsError
        If weights cannot be loaded.
    DeviceError
        If the device is not there.
    """
    if not math.prod(volume.label_shape):
        raise InputError(f"{volume.name!r} is empty: its shape is {tuple(volume.data.shape)}.")
    refuse_inputs((out,), volume)
    spec = ResultSpec.like(volume, np.uint32, (), name=f"{volume.name} regions")
    output = Output(out, spec, overwrite=overwrite)
    require_space([output])
    finder = RegionFinder(config or RegionsConfig(), weights=weights, device=device)
    return _run(volume, output, finder)


class RegionFinder:
    """Finds the regions of planes, at all granularities at once.

    Parameters
    ----------
    config : RegionsConfig
        All but its granularity has an influence on what is found.
    weights : str, optional
        Pre-trained features to cut along.
    device : str
        Where these are computed.
    """

    def __init__(
        self, config: RegionsConfig, *, weights: str | None = None, device: str = "auto"
    ) -> None:
        self.config = config
        self._network: NetworkFeatures | None = None
        if weights is not None:
            from napari_regcon.engine.region_features import NetworkFeatures

            self._network = NetworkFeatures(weights, device)

    def tree_in_steps(self, view: ImageView, box: Box) -> Generator[None, None, RegionTree]:
        """Find the regions of a part of a plane, yielding wherever it can be stopped.

        Parameters
        ----------
        view : ImageView
            A plane.
        box : Box
            Part of it, ``(Y, X)``; regions end at its border.
        """
        features, edges = yield from self.edges_in_steps(view, box)
        return grow_tree(features, edges, self.config.smallest_px)

    def edges_in_steps(
        self, view: ImageView, box: Box
    ) -> Generator[None, None, tuple[np.ndarray, np.ndarray]]:
        """Return float32 features ``(F, *box.shape)`` and how strong their edges are."""
        margin = math.ceil(4 * self.config.smoothing_px)
        around = box.grow((margin, margin))
        grey = view.read(box, (margin, margin))
        features = grey / np.float32(math.sqrt(len(grey)))
        yield
        if self._network is not None:
            seen = yield from self._network.compute_in_steps(view, around)
            features = np.concatenate([features, seen])
        edges = edge_strength(features, self.config.smoothing_px)
        yield
        inside = (slice(margin, margin + box.shape[0]), slice(margin, margin + box.shape[1]))
        return features[:, *inside], edges[inside]


def _run(volume: Volume, output: Output, finder: RegionFinder) -> Generator[Event, None, None]:
    """Work through the slices of one part, then of the next, so that numbers can go on."""
    begin = time.perf_counter()
    normalization = estimate_normalization(volume)
    links = RegionLinks()
    boxes = [(p, part) for part in plane_parts(volume.label_shape) for p in volume.prefixes(2)]
    with output:
        for done, (prefix, part) in enumerate(boxes):
            work = finder.tree_in_steps(ImageView(volume, normalization, prefix, 2), part)
            tree = yield from _waited_for(work, done, len(boxes), begin)
            if not prefix or prefix[-1] == 0:
                links.break_off()
            numbers = links.number(tree.cut(finder.config.granularity).labels)
            box = Box((*prefix, *part.start), (*(i + 1 for i in prefix), *part.stop))
            output.write(box, numbers.reshape(box.shape))
            yield Progress(done + 1, len(boxes), "slices", time.perf_counter() - begin)
            yield BlockDone(box)
    yield Finished(time.perf_counter() - begin, () if output.path is None else (output.path,))


def _waited_for(
    work: Generator[None, None, RegionTree], done: int, total: int, begin: float
) -> Generator[Event, None, RegionTree]:
    """Turn steps within a slice into progress, and return what comes of them."""
    while True:
        try:
            next(work)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        yield Progress(done, total, "slices", time.perf_counter() - begin)
