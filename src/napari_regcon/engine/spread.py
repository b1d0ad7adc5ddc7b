"""Strokes made into fully labelled planes, for methods that learn only from those.

What the pixel head makes of the strokes, and the regions of the plane, decide together; see
:mod:`napari_regcon.data.spread`. It is a segmenter like others, but for planes with strokes: these
it never changes. Planes larger than ``LARGEST_PX`` are done in parts.
"""

from __future__ import annotations

import copy
import time
from typing import TYPE_CHECKING

import numpy as np

from napari_regcon.config import PixelHeadConfig, RegionsConfig
from napari_regcon.data.export import Output, require_space
from napari_regcon.data.export_files import ResultSpec
from napari_regcon.data.painted import labels_for, painted_values, renumbered
from napari_regcon.data.plane_boxes import lift
from napari_regcon.data.region_graph import region_graph
from napari_regcon.data.region_growth import grow_tree
from napari_regcon.data.region_tree import LARGEST_PX
from napari_regcon.data.spread import spread as spread_plane
from napari_regcon.data.support import SupportExample, SupportSet
from napari_regcon.engine.pixel_head import PixelHead
from napari_regcon.engine.regions import RegionFinder, volume_of
from napari_regcon.engine.segmenter import Predictor, Segmenter, run
from napari_regcon.engine.targets import Target, refuse_inputs
from napari_regcon.types import BlockDone, Box, Event, Finished, Progress, Volume

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from napari_regcon.data.views import ImageView
    from napari_regcon.engine.feature_store import FeatureStore


class SpreadPredictor(Predictor):
    """Strokes, and what follows from them for the rest of their planes.

    Parameters
    ----------
    support : SupportSet
        The strokes.
    pixels : Predictor
        The pixel head that was fitted on them.
    finder : RegionFinder
        Finds regions.
    """

    spatial_ndim = 2
    tile_shape = (LARGEST_PX, LARGEST_PX)
    overlap = (0, 0)

    def __init__(self, support: SupportSet, pixels: Predictor, finder: RegionFinder) -> None:
        self.classes = support.classes
        self.n_channels = pixels.n_channels
        self.normalization = pixels.normalization
        self.pixels = pixels
        self._finder = finder
        self._painted: dict[tuple[object, ...], list[SupportExample]] = {}
        for example in support.examples:
            self._painted.setdefault(example.view(2).key, []).append(example)

    def predict_tile(self, view: ImageView, tile: Box) -> np.ndarray:
        """Return float32 ``(n_classes, *tile.shape)``, 1 for the class of each pixel."""
        labels = run(self.labels_in_steps(view, tile))
        return _one_hot(labels, len(self.classes))

    def predict_parts(
        self, view: ImageView, box: Box, tiles: Iterable[Box]
    ) -> Generator[tuple[Box, np.ndarray] | None, None, None]:
        """Predict a box tile by tile, yielding None wherever it can be stopped."""
        for tile in tiles:
            common = tile.intersect(box)
            labels = yield from self.labels_in_steps(view, tile)
            inside = common.shift(tuple(-i for i in tile.start)).slices
            yield common, _one_hot(labels[inside], len(self.classes))

    def out_of_sight(self) -> SpreadPredictor:
        """Return the same, driving out no features that are on screen."""
        other = copy.copy(self)
        other.pixels = self.pixels.out_of_sight()
        return other

    def reduce_memory(self) -> bool:
        """Work in smaller steps."""
        return self.pixels.reduce_memory()

    def labels_in_steps(self, view: ImageView, box: Box) -> Generator[None, None, np.ndarray]:
        """Return the uint16 labels 1..n of a box of a plane, ``box.shape``."""
        opinion = np.empty((len(self.classes), *box.shape), dtype=np.float32)
        for found in self.pixels.predict_parts(
            view, box, self.pixels.grid(view.shape).touching(box)
        ):
            if found is not None:
                part, values = found
                opinion[:, *part.shift(tuple(-i for i in box.start)).slices] = values
            yield
        features, edges = yield from self._finder.edges_in_steps(view, box)
        regions = grow_tree(features, edges, self._finder.config.smallest_px).leaves
        yield
        graph = region_graph(regions, features, edges)
        return spread_plane(regions, graph, edges, self._painted_in(view, box), opinion)

    def _painted_in(self, view: ImageView, box: Box) -> np.ndarray:
        painted = np.zeros(box.shape, dtype=np.intp)
        for example in self._painted.get(view.key, ()):
            place = Box(example.box.start[-2:], example.box.stop[-2:])
            common = place.intersect(box)
            if common.size:
                labels = example.labels[common.shift(tuple(-i for i in place.start)).slices]
                target = painted[common.shift(tuple(-i for i in box.start)).slices]
                np.copyto(target, labels, where=labels > 0)
        return painted


class StrokeSpreader(Segmenter):
    """The pixel head and the regions of a plane, with strokes that are never changed.

    Parameters
    ----------
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    store : FeatureStore, optional
        Shared with other segmenters.

    Raises
    ------
    DeviceError
        If the device is not there.
    """

    def __init__(self, *, device: str = "auto", store: FeatureStore | None = None) -> None:
        # Filters alone are quick, and what spreading was tuned and measured with.
        self._head = PixelHead(PixelHeadConfig(features="filters"), device=device, store=store)
        self._finder = RegionFinder(RegionsConfig())

    def fit(self, support: SupportSet) -> SpreadPredictor:
        """Return a predictor for planes with strokes."""
        return run(self.fit_in_steps(support))

    def fit_in_steps(self, support: SupportSet) -> Generator[None, None, SpreadPredictor]:
        """Do the same as :meth:`fit`, yielding wherever it can be stopped.

        Raises
        ------
        InputError
            If fewer than two classes are painted, or images of different kinds are mixed.
        """
        pixels = yield from self._head.fit_in_steps(support)
        return SpreadPredictor(support, pixels, self._finder)


def spread_support(
    support: SupportSet, *, device: str = "auto", store: FeatureStore | None = None
) -> SupportSet:
    """Return a support set in which every plane with labels is said to the last pixel.

    Parameters
    ----------
    support : SupportSet
        Strokes, complete parts, or both. What is said stays as it is.
    device, store : str, FeatureStore
        As for :class:`StrokeSpreader`.

    Raises
    ------
    InputError
        If fewer than two classes are painted, or images of different kinds are mixed.
    """
    predictor = StrokeSpreader(device=device, store=store).fit(support)
    result = SupportSet(support.classes)
    for example in {e.view(2).key: e for e in support.examples}.values():
        view = example.view(2)
        labels = run(predictor.labels_in_steps(view, view.box))
        place = lift(view.box, view.prefix)
        result.examples.append(
            SupportExample(example.volume, example.normalization, place, labels, complete=True)
        )
    return result


def spread(image: np.ndarray | Volume, labels: np.ndarray, *, device: str = "auto") -> np.ndarray:
    """Fill every plane that has strokes, in memory.

    Parameters
    ----------
    image : numpy.ndarray or Volume
        An array is ``(Y, X)``, ``(Z, Y, X)`` or ``(T, Z, Y, X)``; for colours give a volume.
    labels : numpy.ndarray
        Whole numbers in the shape of the image without channels: 0 = not said, any other value
        a class.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.

    Returns
    -------
    numpy.ndarray
        Labels of the same shape and values. Planes with strokes have a class everywhere; as
        painted where something is painted. The others are 0.

    Raises
    ------
    InputError
        If image or labels cannot be used, or fewer than two classes are painted.
    """
    volume = image if isinstance(image, Volume) else volume_of(image)
    painted = labels_for(Volume(labels, volume.label_axes, name="the labels"), volume)
    values = list(painted_values(painted, "the labels"))
    support = SupportSet([f"class {value}" for value in values])
    support.add(volume, renumbered(painted, values, 1))
    result = np.zeros(volume.label_shape, dtype=labels.dtype)
    for _ in spread_volume(volume, support, result, class_values=values, device=device):
        pass
    return result


def spread_volume(
    volume: Volume,
    support: SupportSet,
    out: Target,
    *,
    class_values: Sequence[int] | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> Generator[Event, None, None]:
    """Fill every plane of a volume that has strokes, and write the labels.

    The target is checked when this is called; the work starts with the first event that is asked
    for. Closing the iterator, or an error, stops it at the next step and removes the file it was
    making.

    Parameters
    ----------
    volume : Volume
        The image.
    support : SupportSet
        What is painted, on this image and perhaps on others.
    out : str, pathlib.Path or array
        File that ends in ``.zarr``, ``.tif`` or ``.tiff``, or an array of integers of shape
        ``volume.label_shape``. Planes without strokes get 0.
    class_values : sequence of int, optional
        Label value of each class; 1, 2, 3... where not given.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    overwrite : bool
        Whether an existing file is replaced, once the new one is complete.

    Returns
    -------
    generator of Event
        ``Progress`` and ``BlockDone`` after each plane, and ``Finished``.

    Raises
    ------
    InputError
        At the call: if the target cannot be used. Later: if the strokes cannot, or the disk
        runs full.
    """
    values = np.array([0, *(class_values or range(1, len(support.classes) + 1))])
    values = values.astype(np.min_scalar_type(values.max()))
    refuse_inputs((out,), volume)
    classes = tuple(zip(values[1:].tolist(), support.classes, strict=True))
    spec = ResultSpec.like(volume, values.dtype, classes, name=f"{volume.name} labels")
    output = Output(out, spec, overwrite=overwrite)
    require_space([output])
    return _run(volume, support, output, values, StrokeSpreader(device=device))


def _run(
    volume: Volume,
    support: SupportSet,
    output: Output,
    values: np.ndarray,
    spreader: StrokeSpreader,
) -> Generator[Event, None, None]:
    begin = time.perf_counter()
    views = {e.view(2).prefix: e.view(2) for e in support.examples if e.volume is volume}
    prefixes = list(volume.prefixes(2))
    whole = Box.of_shape(volume.label_shape[-2:])
    with output:
        predictor = spreader.fit(support)
        for done, prefix in enumerate(prefixes, start=1):
            labels = np.zeros(whole.shape, dtype=np.uint16)
            if prefix in views:
                labels = run(predictor.labels_in_steps(views[prefix], whole))
            box = lift(whole, prefix)
            output.write(box, values[labels].reshape(box.shape))
            yield Progress(done, len(prefixes), "slices", time.perf_counter() - begin)
            yield BlockDone(box)
    yield Finished(time.perf_counter() - begin, () if output.path is None else (output.path,))


def _one_hot(labels: np.ndarray, n_classes: int) -> np.ndarray:
    classes = np.arange(1, n_classes + 1).reshape(-1, *(1 for _ in labels.shape))
    result: np.ndarray = (labels == classes).astype(np.float32)
    return result
