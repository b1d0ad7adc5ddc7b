"""What a segmenter is: give it a support set, get a function from image to probabilities.

The pixel head, the in-context network and fine-tuned networks are all segmenters, so one
volume runner, one preview and one export serve them all. Tiles lie on a grid that is fixed by
the shape of the view and the predictor alone; whatever part of a volume is asked for, each tile
is computed from the same pixels in the same shape, so results do not depend on block size.
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from napari_regcon.data.tiling import TileGrid, blend_weights
from napari_regcon.data.views import ImageView
from napari_regcon.errors import InputError
from napari_regcon.types import CANONICAL_AXES, Box, Volume

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from napari_regcon.data.normalize import Normalization
    from napari_regcon.data.support import SupportSet


class Predictor(abc.ABC):
    """A function from image to class probabilities, made by a segmenter from a support set.

    Attributes
    ----------
    classes : tuple of str
        Class names; channel ``i`` of a result is the probability of ``classes[i]``.
    spatial_ndim : int
        2 if it looks at planes, 3 if at stacks.
    n_channels : int
        Channels of the images it was made for; 1 for grey.
    tile_shape : tuple of int
        Shape of the tiles it computes, per spatial axis.
    overlap : tuple of int
        Pixels by which neighbouring tiles overlap and are blended; 0 for exact predictors.
    normalization : Normalization
        That of the first image of its support set; used for bare arrays.
    notes : tuple of str
        What the user should know about how the support set was used, in sentences.
    """

    notes: tuple[str, ...] = ()
    classes: tuple[str, ...]
    spatial_ndim: int
    n_channels: int
    tile_shape: tuple[int, ...]
    overlap: tuple[int, ...]
    normalization: Normalization

    @abc.abstractmethod
    def predict_tile(self, view: ImageView, tile: Box) -> np.ndarray:
        """Return float32 probabilities ``(n_classes, *tile.shape)`` that sum to 1 over classes.

        Parameters
        ----------
        view : ImageView
            Plane or stack to read the image from, with any halo the predictor needs.
        tile : Box
            A tile of the predictor's grid over the view.
        """

    @abc.abstractmethod
    def reduce_memory(self) -> bool:
        """Work in smaller steps from now on, with the same result; False if that cannot be."""

    def in_passing(self) -> Predictor:
        """Return the same for work that asks for every tile of a volume once: keeps less of it."""
        return self

    def out_of_sight(self) -> Predictor:
        """Return the same for the rest of a plane of which a part is on screen."""
        return self

    def grid(self, shape: tuple[int, ...]) -> TileGrid:
        """Return the tile grid over a view of this spatial shape."""
        return TileGrid(shape, self.tile_shape, self.overlap)

    def check(self, volume: Volume) -> None:
        """Check that this predictor can work on a volume.

        Raises
        ------
        InputError
            If the number of channels differs, or a stack is needed and there is none.
        """
        if volume.n_channels != self.n_channels:
            raise InputError(
                f"{volume.name!r} has {volume.n_channels} channel(s), but the labels were painted "
                f"on an image with {self.n_channels}.",
                next_step="Choose an image of the same kind.",
            )
        if self.spatial_ndim == 3:
            require_depth(volume, "Choose 'Look in: 2' and fit again.")

    def predict_box(self, view: ImageView, box: Box) -> Generator[bool, None, np.ndarray]:
        """Predict a box of a view, yielding wherever it can be stopped.

        Parameters
        ----------
        view : ImageView
            Plane or stack.
        box : Box
            Any spatial box inside the view.

        Yields
        ------
        bool
            Whether a tile is done; False between two steps towards one.

        Returns
        -------
        numpy.ndarray
            float32 ``(n_classes, *box.shape)``, as the value of the finished generator.
        """
        result = np.empty((len(self.classes), *box.shape), dtype=np.float32)
        for found in self.predict_parts(view, box, self.grid(view.shape).touching(box)):
            if found is not None:
                part, values = found
                result[:, *_inside(part, box)] = values
            yield found is not None
        return result

    def draft(self, view: ImageView, box: Box, step: int) -> np.ndarray | None:  # noqa: ARG002
        """Predict every ``step``-th pixel of a box, to show something until the rest is there.

        Parameters
        ----------
        view : ImageView
            Plane or stack.
        box : Box
            Any spatial box inside the view; of a stack, one plane of it.
        step : int
            Pixels in Y and X from one that is predicted to the next; the first is the box's corner.

        Returns
        -------
        numpy.ndarray or None
            float32 ``(n_classes, *shape)``, where the last two of ``shape`` are those of the box
            divided by ``step`` and rounded up. None where the whole box is there as soon, or
            where even this takes long.
        """
        return None

    def predict_in_steps(self, view: ImageView, tile: Box) -> Generator[None, None, np.ndarray]:
        """Do the same as :meth:`predict_tile`, yielding where a tile that takes long can wait."""
        yield from ()
        return self.predict_tile(view, tile)

    def predict_parts(
        self, view: ImageView, box: Box, tiles: Iterable[Box]
    ) -> Generator[tuple[Box, np.ndarray] | None, None, None]:
        """Predict a box tile by tile, so that each part can be shown when it is there.

        Parameters
        ----------
        view : ImageView
            Plane or stack.
        box : Box
            Any spatial box inside the view.
        tiles : iterable of Box
            All tiles of the grid that touch the box, in the order wanted.

        Yields
        ------
        Box, numpy.ndarray
            The part of the box that a tile covers, and its float32 probabilities ``(n_classes,
            *part.shape)``. Where tiles overlap, later parts take the place of earlier ones.
            None between two steps towards a tile that takes long, to be stopped there.
        """
        grid = self.grid(view.shape)
        exact = not any(self.overlap)
        blended = () if exact else box.shape
        total = np.zeros((len(self.classes), *blended), dtype=np.float32)
        weight = np.zeros(blended, dtype=np.float32)
        for tile in tiles:
            common = tile.intersect(box)
            inside = _inside(common, tile)
            found = yield from self.predict_in_steps(view, tile)
            values = found[:, *inside]
            if exact:
                yield common, values
                continue
            target = _inside(common, box)
            window = blend_weights(grid, tile)[inside]
            total[:, *target] += values * window
            weight[target] += window
            yield common, total[:, *target] / weight[target]

    def __call__(self, image: np.ndarray, normalization: Normalization | None = None) -> np.ndarray:
        """Predict a whole image.

        Parameters
        ----------
        image : numpy.ndarray
            ``(Y, X)`` or ``(Z, Y, X)`` raw intensities, with a last axis of channels where the
            predictor was made for some. A stack given to a planar predictor is done plane by
            plane.
        normalization : Normalization, optional
            That of the first support image where not given.

        Returns
        -------
        numpy.ndarray
            float32 ``(n_classes, *spatial)``, summing to 1 over classes.
        """
        channels = "C" if self.n_channels > 1 else ""
        n_spatial = image.ndim - len(channels)
        axes = CANONICAL_AXES[4 - n_spatial : 4] + channels
        volume = Volume(image, axes, name="the image")
        self.check(volume)
        norm = normalization or self.normalization
        result = np.empty((len(self.classes), *volume.label_shape), dtype=np.float32)
        for prefix in volume.prefixes(self.spatial_ndim):
            view = ImageView(volume, norm, prefix, self.spatial_ndim)
            key: tuple[slice | int, ...] = (slice(None), *prefix)
            result[key] = run(self.predict_box(view, view.box))
        return result


class Segmenter(abc.ABC):
    """Anything that turns a support set into a :class:`Predictor`."""

    @abc.abstractmethod
    def fit(self, support: SupportSet) -> Predictor:
        """Return a predictor for the classes of a support set.

        Raises
        ------
        InputError
            If the support set cannot be used, for example because only one class is painted.
        """

    def fit_in_steps(self, support: SupportSet) -> Generator[None, None, Predictor]:
        """Do the same as :meth:`fit`, yielding wherever it can be stopped.

        A segmenter whose fit can take longer than a fifth of a second implements this one and
        lets :meth:`fit` run it to the end.
        """
        yield
        return self.fit(support)


def require_depth(volume: Volume, next_step: str) -> None:
    """Check that a volume has slices that lie above each other.

    Parameters
    ----------
    volume : Volume
        The image.
    next_step : str
        What to do where it has not.

    Raises
    ------
    InputError
        If it has no depth axis.
    """
    if volume.spatial_ndim(3) < 3:
        raise InputError(
            f"{volume.name!r} has no depth axis (axes {volume.axes}), but neighbouring slices are "
            "to be looked at.",
            next_step=next_step,
        )


def _inside(part: Box, whole: Box) -> tuple[slice, ...]:
    """Return the slices that cut a part out of an array that covers the whole."""
    return part.shift(tuple(-i for i in whole.start)).slices


_T = TypeVar("_T")


def run(work: Generator[object, None, _T]) -> _T:
    """Run a generator to its end and return its value."""
    while True:
        try:
            next(work)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
