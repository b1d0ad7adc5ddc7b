"""The optimiser, against torch's own."""

import torch

from napari_regcon.engine.adam import Adam


def steps(n, start=None):
    """Take some steps of ours and of torch's on the same gradients."""
    rng = torch.Generator().manual_seed(0)
    ours = [torch.rand(4, 3, generator=rng), torch.rand(5, generator=rng)]
    theirs = [p.clone().requires_grad_() for p in ours]
    adam = Adam(ours, weight_decay=0.02)
    torchs = torch.optim.AdamW(theirs, lr=1.0, weight_decay=0.02)
    for i in range(n):
        rate = 0.01 * (i + 1)
        found = [torch.randn(p.shape, generator=rng) for p in ours]
        for parameter, gradient in zip(theirs, found, strict=True):
            parameter.grad = gradient
        torchs.param_groups[0]["lr"] = rate
        torchs.step()
        adam.step(found, rate)
    return ours, theirs, adam


def test_it_takes_the_steps_of_torch():
    ours, theirs, _ = steps(6)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other.detach())


def test_it_goes_on_where_it_was():
    (first, _), _, adam = steps(3)
    again = [first.clone(), torch.zeros(5)]
    other = Adam(again, weight_decay=0.02)
    other.restore(adam.state())
    gradient = torch.ones(4, 3)
    adam.step([gradient, torch.ones(5)], 0.01)
    other.step([gradient, torch.ones(5)], 0.01)
    torch.testing.assert_close(first, again[0], rtol=0, atol=0)
