"""The segmenter that is chosen in the engine, others beside it, and the predictors they last made.

A predictor is made again only if what is painted, or the choice, has changed. Nothing here
knows what a predictor is used for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_regcon.engine import registry
from napari_regcon.errors import EngineError, RegconError
from napari_regcon.worker.protocol import CacheUse, UseCache

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_regcon.data.support import SupportSet
    from napari_regcon.engine.device import Device
    from napari_regcon.engine.feature_store import FeatureStore
    from napari_regcon.engine.segmenter import Predictor, Segmenter
    from napari_regcon.worker.protocol import ClearCache, Configure

MOST_OTHERS = 2
"""Segmenters that are kept beside the one that is configured."""


@dataclass(eq=False)
class _Choice:
    """A segmenter, and the predictor it last made, of which version."""

    segmenter: Segmenter
    fitted: tuple[int, Predictor] | None = None

    def fit(self, support: SupportSet, version: int) -> Generator[None, None, Predictor]:
        if self.fitted is None or self.fitted[0] != version:
            predictor = yield from self.segmenter.fit_in_steps(support)
            # While this one waited, a later one may have been made.
            if self.fitted is None or self.fitted[0] < version:
                self.fitted = (version, predictor)
            return predictor
        return self.fitted[1]


class Model:
    """Segmenters as configured by the window."""

    def __init__(self) -> None:
        self._store: FeatureStore | None = None
        self._chosen: _Choice | None = None
        self._others: dict[Configure, _Choice] = {}
        self._problem: RegconError = EngineError("No method was chosen.")

    def configure(self, request: Configure) -> Device:
        """Load the segmenter that is asked for.

        Raises
        ------
        RegconError
            If it cannot be had; :meth:`fit` raises the same until another is asked for.
        """
        from napari_regcon.engine.device import choose_device

        self._chosen = None
        self._problem = EngineError(f"The method {request.method!r} could not be loaded.")
        try:
            device = choose_device(request.device)
            self._chosen = self._load(request)
        except RegconError as error:
            self._problem = error
            raise
        return device

    def fit(
        self, support: SupportSet, version: int, other: Configure | None = None
    ) -> Generator[None, None, Predictor]:
        """Return the predictor for a support set, yielding wherever that can be stopped.

        Parameters
        ----------
        support : SupportSet
            What is painted.
        version : int
            Of the support set: another one makes the predictor anew.
        other : Configure, optional
            What to use in place of what is configured.

        Raises
        ------
        RegconError
            If there is no segmenter, or the support set cannot be used.
        """
        choice = self._chosen if other is None else self._other(other)
        if choice is None:
            raise self._problem
        return (yield from choice.fit(support, version))

    def _other(self, request: Configure) -> _Choice:
        """Return what was asked for before, or load it in place of the oldest."""
        choice = self._others.pop(request, None) or self._load(request)
        self._others[request] = choice
        if len(self._others) > MOST_OTHERS:
            del self._others[next(iter(self._others))]
        return choice

    def _load(self, request: Configure) -> _Choice:
        return _Choice(
            registry.load_segmenter(
                request.method,
                weights=request.weights,
                device=request.device,
                store=self.store,
                **dict(request.parameters),
            )
        )

    def forget(self, data: object) -> None:
        """Let go of the pixels of an image and of what was computed from them."""
        for choice in (self._chosen, *self._others.values()):
            if choice is not None:
                choice.fitted = None
        if self._store is not None:
            self._store.forget(data)

    def manage_cache(self, request: UseCache | ClearCache) -> None:
        """Keep so much of what is computed from now on, and there; or drop all there is."""
        store = self.store
        if isinstance(request, UseCache):
            from napari_regcon.engine.feature_disk import FeatureDisk
            from napari_regcon.engine.feature_folder import FeatureFolder

            self.close()
            store.capacity_bytes = request.memory_bytes
            store.disk = FeatureDisk(FeatureFolder(request.folder, request.disk_bytes))
            return
        store.clear()
        if store.disk is not None:
            store.disk.clear()
        self.relax()

    def attend(self, *, preview: bool) -> None:
        """Prepare for the next step: somebody waits for a preview, but not for a volume."""
        if self._store is not None and self._store.disk is not None:
            self._store.disk.pause(preview)

    def use(self) -> CacheUse:
        """Return how much memory is in use."""
        if self._store is None:
            return CacheUse(0, 0)
        from napari_regcon.engine.device import held_memory

        disk = self._store.disk
        if disk is None:
            return CacheUse(self._store.usage_bytes, 0, held_memory())
        return CacheUse(self._store.usage_bytes, disk.usage_bytes, held_memory(), disk.problem)

    @property
    def is_writing(self) -> bool:
        """Whether features are being written to disk."""
        disk = self._store.disk if self._store is not None else None
        return disk is not None and disk.is_busy

    def close(self) -> None:
        """Stop writing features to disk."""
        if self._store is not None and self._store.disk is not None:
            self._store.disk.close()

    @property
    def store(self) -> FeatureStore:
        """Features of all images, made when first needed."""
        if self._store is None:
            from napari_regcon.engine.feature_store import FeatureStore

            self._store = FeatureStore()
        return self._store

    def relax(self) -> None:
        """Give memory that long work has left in reserve back to the device."""
        from napari_regcon.engine.device import free_memory

        free_memory()
