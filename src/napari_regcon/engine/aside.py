"""Long steps that other work may come in between: a thread that stands still unless waited for.

A step of training takes some hundred milliseconds, and a preview should not wait that long. So
the step runs on a thread of its own, and stops between two layers of a network, on the way forward
or, where the processor computes, back, as soon as nobody waits for it any more. Only one of the two
ever computes, so neither needs to know of the other, and the result is the same as without. Nothing
here knows what a step does.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol, TypeVar

import torch
from torch.nn.modules.module import register_module_forward_hook

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_T = TypeVar("_T")

LOOK_UP_S = 0.03
"""So long a step is waited for before other work gets its chance."""


class Runner(Protocol):
    """How the long steps of a training are run."""

    def clock(self) -> float:
        """Return seconds, of which those in which a step had to stand still do not count."""
        ...

    def __call__(self, step: Callable[[], _T]) -> Generator[None, None, _T]:
        """Run a step, yielding wherever other work may be done, and return what it returns."""
        ...


class AtOnce:
    """Runs steps where they are asked for, from beginning to end."""

    def clock(self) -> float:
        """Return seconds."""
        return time.perf_counter()

    def __call__(self, step: Callable[[], _T]) -> Generator[None, None, _T]:
        """Run a step and return what it returns; never yields."""
        yield from ()
        return step()


class Aside:
    """Runs steps on a thread that stands still whenever its generator is not being advanced.

    It can stop where a module of torch has been computed, and where the gradient of its output is
    known. Where the generator is closed, the step ends at the next such place, half done.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "regcon-aside")
        self._thread = 0
        self._turn = threading.Condition()
        self._may_run = self._stands = self._has_ended = self._is_given_up = False
        self._stood_s = 0.0

    def clock(self) -> float:
        """Return seconds, without those in which the thread stood still."""
        return time.perf_counter() - self._stood_s

    def __call__(self, step: Callable[[], _T]) -> Generator[None, None, _T]:
        """Run a step, yielding every :data:`LOOK_UP_S` seconds, and return what it returns.

        Raises
        ------
        BaseException
            What the step raises.
        """
        self._has_ended = self._is_given_up = False
        self._go_on()
        hook = register_module_forward_hook(self._after_layer)
        future = self._pool.submit(self._run, step)
        try:
            while not self._ends_soon():
                self._stand_still()
                since = time.perf_counter()
                yield
                self._stood_s += time.perf_counter() - since
                self._go_on()
        except BaseException:  # above all where the generator is closed
            self._is_given_up = True
            self._go_on()
            raise
        finally:
            with self._turn:
                self._turn.wait_for(lambda: self._has_ended)
            hook.remove()
        return future.result()

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown()

    def _ends_soon(self) -> bool:
        with self._turn:
            return self._turn.wait_for(lambda: self._has_ended, LOOK_UP_S)

    def _stand_still(self) -> None:
        """Have the thread stop, and return once it stands, or has ended."""
        with self._turn:
            self._may_run = False
            self._turn.wait_for(lambda: self._stands or self._has_ended)

    def _go_on(self) -> None:
        with self._turn:
            # It gets as far as the next layer, however soon it has to stand still again.
            self._may_run, self._stands = True, False
            self._turn.notify_all()

    def _run(self, step: Callable[[], _T]) -> _T:
        self._thread = threading.get_ident()
        try:
            return step()
        finally:
            with self._turn:
                self._has_ended = True
                self._turn.notify_all()

    def _after_layer(self, _module: object, _inputs: object, output: object) -> None:
        if threading.get_ident() == self._thread:
            self._pause()
            if isinstance(output, torch.Tensor) and output.requires_grad:
                output.register_hook(self._before_gradient)  # type: ignore[no-untyped-call]

    def _before_gradient(self, _gradient: torch.Tensor) -> None:
        # On a GPU, gradients are computed by a thread that others need, too.
        if threading.get_ident() == self._thread:
            self._pause()

    def _pause(self) -> None:
        """Stand still for as long as the thread may not run."""
        if not self._may_run:
            with self._turn:
                self._stands = True
                self._turn.notify_all()
                self._turn.wait_for(lambda: not self._stands)
        if self._is_given_up:
            raise _GivenUp


class _GivenUp(BaseException):
    """Ends a step whose generator was closed; nothing may take it for an error of the step."""
