"""UniverSeg's formulas written down once more: slowly, in float64, with numpy alone.

Nothing is shared with the network but the names of the tensors. Examples are looped over one by
one, and nothing is rearranged.
"""

import numpy as np


def convolve(image, weight, bias):
    """Convolve ``(C, H, W)`` with ``(O, C, k, k)``, with zeros beyond the border."""
    reach = weight.shape[-1] // 2
    padded = np.pad(image, ((0, 0), (reach, reach), (reach, reach)))
    result = np.zeros((len(weight), *image.shape[1:])) + bias[:, None, None]
    for dy in range(weight.shape[-2]):
        for dx in range(weight.shape[-1]):
            shifted = padded[:, dy : dy + image.shape[1], dx : dx + image.shape[2]]
            result += np.tensordot(weight[:, :, dy, dx], shifted, 1)
    return result


def leaky(x):
    return np.where(x > 0, x, 0.01 * x)


def halve(x):
    """Take the largest of each 2 x 2 pixels."""
    corners = x[:, ::2, ::2], x[:, 1::2, ::2], x[:, ::2, 1::2], x[:, 1::2, 1::2]
    return np.max(corners, axis=0)


def double(x):
    """Enlarge twice, linearly, first pixel on first and last on last."""
    for axis in (1, 2):
        n = x.shape[axis]
        places = np.linspace(0, n - 1, 2 * n)
        low = np.minimum(places.astype(int), n - 2)
        share = (places - low).reshape(-1, 1) if axis == 1 else places - low
        x = np.take(x, low, axis) * (1 - share) + np.take(x, low + 1, axis) * share
    return x


def universeg(state, query, support_images, support_labels):
    """Segment one query ``(1, H, W)`` from ``(S, 1, H, W)`` images and labels."""
    weights = {name: np.asarray(tensor, dtype=np.float64) for name, tensor in state.items()}

    def conv(name, x):
        return convolve(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def block(name, u, vs):
        zs = [conv(f"{name}.cross.cross_conv", np.concatenate([u, v])) for v in vs]
        u = leaky(conv(f"{name}.target.vmapped.conv", sum(zs) / len(zs)))
        return u, [leaky(conv(f"{name}.support.vmapped.conv", z)) for z in zs]

    u = np.asarray(query, dtype=np.float64)
    vs = [np.concatenate(pair) for pair in zip(support_images, support_labels, strict=True)]
    skips = []
    for i in range(4):
        u, vs = block(f"enc_blocks.{i}", u, vs)
        if i < 3:
            skips.append((u, vs))
            u, vs = halve(u), [halve(v) for v in vs]
    for i in range(3):
        skip_u, skip_vs = skips.pop()
        u = np.concatenate([double(u), skip_u])
        vs = [np.concatenate([double(v), skip]) for v, skip in zip(vs, skip_vs, strict=True)]
        u, vs = block(f"dec_blocks.{i}", u, vs)
    return conv("out_conv.conv", u)
