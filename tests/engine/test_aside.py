"""Long steps on a thread that stands still whenever nobody waits for it."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import pytest
import torch
from torch import nn

from napari_regcon.engine import aside as aside_module
from napari_regcon.engine.aside import Aside, AtOnce
from napari_regcon.engine.segmenter import run


class Noted(nn.Linear):
    """A layer that notes when it computes, and when its gradient does."""

    def __init__(self, log):
        super().__init__(4, 4)
        self.log = log

    def forward(self, x):
        self.log.append("forward")
        result = super().forward(x)
        if result.requires_grad:
            result.register_hook(lambda _: self.log.append("back"))
        return result


@pytest.fixture
def aside(monkeypatch):
    monkeypatch.setattr(aside_module, "LOOK_UP_S", 0.0)  # stop wherever it can
    with closing(Aside()) as found:
        yield found


@pytest.fixture
def net():
    torch.manual_seed(0)
    log = []
    return nn.Sequential(*(Noted(log) for _ in range(6))), log


def learn(net):
    loss = net(torch.ones(2, 4)).square().mean()
    return loss, torch.autograd.grad(loss, list(net.parameters()))


def test_a_step_gives_the_same_as_at_once(aside, net):
    torch.testing.assert_close(
        run(aside(lambda: learn(net[0]))), run(AtOnce()(lambda: learn(net[0]))), rtol=0, atol=0
    )
    assert list(AtOnce()(lambda: learn(net[0]))) == []


def test_it_stands_still_between_layers_forward_and_back_while_others_compute(aside, net):
    net, log = net
    counts = []
    steps = aside(lambda: learn(net))
    for _ in steps:
        counts.append(len(log))
        learn(nn.Linear(4, 4).requires_grad_(True))  # goes through, on this thread
        assert len(log) == counts[-1]
    assert log == ["forward"] * 6 + ["back"] * 6
    assert any(0 < n < 6 for n in counts)
    assert any(6 < n < 12 for n in counts)


@pytest.mark.parametrize("n_layers", [2, 8])  # on the way forward, and on the way back
def test_a_step_that_is_given_up_ends_at_its_next_layer_and_another_can_follow(
    aside, net, n_layers
):
    net, log = net
    steps = aside(lambda: learn(net))
    while len(log) < n_layers:
        next(steps)
    before = len(log)
    steps.close()
    assert len(log) <= before + 2
    log.clear()
    run(aside(lambda: learn(net)))
    assert len(log) == 12


def test_what_a_step_raises_is_raised_and_leaves_nothing_behind(aside, net):
    def fail():
        net[0](torch.ones(2, 4))
        raise ValueError("told")

    hooks = len(torch.nn.modules.module._global_forward_hooks)
    with pytest.raises(ValueError, match="told"):
        run(aside(fail))
    assert run(aside(lambda: 5)) == 5
    assert len(torch.nn.modules.module._global_forward_hooks) == hooks


def test_steps_run_on_one_thread_and_time_spent_standing_does_not_count(aside, net):
    began, counted = time.perf_counter(), aside.clock()
    threads = set()

    def step():
        threads.add(threading.get_ident())
        return learn(net[0])

    for _ in range(2):
        for _ in aside(step):
            until = time.perf_counter() + 0.01
            while time.perf_counter() < until:
                pass
    assert len(threads) == 1
    assert threads != {threading.get_ident()}
    stood = (time.perf_counter() - began) - (aside.clock() - counted)
    assert stood >= 0.01
