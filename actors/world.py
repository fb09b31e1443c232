"""A world for one test of durable objects: everything real, in this process, except the time.

Objects live in a folder of their own and answer through the same batches, frames and turns as they
do behind a server; only the clock stands still until the test moves it. `advance` moves it from one
due timer to the next and runs each at its time. `crash` drops every live object as a killed process
would, and the next call or timer finds what had been acknowledged, on disk.

Synchronous tests use `world.wait(promise)`; in coroutines a promise is awaited as ever.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from raydo.actors import tenant
from raydo.actors.clock import FakeClock
from raydo.actors.residents import Residents
from raydo.pipelining import later
from raydo.pipelining.connection import Connection
from raydo.pipelining.errors import TooLarge
from raydo.pipelining.limits import TIMER_ROUNDS_MAX
from raydo.pipelining.loopback import Loopback

if TYPE_CHECKING:
    from raydo.actors.activation import Activation
    from raydo.actors.settings import Settings
    from raydo.pipelining.later import Later, Timeout
    from raydo.pipelining.noun import Noun
    from raydo.pipelining.promise import Promise
    from raydo.pipelining.stub import Stub

T = TypeVar("T")


class World:
    """Hold a data folder, its live objects, a connection to them, and a clock."""

    def __init__(
        self, data: Path, *, now_ms: int | None = None, settings: Settings | None = None
    ) -> None:
        self.data = data
        self.clock = FakeClock() if now_ms is None else FakeClock(now_ms)
        self.residents = Residents(data, clock=self.clock, settings=settings)
        self.connection = Connection(self._connect)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lost: list[Activation] = []

    def __enter__(self) -> Self:
        self.connection.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.connection.stop()
        for activation in self._lost:
            activation.abandon()

    def __getattr__(self, name: str) -> Callable[[str], Any]:
        """Give `world.Cart("acme")` for any class, by its name."""
        if name.startswith("_") or not name[:1].isupper():
            raise AttributeError(f"A world has no {name!r}.")
        make: Callable[[str], Any] = getattr(self.connection, name)
        return make

    @property
    def now_ms(self) -> int:
        """The time in this world, in UTC milliseconds."""
        return self.clock.now_ms()

    def stub(self, cls: type[T], tenant: str) -> Stub[T]:
        """Make a stub of a class; no I/O."""
        return self.connection.stub(cls, tenant)

    def wait(self, awaited: Promise[T] | Later[T], *, timeout_s: Timeout | None = None) -> T:
        """Block until a promise's value is here; in coroutines, await it instead.

        Raises:
            TimedOut: not within `timeout_s`.
        """
        return later.wait(awaited, timeout_s=timeout_s)

    def flush(self) -> None:
        """Return when all casts made so far are on disk, and what they made objects tell others."""
        later.wait(self.connection.flush())
        self._in_loop(self.residents.delivered())

    def advance(
        self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
    ) -> int:
        """Move the clock forward, after what was cast before, and return the new time.

        Timers that are due on the way run in the order of their time, with the clock standing at
        it, and before any later one. An exception in a handler is logged and its retry is due
        later, as behind a server; so ask the object what it did.

        Raises:
            TooLarge: a timer is due again and again, and the time does not move.
        """
        self.flush()
        span = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        until_ms = self.now_ms + span // timedelta(milliseconds=1)
        self._in_loop(self._advance(until_ms))
        return self.now_ms

    def crash(self) -> None:
        """Drop every live object without a goodbye; what was not acknowledged may be gone."""
        self._lost += self._in_loop(self.residents.crash())

    async def _advance(self, until_ms: int) -> None:
        for noun in tenant.tenants(self.data):
            if not self.residents.awake(noun):
                await self.residents.fire(noun)  # one that sleeps has timers too
        rounds: Counter[Noun] = Counter()
        while (due := self.residents.next_due()) is not None and due[0] <= until_ms:
            due_ms, noun = due
            if due_ms > self.now_ms:
                self._set_clock(due_ms)
                rounds.clear()
            rounds[noun] += 1
            if rounds[noun] > TIMER_ROUNDS_MAX:
                raise TooLarge(f"A timer of {noun} is due again and again at {self.now_ms}.")
            await self.residents.fire(noun)
        self._set_clock(until_ms)

    def _set_clock(self, now_ms: int) -> None:
        self.clock.advance(milliseconds=now_ms - self.now_ms)

    def _in_loop(self, work: Coroutine[Any, Any, T]) -> T:
        assert self._loop is not None, "a world is entered with `with`"
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _connect(self) -> Loopback:
        self._loop = asyncio.get_running_loop()
        return _Embedded(self.residents)


class _Embedded(Loopback):
    """The way to the residents of this process; they close with it."""

    def __init__(self, residents: Residents) -> None:
        super().__init__(residents.deliver)
        self._residents = residents

    async def close(self) -> None:
        await super().close()
        await self._residents.close()
