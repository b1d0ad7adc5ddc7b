"""The section Model recommends a method from what is painted."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.gui


def test_what_suits_is_said_with_the_reason_and_can_be_chosen(painted):
    model = painted.panels.model
    advice = model._advice
    assert not advice.isHidden()
    assert advice._text.text().startswith("Suits: Pixel classifier. Only strokes")
    assert advice._use.isHidden()
    painted.core.marking.mark_slice()
    assert "1 slice or box is complete" in advice._text.text()
    model.use_method("in-context")
    assert advice._text.text().startswith("Recommended: Pixel classifier")
    advice._use.click()
    assert model.method == "pixel-head"
    assert advice._use.isHidden()


def test_nothing_is_recommended_before_anything_is_painted(dock):
    widget = dock(np.zeros((3, 40, 50), np.uint8))
    assert widget.panels.model._advice.isHidden()
