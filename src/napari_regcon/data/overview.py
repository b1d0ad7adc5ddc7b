"""A picture that shows at a glance what was painted, what came out and what is true.

One row for each slice, one column for each view of it, with a legend below. It draws what it
is given and does not know how it was computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Sequence

PAPER, INK, FAINT = (250, 250, 248), (30, 33, 40), (110, 114, 122)
MARGIN_PX = 24
GAP_PX = 10
NICE_LENGTHS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000)


@dataclass(frozen=True, eq=False)
class SliceViews:
    """One slice of a volume, and labels on it.

    Parameters
    ----------
    title : str
        Which slice, and what was done there.
    image : numpy.ndarray
        ``(Y, X)`` grey values of any kind.
    strokes, predicted, truth : numpy.ndarray
        ``(Y, X)`` labels; ``i + 1`` means class ``i``, 0 is left clear.
    """

    title: str
    image: np.ndarray
    strokes: np.ndarray
    predicted: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True)
class ClassKey:
    """A line of the legend.

    Parameters
    ----------
    name : str
        Name of the class.
    color : str
        ``"#rrggbb"``.
    note : str
        What to say about it, such as its Dice.
    filled : bool
        Whether its area is coloured in predictions and truth; its strokes always are.
    """

    name: str
    color: str
    note: str = ""
    filled: bool = True


def render_overview(
    rows: Sequence[SliceViews],
    classes: Sequence[ClassKey],
    *,
    title: str,
    subtitle: str = "",
    pixel_nm: float | None = None,
    panel_px: int = 340,
) -> Image.Image:
    """Draw slices as rows and image, strokes, prediction and truth as columns.

    Parameters
    ----------
    rows : sequence of SliceViews
        Slices of the same shape.
    classes : sequence of ClassKey
        Colours and legend, in the order of the label values.
    title, subtitle : str
        Printed above.
    pixel_nm : float, optional
        Pixel size; adds a scale bar.
    panel_px : int
        Width of a column.

    Returns
    -------
    PIL.Image.Image
        RGB.
    """
    height, width = rows[0].image.shape
    panel = (panel_px, max(1, round(panel_px * height / width)))
    top, row_height, legend = 128, panel[1] + 34, 64
    size = (
        2 * MARGIN_PX + 4 * panel_px + 3 * GAP_PX,
        top + len(rows) * row_height + legend,
    )
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN_PX, 18), title, INK, _font(28))
    draw.text((MARGIN_PX, 56), subtitle, FAINT, _font(16))
    columns = [MARGIN_PX + i * (panel_px + GAP_PX) for i in range(4)]
    for x, name in zip(columns, ("image", "painted strokes", "prediction", "truth"), strict=True):
        draw.text((x, top - 30), name, INK, _font(18))
    for i, row in enumerate(rows):
        y = top + i * row_height
        for x, view in zip(columns, _views(row, classes, panel), strict=True):
            sheet.paste(view, (x, y))
        if not row.strokes.any():
            _note(draw, (columns[1] + 10, y + 8), "nothing painted here")
        draw.text((MARGIN_PX, y + panel[1] + 6), row.title, FAINT, _font(15))
    if pixel_nm:
        _scale_bar(draw, (columns[0], top), panel, pixel_nm * width / panel_px)
    _legend(draw, classes, (MARGIN_PX, top + len(rows) * row_height + 16), size[0])
    return sheet


def _views(
    row: SliceViews, classes: Sequence[ClassKey], panel: tuple[int, int]
) -> list[Image.Image]:
    grey = Image.fromarray(_stretched(row.image)).resize(panel, Image.Resampling.LANCZOS)
    filled = [c if c.filled else None for c in classes]
    return [
        grey.convert("RGB"),
        _over(grey, row.strokes, list(classes), 1.0),
        _over(grey, row.predicted, filled, 0.5),
        _over(grey, row.truth, filled, 0.5),
    ]


def _over(
    grey: Image.Image, labels: np.ndarray, classes: Sequence[ClassKey | None], opacity: float
) -> Image.Image:
    """Return an image with labels in colour over it."""
    colors = np.zeros((len(classes) + 1, 4), dtype=np.uint8)
    for value, item in enumerate(classes, start=1):
        if item is not None:
            colors[value] = (*ImageColor.getrgb(item.color)[:3], round(255 * opacity))
    layer = Image.fromarray(colors[labels], "RGBA").resize(grey.size, Image.Resampling.NEAREST)
    return Image.alpha_composite(grey.convert("RGBA"), layer).convert("RGB")


def _stretched(image: np.ndarray) -> np.ndarray:
    low, high = np.percentile(image, (0.5, 99.5))
    scaled = (image.astype(np.float32) - low) / max(float(high - low), 1e-6)
    grey: np.ndarray = (255 * np.clip(scaled, 0, 1)).astype(np.uint8)
    return grey


def _scale_bar(
    draw: ImageDraw.ImageDraw, corner: tuple[int, int], panel: tuple[int, int], pixel_nm: float
) -> None:
    """Draw a bar of a round length, about a quarter of the panel wide."""
    length_nm = max((n for n in NICE_LENGTHS if n / pixel_nm <= panel[0] / 3), default=1)
    text = f"{length_nm} nm" if length_nm < 1000 else f"{length_nm // 1000} µm"
    x, y = corner[0] + 10, corner[1] + panel[1] - 16
    bar = (x, y, x + max(1, round(length_nm / pixel_nm)), y + 5)
    draw.rectangle(bar, fill="white", outline="black")
    _note(draw, (x, y - 20), text)


def _note(draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str) -> None:
    """Write on a micrograph, legibly on any grey."""
    draw.text(at, text, "white", _font(14), stroke_width=2, stroke_fill="black")


def _legend(
    draw: ImageDraw.ImageDraw, classes: Sequence[ClassKey], at: tuple[int, int], width: int
) -> None:
    step = (width - 2 * MARGIN_PX) // max(1, len(classes))
    for i, item in enumerate(classes):
        x, y = at[0] + i * step, at[1]
        draw.rounded_rectangle((x, y + 1, x + 20, y + 21), 4, fill=item.color)
        draw.text((x + 30, y), item.name, INK, _font(17))
        draw.text((x + 30, y + 22), item.note, FAINT, _font(14))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
