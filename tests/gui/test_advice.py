"""The section Model recommends a method from what is painted."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.gui


def test_strokes_ask_for_the_pixel_classifier_and_complete_slices_for_examples(painted):
    model = painted.panels.model
    advice = model._advice
    assert not advice.isHidden()
    assert advice._text.text().startswith("Suits: Pixel classifier. Only strokes")
    assert advice._use.isHidden()
    painted.core.marking.mark_slice()
    assert "Recommended: In-context network" in advice._text.text()
    assert "1 slice or box is complete" in advice._text.text()
    advice._use.click()
    assert model.method == "in-context"
    assert advice._text.text().startswith("Suits: In-context")
    assert advice._use.isHidden()


def test_nothing_is_recommended_before_anything_is_painted(dock):
    widget = dock(np.zeros((3, 40, 50), np.uint8))
    assert widget.panels.model._advice.isHidden()
