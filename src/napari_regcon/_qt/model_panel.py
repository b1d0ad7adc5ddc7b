"""The section in which method, weights and device are chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QFormLayout, QLabel, QWidget

from napari_regcon._qt.advice import AdviceBox
from napari_regcon._qt.compare_box import CompareBox
from napari_regcon._qt.forms import ConfigForm
from napari_regcon._qt.licence import LicenceBox
from napari_regcon._qt.parts import ActionButton, Choice, Hint, Section, row_of
from napari_regcon._qt.weights import NO_LICENCE
from napari_regcon.config import DEVICES
from napari_regcon.engine.registry import METHODS
from napari_regcon.worker.protocol import CacheUse, Configure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from napari_regcon.engine.weights import WeightsEntry
    from napari_regcon.session.advice import Advice

METHOD_TEXTS = {
    "pixel-head": (
        "Pixel classifier",
        "Learns from your strokes in a moment what each class looks like. Needs no download.",
    ),
    "in-context": (
        "In-context network (UniverSeg)",
        (
            "A trained network that is shown your labels as examples. Works best with slices or "
            "boxes that you marked as complete. Needs no training, and no download."
        ),
    ),
    "fine-tuned": (
        "Fine-tuned network",
        (
            "A network that was trained on labels like yours ('napari-regcon finetune'). It knows "
            "the classes it was trained for, and learns nothing more from strokes."
        ),
    ),
}
DEVICE_TEXTS = {
    "auto": "choose for me",
    "cpu": "processor (CPU)",
    "cuda": "NVIDIA GPU (CUDA)",
    "mps": "Apple GPU (MPS)",
}


class ModelPanel(Section):
    """Chooses how to segment.

    Attributes
    ----------
    configured : Signal
        Another choice was made.
    weights_wanted : Signal
        str: name of weights to fetch.
    import_wanted : Signal
        The user has a file with weights.
    clear_cache_wanted : Signal
        Cached features are to be dropped.
    licence, compare : LicenceBox, CompareBox
        Asks about the licence of weights; compares with another method. With signals of their own.
    """

    configured = Signal()
    weights_wanted = Signal(str)
    import_wanted = Signal()
    clear_cache_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Model", parent)
        self._method = Choice("How the image is segmented.", self)
        self._forms: list[ConfigForm] = []
        for name, config in METHODS.items():
            text, help_text = METHOD_TEXTS.get(name, (name, config.__doc__ or ""))
            self._method.addItem(text, name)
            self._method.setItemData(self._method.count() - 1, help_text, 3)  # tooltip role
            form = ConfigForm(config, self)
            form.changed.connect(self._emit)
            self._forms.append(form)
        self._method.currentIndexChanged.connect(self._show_method)
        self._method.currentIndexChanged.connect(self._emit)
        self._about = Hint()
        self._advice = AdviceBox(self)
        self._advice.followed.connect(self.use_method)
        self._weights = Choice("Trained weights that the network uses.", self)
        self._weights.currentIndexChanged.connect(self._on_weights)
        self._fetch = ActionButton(
            "Download…", "Fetch these weights, or accept their licence, once.", self._want_weights
        )
        self._import = ActionButton(
            "Import file…",
            "Use weights from a file on this computer, for example without internet.",
            self.import_wanted.emit,
        )
        self._weights_box = QWidget(self)
        weights_form = QFormLayout(self._weights_box)
        weights_form.setContentsMargins(0, 0, 0, 0)
        weights_form.addRow(QLabel("Weights"), self._weights)
        weights_form.addRow(row_of(self._fetch, self._import))
        self.licence = LicenceBox(self)
        self._missing = Hint()
        self._device = Choice("What computes. A GPU is many times faster, if there is one.", self)
        for name in DEVICES:
            self._device.addItem(DEVICE_TEXTS[name], name)
        self._device.currentIndexChanged.connect(self._emit)
        device_form = QFormLayout()
        device_form.addRow(QLabel("Compute on"), self._device)
        self.compare = CompareBox([(METHOD_TEXTS[name][0], name) for name in METHODS], self)
        self._device_hint = Hint()
        self._cache_hint = Hint()
        self._clear = ActionButton(
            "Clear cache",
            "Drop the image features that are kept to be fast, in memory and on disk. They are "
            "computed again when needed.",
            self.clear_cache_wanted.emit,
        )
        self.fill(self._method, self._about, self._advice, *self._forms)
        self.fill(self._weights_box, self._missing, self.licence, device_form)
        self.fill(self._device_hint, self.compare, self._cache_hint, self._clear)
        self._preferred = ""
        self._wanted: dict[str, str] = {}  # by method: weights of one are of no use to another
        self._why_not: dict[str, str] = {}
        self._show_method()

    @property
    def method(self) -> str:
        """Name of the chosen method."""
        return str(self._method.currentData())

    @property
    def default_weights(self) -> str | None:
        """Weights that what is chosen takes by itself; None where it needs none."""
        config = METHODS[self.method](**self._form.values())
        name: str | None = config.default_weights
        return name

    @property
    def choice(self) -> Configure:
        """Everything that is chosen here, as the engine is told."""
        values = self._form.values()
        needed = self.default_weights is not None
        weights = self._weights.currentData() if needed else None
        return Configure(self._device.currentData(), self.method, tuple(values.items()), weights)

    def choice_of(self, method: str) -> Configure:
        """Return another method with what was last set for it, and its own weights."""
        values = self._forms[self._method.findData(method)].values()
        weights = METHODS[method](**values).default_weights
        return Configure(self._device.currentData(), method, tuple(values.items()), weights)

    def choose(self, method: str, parameters: Mapping[str, Any], weights: str, device: str) -> None:
        """Make a choice for the user, as a saved session says."""
        with QSignalBlocker(self._method), QSignalBlocker(self._device):
            self._method.setCurrentIndex(max(0, self._method.findData(method)))
            self._device.setCurrentIndex(max(0, self._device.findData(device)))
        self._wanted[self.method] = weights
        self._show_method()
        self._form.set_values(parameters)

    def prefer_weights(self, name: str) -> None:
        """Take these weights for every method that can use them, as long as none were picked."""
        self._preferred = name

    def use_method(self, method: str) -> None:
        """Choose a method for the user, with what was last chosen for it."""
        self._method.setCurrentIndex(self._method.findData(method))

    def advise(self, advice: Advice | None) -> None:
        """Recommend a method, or none."""
        name = METHOD_TEXTS[advice.method][0] if advice is not None else ""
        self._advice.show_advice(advice, name, self.method)

    def use_weights(self, name: str) -> None:
        """Choose weights for the user, for example those that were just fetched."""
        self._wanted[self.method] = name
        self._emit()

    def list_weights(self, entries: Sequence[tuple[str, str, str]]) -> None:
        """List the weights there are for what is chosen.

        Those that were last picked stay picked; otherwise the method's own are.

        Parameters
        ----------
        entries : sequence of (str, str, str)
            Name, what to show, and why they cannot be used yet (empty if they can).
        """
        self._why_not = {name: missing for name, _, missing in entries}
        with QSignalBlocker(self._weights):
            self._weights.clear()
            for name, text, _ in entries:
                self._weights.addItem(text, name)
            own = (self._wanted.get(self.method, ""), self._preferred, self.default_weights)
            names = [*own, *self._why_not]
            picked = next((name for name in names if name in self._why_not), "")
            self._weights.setCurrentIndex(self._weights.findData(picked))
        missing = self._why_not.get(picked, "")
        self._fetch.setText("Licence…" if missing == NO_LICENCE else "Download…")
        here = "these weights are on this computer already." if entries else "there are none."
        self._fetch.allow("" if missing else here)

    def show_missing(self, why_not: str) -> None:
        """Say why the choice cannot be used yet, or nothing."""
        stays = " Until then the method before stays in use."
        self._missing.say(why_not + stays if why_not else "")

    def ask_licence(self, entry: WeightsEntry) -> None:
        """Ask about the licence of some weights, where the user sees it."""
        self.expand(animate=False)
        self.licence.ask(entry)

    def show_device(self, device: str, reason: str) -> None:
        """Say what the engine computes on, and why."""
        self._device_hint.say(f"Computes on {device}. {reason}".strip())

    def show_cache(self, use: CacheUse) -> None:
        """Say how much the feature cache holds, and why it keeps nothing on disk."""
        mib = 1024**2
        text = f"Cached features: {use.memory_bytes / mib:.0f} MB in memory, "
        text += f"{use.disk_bytes / mib:.0f} MB on disk. "
        if use.device_bytes:
            text += f"The engine holds {use.device_bytes / mib:.0f} MB of GPU memory. "
        self._cache_hint.say(f"{text}{use.problem}".strip())
        is_empty = not (use.memory_bytes or use.disk_bytes or use.problem)
        self._clear.allow("the cache is empty." if is_empty else "")

    def show_cache_place(self, folder: Path, memory_bytes: int, disk_bytes: int) -> None:
        """Say where the feature cache is on disk, and how large it may get."""
        gib = 1024**3
        on_disk = f"Up to {disk_bytes / gib:g} GB on disk, in {folder}" if disk_bytes else "No disk"
        self._cache_hint.setToolTip(
            f"What was computed from your images is kept, so that the preview stays quick.\n"
            f"Up to {memory_bytes / gib:g} GB in memory. {on_disk}.\n"
            "Both are set under File > Preferences > Plugins > Regcon, for new docks."
        )

    @property
    def _form(self) -> ConfigForm:
        index: int = self._method.currentIndex()
        return self._forms[index]

    def _show_method(self, _index: int = 0) -> None:
        for i, form in enumerate(self._forms):
            form.setVisible(i == self._method.currentIndex())
        self.summarise(str(self._method.currentText()))
        self._about.say(METHOD_TEXTS.get(self.method, ("", ""))[1])
        self._weights_box.setVisible(self.default_weights is not None)

    def _on_weights(self, _index: int = 0) -> None:
        self.use_weights(str(self._weights.currentData()))

    def _want_weights(self) -> None:
        self.weights_wanted.emit(str(self._weights.currentData()))

    def _emit(self, *_: object) -> None:
        self._weights_box.setVisible(self.default_weights is not None)
        self.configured.emit()
