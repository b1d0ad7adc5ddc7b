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
        self.note("forward")
        result = super().forward(x)
        if result.requires_grad:
            result.register_hook(lambda _: self.note("back"))
        return result

    def note(self, what):
        self.log.append(what)
        time.sleep(0.001)  # else it may all be over before the other thread has its turn


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
    stops = set()
    for _ in range(200):  # where it stops is a matter of chance, but it never goes on by itself
        log.clear()
        for _ in aside(lambda: learn(net)):
            stops.add(len(log))
            before = len(log)
            learn(nn.Linear(4, 4).requires_grad_(True))  # goes through, on this thread
            assert len(log) == before
        assert log == ["forward"] * 6 + ["back"] * 6
        if stops & set(range(1, 6)) and stops & set(range(7, 12)):
            return
    raise AssertionError(f"stopped after {sorted(stops)} layers only")


@pytest.mark.parametrize("n_layers", [2, 8])  # on the way forward, and on the way back
def test_a_step_that_is_given_up_ends_at_its_next_layer_and_another_can_follow(
    aside, net, n_layers
):
    net, log = net
    for _ in range(200):  # where it stops is a matter of chance
        log.clear()
        steps = aside(lambda: learn(net))
        if next((True for _ in steps if len(log) >= n_layers), False):
            break
    before = len(log)
    assert n_layers <= before < 12
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
