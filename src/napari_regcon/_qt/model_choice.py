"""What is chosen in the model section, and when the engine is told of it.

The engine is told of a choice as soon as the weights it needs can be used; until then the one
before stays in use. Weights come and go outside of the window too, so which there are is asked
at every choice and whenever the user comes back to the application.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Qt
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_regcon.engine.registry import METHODS
from napari_regcon.session.weights import weights_here
from napari_regcon.worker.protocol import ClearCache

if TYPE_CHECKING:
    from napari_regcon._qt.core import DockCore
    from napari_regcon._qt.model_panel import ModelPanel
    from napari_regcon._qt.preferences import Preferences
    from napari_regcon._qt.status import Status
    from napari_regcon._qt.weights import WeightsShop
    from napari_regcon.session.saved import SessionState

WEIGHT_FILES = "Weights (*.safetensors *.pt *.pth);;All files (*)"


class ModelChoice(QObject):
    """Takes choices of the model section to the engine.

    Parameters
    ----------
    core : DockCore
        What is told.
    panel : ModelPanel
        Where the user chooses.
    shop : WeightsShop
        Knows which weights there are.
    status : Status
        The line at the top.
    parent : QObject, optional
        Owner.
    """

    def __init__(
        self,
        core: DockCore,
        panel: ModelPanel,
        shop: WeightsShop,
        status: Status,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._core = core
        self._panel = panel
        self._shop = shop
        self._status = status
        panel.configured.connect(self._configure)
        panel.clear_cache_wanted.connect(partial(core.link.send, ClearCache()))
        panel.weights_wanted.connect(self._fetch)
        panel.import_wanted.connect(self._import)
        panel.licence.answered.connect(self._answer)
        panel.compare.changed.connect(self._compare)
        shop.progressed.connect(partial(status.begin, "weights"))
        shop.failed.connect(partial(status.fail, "weights"))
        shop.changed.connect(self._on_arrived)
        shop.paused.connect(partial(status.end, "weights"))
        shop.licence_asked.connect(panel.ask_licence)
        application = QApplication.instance()
        if application is not None:
            signal = application.applicationStateChanged
            signal.connect(self._on_application)
            core.on_close(partial(signal.disconnect, self._on_application))

    def begin(self, preferences: Preferences) -> None:
        """Choose what new docks begin with."""
        name = preferences.weights
        if name and not any(name in self._names(method) for method in METHODS):
            self._status.fail(
                "preferences",
                f"There are no weights called {name!r}, which the preferences ask for. Correct the "
                "name under File > Preferences > Plugins > Regcon, or import them in the section "
                "Model; until then each method takes its own.",
            )
        self._panel.prefer_weights(name)
        self._panel.choose("pixel-head", {}, "", preferences.device)

    def restore(self, state: SessionState) -> None:
        """Choose what a session used, as far as it can be had here."""
        weights, trouble = weights_here(state)
        self._panel.choose(state.method, state.parameters, weights, state.device)
        if trouble:
            self._status.fail("session", trouble)

    def _configure(self) -> None:
        if self.look_at_weights():
            return
        choice = self._panel.choice
        if self._panel.compare.method:
            self._compare()
        self._core.link.send(choice)
        self._core.snapshot.model = choice
        self._core.live.request()

    def _compare(self) -> None:
        """Compare with the other method, as far as its weights are there, or no longer."""
        comparison, method = self._core.comparison, self._panel.compare.method
        if not method:
            comparison.compare_with(None)
            return
        choice = self._panel.choice_of(method)
        why_not = ""
        if choice.weights is not None:
            usable = [name for name, _, missing in self._shop.entries(method) if not missing]
            weights = choice.weights or next(iter(usable), None)
            choice, why_not = replace(choice, weights=weights), self._shop.why_not(weights)
        if choice == self._panel.choice:
            why_not = "This is the method that is chosen above. Choose another one here or there."
        if why_not:
            comparison.compare_with(None)
            self._panel.compare.say(why_not)
        elif choice != comparison.model:
            comparison.compare_with(choice)

    def _names(self, method: str) -> list[str]:
        return [name for name, _, _ in self._shop.entries(method)]

    def look_at_weights(self) -> str:
        """Show which weights there are now, and return why the choice cannot be used yet."""
        why_not = ""
        if self._panel.default_weights is not None:
            self._panel.list_weights(self._shop.entries(self._panel.method))
            why_not = self._shop.why_not(self._panel.choice.weights)
        self._panel.show_missing(why_not)
        return why_not

    def _fetch(self, name: str) -> None:
        self.look_at_weights()
        self._shop.fetch(name)

    def _answer(self, accepted: bool) -> None:
        self._shop.answer(accepted)
        self.look_at_weights()

    def _import(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self._panel, "Weights from a file", "", WEIGHT_FILES)
        if path:
            self._shop.import_file(Path(path))

    def _on_arrived(self, name: str) -> None:
        self._status.end("weights")
        self._panel.use_weights(name)

    def _on_application(self, state: Qt.ApplicationState) -> None:
        """Look again: files may have come or gone while another program was in front."""
        if state != Qt.ApplicationState.ApplicationActive:
            return
        why_not = self.look_at_weights()
        if not why_not and self._panel.choice != self._core.snapshot.model:
            self._configure()
