"""Waiting, from coroutines and from plain threads: `wait`, `gather`, and what `flush` returns."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import warnings
from collections.abc import Callable, Generator
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from raydo.pipelining.errors import InvalidArgument, PromiseMisused, TimedOut
from raydo.pipelining.promise import Promise
from raydo.pipelining.state import NeverAwaited, Settled, await_settled

if TYPE_CHECKING:
    from raydo.pipelining.state import Done

R = TypeVar("R")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")

Timeout = float | timedelta


def seconds(timeout: Timeout) -> float:
    """Read a timeout, which is a number of seconds or a timedelta.

    Raises:
        InvalidArgument: neither, or not above zero.
    """
    value = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not value > 0:
        raise InvalidArgument(
            f"A timeout is a number of seconds above 0 or a timedelta, not {timeout!r}."
        )
    return float(value)


class Later(Generic[R]):
    """A result to await, or to give to `wait`."""

    __slots__ = ("_begin", "_name")

    def __init__(self, name: str, begin: Callable[[Done], None]) -> None:
        self._name = name
        self._begin: Callable[[Done], None] | None = begin

    def __await__(self) -> Generator[Any, None, R]:
        return await_settled(self.begin)

    def begin(self, done: Done) -> None:
        """Start, and hand the outcome to `done`."""
        begin, self._begin = self._begin, None
        if begin is None:
            raise PromiseMisused(f"{self._name} was awaited before; call it again.")
        begin(done)

    def __del__(self) -> None:
        if getattr(self, "_begin", None) is not None:
            warnings.warn(f"{self._name} was never awaited.", NeverAwaited, stacklevel=2)


@overload
def gather(first: Promise[A], /) -> Later[tuple[A]]: ...
@overload
def gather(first: Promise[A], second: Promise[B], /) -> Later[tuple[A, B]]: ...
@overload
def gather(
    first: Promise[A], second: Promise[B], third: Promise[C], /
) -> Later[tuple[A, B, C]]: ...
@overload
def gather(*promises: Promise[Any]) -> Later[tuple[Any, ...]]: ...
def gather(*promises: Promise[Any]) -> Later[Any]:
    """Wait for several promises, of one object in one frame; the first error of them is raised.

    `await gather(p, q)` in coroutines, `wait(gather(p, q))` elsewhere.
    """
    return Later("gather()", partial(_gather, promises))


class Countdown:
    """Do something once, when several things have arrived, in whichever threads."""

    def __init__(self, missing: int, then: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._missing = missing
        self._then: Callable[[], None] | None = then

    def arrived(self) -> None:
        with self._lock:
            self._missing -= 1
            then = self._take() if self._missing == 0 else None
        if then is not None:
            then()

    def give_up(self, instead: Callable[[], None]) -> None:
        """Do something else, unless it is done already."""
        with self._lock:
            then = self._take()
        if then is not None:
            instead()

    def _take(self) -> Callable[[], None] | None:
        then, self._then = self._then, None
        return then


def _gather(promises: tuple[Promise[Any], ...], done: Done) -> None:
    states: list[Settled | None] = [None] * len(promises)
    waiter = Countdown(len(promises) + 1, lambda: done(_together(states)))

    def settled(index: int, state: Settled) -> None:
        states[index] = state
        waiter.arrived()

    for index, promise in enumerate(promises):
        pull(promise, partial(settled, index))
    waiter.arrived()


def _together(states: list[Settled | None]) -> Settled:
    try:
        return Settled(tuple(state.result() for state in states if state is not None))
    except Exception as error:  # noqa: BLE001  # goes to whoever awaits
        return Settled(error=error)


def pull(promise: Promise[Any], done: Done) -> None:
    """Find a promise's value and hand it to `done`."""
    state = promise._state
    if type(state) is Settled:
        done(state)
    else:
        promise._pull(done)


def wait(awaited: Promise[R] | Later[R], *, timeout_s: Timeout | None = None) -> R:
    """Block this thread until the value is here; in coroutines, await instead.

    Raises:
        TimedOut: not within `timeout_s` (by default the connection's own).
        PromiseMisused: called in a thread that runs an event loop, which it would block.
    """
    if asyncio._get_running_loop() is not None:
        raise PromiseMisused("wait() would block the event loop of this thread; use await here.")
    limit_s = None if timeout_s is None else seconds(timeout_s)
    future: concurrent.futures.Future[Settled] = concurrent.futures.Future()
    if isinstance(awaited, Later):
        awaited.begin(future.set_result)
    else:
        pull(awaited, future.set_result)
    try:
        state = future.result(limit_s)
    except concurrent.futures.TimeoutError:
        raise TimedOut(f"No answer within {limit_s:g} s. It may still be applied.") from None
    value: R = state.result()
    return value
