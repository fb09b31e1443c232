"""How a promise stands: not sent, queued, on its way, or settled; and how a task waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from raydo.pipelining.convoy import Place


class NeverAwaited(UserWarning):
    """A lazy `@call` was made and dropped; nothing was sent."""


class Settled:
    """The value of a promise, or its error."""

    __slots__ = ("__weakref__", "_report", "error", "value")

    def __init__(self, value: Any = None, error: Exception | None = None) -> None:
        self.value = value
        self.error = error
        self._report: Callable[[Exception], None] | None = None

    def result(self) -> Any:
        """Give the value or raise the error, which then counts as seen."""
        self._report = None
        if self.error is not None:
            raise self.error.with_traceback(None)
        return self.value

    def unless_seen(self, report: Callable[[Exception], None]) -> None:
        """Report the error when this is dropped before anybody looked at it."""
        self._report = report

    def report_now(self) -> None:
        report, self._report = self._report, None
        if report is not None and self.error is not None:
            report(self.error)

    def __del__(self) -> None:
        if self._report is not None:
            self.report_now()


Done: TypeAlias = Callable[[Settled], None]


class Pending:
    """A promise that is on its way; `frame` is 0 until it has been put into one."""

    __slots__ = ("done", "frame", "place")

    def __init__(self, *done: Done) -> None:
        self.done: list[Done] = list(done)
        self.frame = 0
        self.place: Place | None = None  # where another object's frame may find the value


class Queued:
    """A cast that nobody has awaited yet."""

    __slots__ = ()


QUEUED: Final = Queued()


def await_settled(begin: Callable[[Done], None]) -> Generator[Any, None, Any]:
    """Start something and wait, in the running event loop, for the outcome that it hands on."""
    future: asyncio.Future[Settled] = asyncio.get_running_loop().create_future()
    begin(partial(_tell, future))
    state = yield from future
    return state.result()


def _tell(future: asyncio.Future[Settled], state: Settled) -> None:
    """Settle an awaiting task, which may belong to another thread's loop."""
    loop = future.get_loop()
    if asyncio._get_running_loop() is loop:
        _set(future, state)
    elif not loop.is_closed():
        loop.call_soon_threadsafe(_set, future, state)


def _set(future: asyncio.Future[Settled], state: Settled) -> None:
    if not future.done():  # its task may have been cancelled, by wait_for for example
        future.set_result(state)
