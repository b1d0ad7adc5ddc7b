"""Parts of a user's images to learn from: bounded, spread, the same for the same seed."""

import numpy as np

from napari_regcon.data.normalize import estimate_normalization
from napari_regcon.data.windows import MOST_WINDOWS, WINDOW_PX, image_windows
from napari_regcon.types import Volume


class Watched:
    """A large image that is made where it is read, and says how much of it was."""

    ndim = 3
    dtype = np.dtype(np.uint16)

    def __init__(self, shape):
        self.shape = shape
        self.planes = set()
        self.largest = 0

    def __getitem__(self, key):
        z, y, x = key
        sides = [len(range(*k.indices(n))) for k, n in zip((y, x), self.shape[1:], strict=True)]
        self.planes.add(z if isinstance(z, int) else z.start)
        self.largest = max(self.largest, *sides)
        grey = np.arange(sides[0] * sides[1], dtype=np.uint16).reshape(sides)
        return grey if isinstance(z, int) else grey[None]


def test_of_a_large_volume_only_parts_are_read_spread_over_its_planes():
    data = Watched((5000, 30_000, 20_000))
    volume = Volume(data, "ZYX")
    normalization = estimate_normalization(volume)
    data.planes.clear()
    windows = list(image_windows([(volume, normalization)]))
    assert len(windows) == len(data.planes) == MOST_WINDOWS
    assert data.largest == WINDOW_PX
    assert min(data.planes) == 0
    assert max(data.planes) == 4999


def test_small_images_and_colours_are_read_whole_and_count_alike():
    rng = np.random.default_rng(0)
    one = Volume(rng.integers(0, 255, (3, 40, 50), np.uint8), "ZYX")
    two = Volume(rng.integers(0, 255, (30, 20, 3), np.uint8), "YXC")
    known = [(v, estimate_normalization(v)) for v in (one, two)]
    windows = list(image_windows(known))
    assert [w.image.shape for w in windows] == [(40, 50)] * 3 + [(30, 20)]
    assert {w.group for w in windows} == {"image/0", "image/1"}
    channels = np.moveaxis(known[1][1](two.data, channels_last=True), -1, 0)
    assert any(np.array_equal(windows[3].image, channel) for channel in channels)
    again = list(image_windows(known))
    assert all(np.array_equal(a.image, b.image) for a, b in zip(windows, again, strict=True))
    assert all(w.labels is None for w in windows)
