"""Forms made from the descriptions in :mod:`napari_regcon.config`.

The controls come from magicgui; labels, help, ranges and choices from the parameters' own
metadata. Advanced parameters stay hidden until asked for.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from magicgui.widgets import create_widget
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QLabel, QWidget

from napari_regcon._qt.parts import allow
from napari_regcon.config import Parameter, parameters

if TYPE_CHECKING:
    from collections.abc import Mapping


CHOICE_TEXTS = {"dimensions": {2: "2-D: one slice", 3: "3-D: several"}}
"""What to show for values that do not speak for themselves."""


class ConfigForm(QWidget):
    """Edits the parameters of a configuration class.

    Parameters
    ----------
    config : type
        A dataclass whose fields are described by :func:`napari_regcon.config.param`.
    parent : QWidget, optional
        Owner.

    Attributes
    ----------
    changed : Signal
        A parameter has another value.
    """

    changed = Signal()

    def __init__(self, config: type, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._parameters = {p.name: p for p in parameters(config)}
        self._controls = {name: _control(p) for name, p in self._parameters.items()}
        self._form = QFormLayout(self)
        self._form.setContentsMargins(0, 0, 0, 0)
        self._more = QCheckBox("More settings", self)
        self._more.setToolTip("Show settings that seldom need a change.")
        self._more.toggled.connect(self._show_advanced)
        for name, control in self._controls.items():
            parameter = self._parameters[name]
            label = QLabel(parameter.label, self)
            label.setToolTip(parameter.help)
            self._form.addRow(label, control.native)
            control.changed.connect(self._on_changed)
        if any(p.advanced for p in self._parameters.values()):
            self._form.addRow(self._more)
        else:
            self._more.hide()
        self._show_advanced(False)

    def values(self) -> dict[str, Any]:
        """Return the parameters that differ from their default."""
        found = {name: control.value for name, control in self._controls.items()}
        return {n: v for n, v in found.items() if v != self._parameters[n].default}

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Take these values, and the default for every other parameter."""
        for name, parameter in self._parameters.items():
            with self._controls[name].changed.blocked():
                self._controls[name].value = values.get(name, parameter.default)
        self.changed.emit()

    def allow(self, why_not: str = "") -> None:
        """Let the parameters be changed, or say why they cannot."""
        for name, control in self._controls.items():
            allow(control.native, self._parameters[name].help, why_not)

    def _on_changed(self, _value: Any) -> None:
        self.changed.emit()

    def _show_advanced(self, shown: bool) -> None:
        for name, parameter in self._parameters.items():
            if parameter.advanced:
                self._form.setRowVisible(self._controls[name].native, shown)


def _control(parameter: Parameter) -> Any:
    """Return the magicgui control that suits a parameter."""
    options: dict[str, Any] = {"tooltip": parameter.help}
    if parameter.choices:
        texts = CHOICE_TEXTS.get(parameter.name, {})
        choices = [(texts.get(value, str(value)), value) for value in parameter.choices]
        options |= {"choices": choices, "widget_type": "ComboBox"}
    elif not isinstance(parameter.default, bool | str):
        options |= {"min": parameter.minimum, "max": parameter.maximum}
        if isinstance(parameter.default, float):
            options["step"] = _step(parameter)
        options = {key: value for key, value in options.items() if value is not None}
    widget_type = options.pop("widget_type", None)
    control = create_widget(
        value=parameter.default,
        annotation=type(parameter.default),
        name=parameter.name,
        options=options,
        widget_type=widget_type,
    )
    if isinstance(control.native, QComboBox):  # else its longest text would widen the dock
        control.native.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        control.native.setMinimumContentsLength(5)
    return control


def _step(parameter: Parameter) -> float:
    """Return a step with as many digits as the default and the smallest value: more do not show."""
    values = [v for v in (parameter.default, parameter.minimum) if v is not None]
    digits = [-int(Decimal(repr(float(v))).normalize().as_tuple().exponent) for v in values]
    return float(10.0 ** -max(1, *digits))
