"""A folder with a data set as recipes and benchmarks read it: a card, images, labels."""

import tifffile

CARD = """
name = "{title}"
role = "{role}"
licence = "CC0-1.0"
source = "example.org/{name}"
axes = "{axes}"
labels_are = "{labels_are}"
classes = {{ 1 = "blob" }}
[[images]]
raw = "raw.tif"
labels = "labels.tif"
"""


def write_dataset(folder, raw, labels, *, role="train", labels_are="classes"):
    """Write one uint8 image ``(Z, Y, X)`` or ``(Y, X)`` with its labels, and the card."""
    folder.mkdir(parents=True)
    tifffile.imwrite(folder / "raw.tif", raw, photometric="minisblack")
    tifffile.imwrite(folder / "labels.tif", labels, photometric="minisblack")
    card = CARD.format(
        name=folder.name,
        title=folder.name.capitalize(),
        role=role,
        axes="ZYX"[-raw.ndim :],
        labels_are=labels_are,
    )
    (folder / "dataset.toml").write_text(card)
