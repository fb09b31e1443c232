"""A connection: one transport, the batches of the objects called over it, and its two shells.

`async with connect(…)` works in the running event loop; `with connect(…)` runs a loop of its own in
a background thread for synchronous code. Stubs work from any thread either way. The connection
entered last is the process's default, the one that a bare `Analytics("acme")` uses.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Generator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from raydo.pipelining.background import LoopThread
from raydo.pipelining.batch import Batch
from raydo.pipelining.errors import ConnectionLost, NotConnected, TimedOut
from raydo.pipelining.later import Countdown, Later, Timeout, seconds
from raydo.pipelining.leaving import entered, left
from raydo.pipelining.limits import BATCHES_MAX, CALL_TIMEOUT_S, FLUSH_ON_EXIT_S
from raydo.pipelining.noun import Noun
from raydo.pipelining.outbox import OnError, Outbox, Stats
from raydo.pipelining.redelivery import Redelivery, open_journal
from raydo.pipelining.site import default_connection, drop_default, make_default
from raydo.pipelining.state import Settled
from raydo.pipelining.stub import Stub, make_stub
from raydo.pipelining.transport import Transport

if TYPE_CHECKING:
    from raydo.pipelining.journal import Journal

T = TypeVar("T")

TransportFactory = Callable[[], Awaitable[Transport]]

_NOT_OPEN: Final = (
    "This connection is not open. Use it as `async with raydo.connect(…):`, or in synchronous code "
    "as `with raydo.connect(…):`."
)
_FORKED: Final = (
    "This process was forked after raydo.connect(), and a connection cannot be shared with a child. "
    "Call raydo.connect() again in the child."
)
_inherited: Final[list[Outbox]] = []
_CLOSED: Final = "This connection was closed; make another with raydo.connect()."


class Connection:
    """Carry calls to objects, batched, retried and counted; open it by `async with` or `with`."""

    def __init__(
        self,
        transport_factory: TransportFactory,
        *,
        timeout_s: Timeout = CALL_TIMEOUT_S,
        on_error: OnError | None = None,
        patient: bool = True,
        default: bool = True,
        outbox: str | Path | None = None,
    ) -> None:
        self._journal_path = None if outbox is None else Path(outbox)
        self._redelivery: Redelivery | None = None  # of what an earlier process left
        self._factory = transport_factory
        self._outbox = Outbox(on_error, seconds(timeout_s), patient=patient)
        self._default = default
        self._batches: dict[tuple[Noun, str], Batch] = {}  # by whom the calls are made, too
        self._transport: Transport | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0
        self._own_loop: LoopThread | None = None
        self._unusable: str | None = _NOT_OPEN

    # Using it.

    def stub(self, cls: type[T], tenant: str) -> Stub[T]:
        """Make a stub that calls over this connection; no I/O."""
        stub: Stub[T] = make_stub(cls, tenant, self)
        return stub

    def __getattr__(self, name: str) -> Callable[[str], Any]:
        """Give `connection.Analytics("acme")` for any class, by its name."""
        if name.startswith("_") or not name[:1].isupper():
            raise AttributeError(f"A connection has no {name!r}.")
        return lambda tenant: make_stub(name, tenant, self)

    def stats(self) -> Stats:
        """Copy the counts of what was sent so far."""
        with self._outbox.lock:
            return replace(self._outbox.stats)

    def flush(self, *, timeout_s: Timeout | None = None) -> Later[None]:
        """Send all casts made so far here; awaited, this returns when they are durable.

        Raises (when awaited):
            TimedOut: some still wait; they stay queued.
        """
        limit_s = None if timeout_s is None else seconds(timeout_s)
        return Later("flush()", lambda done: self._flush(done, limit_s))

    def acting(self, by: str) -> Acting:
        """Make stubs whose calls say that somebody else makes them: a gateway's caller."""
        return Acting(self, by)

    async def deliver(self, noun: Noun, envelope: bytes) -> bytes:
        """Pass on an envelope that somebody else made, as it is, once."""
        if self._transport is None:
            raise NotConnected(self._unusable or _NOT_OPEN)
        return await self._transport.send(noun, envelope)

    def carrier(self, noun: Noun, by: str = "") -> Batch:
        """Find or make the batch of one object.

        Raises:
            NotConnected: not open, closed, or inherited by a fork.
        """
        batch = self._batches.get((noun, by))
        if batch is not None and self._unusable is None:
            return batch
        return self._new_batch(noun, by)

    def _new_batch(self, noun: Noun, by: str) -> Batch:
        if self._unusable is not None:
            raise NotConnected(self._unusable)
        with self._outbox.lock:
            if (noun, by) in self._batches:
                return self._batches[noun, by]
            if len(self._batches) >= BATCHES_MAX:
                self._retire_idle()
            assert self._loop is not None
            assert self._transport is not None
            batch = Batch(
                noun,
                self._transport,
                self._outbox,
                session=os.urandom(16),
                loop=self._loop,
                thread=self._loop_thread,
                by=by,
            )
            self._batches[noun, by] = batch
            return batch

    def _retire_idle(self) -> None:
        for key, batch in list(self._batches.items()):
            if batch.idle:
                del self._batches[key]
                batch.retire(partial(self.carrier, by=key[1]))

    def _flush(self, done: Callable[[Settled], None], limit_s: float | None) -> None:
        if self._unusable is not None or self._loop is None or self._loop.is_closed():
            raise NotConnected(self._unusable or _CLOSED)
        with self._outbox.lock:
            batches = list(self._batches.values())
            waiter = Countdown(len(batches) + 1, lambda: done(Settled()))
            for batch in batches:
                batch.flush(waiter.arrived)
        waiter.arrived()
        if limit_s is not None:
            late = TimedOut(
                f"Not all casts are known to be durable after {limit_s:g} s; they stay queued."
            )
            give_up = partial(waiter.give_up, lambda: done(Settled(error=late)))
            self._loop.call_soon_threadsafe(self._loop.call_later, limit_s, give_up)

    # The asynchronous shell.

    async def open(self) -> Self:
        """Connect in the running event loop; `close` ends it.

        Raises:
            RaydoError: it cannot connect.
        """
        self._check_new()
        self._transport = await self._factory()
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._unusable = None
        if self._journal_path is not None:
            try:
                self._outbox.journal = open_journal(self._journal_path)
            except BaseException:
                self._unusable = _CLOSED
                await self._transport.close()
                raise
            self._send_kept(self._transport, self._outbox.journal)
        entered(self)
        if self._default:
            make_default(self)
        return self

    def _send_kept(self, transport: Transport, journal: Journal) -> None:
        """Send what an earlier process left in the outbox, before what is cast from here on."""
        with self._outbox.lock:
            for cast in journal.casts():
                self._outbox.take_kept(1, len(cast.op))
                journal.queued_again(cast)
                self.carrier(cast.noun).cast_again(cast.name, cast.op)
        self._redelivery = Redelivery(transport, self._outbox, journal)

    def _check_new(self) -> None:
        if self._unusable is not _NOT_OPEN:
            raise NotConnected(self._unusable or "This connection is open already.")

    async def close(self) -> None:
        """Flush for a while, then close; casts that could not be delivered are reported."""
        if self._unusable is not None:
            return
        drop_default(self)
        try:
            if self._loop is asyncio.get_running_loop():  # else its own has ended
                await self.flush(timeout_s=FLUSH_ON_EXIT_S)
        except TimedOut:
            pass  # the report below says what is lost
        finally:
            self._unusable = _CLOSED
            self._end()
            left(self)
            if self._transport is not None:
                await self._transport.close()

    def _end(self) -> None:
        lost = ConnectionLost("The connection was closed before this was known to be delivered.")
        if self._redelivery is not None:
            self._redelivery.close(lost)
        for batch in self._batches.values():
            batch.close(lost)
        self._batches.clear()
        self._outbox.report_unseen()
        journal, self._outbox.journal = self._outbox.journal, None
        if journal is not None:
            journal.close()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self.close()

    def __await__(self) -> Generator[Any, None, Self]:
        return self.open().__await__()

    # The synchronous shell.

    def start(self) -> Self:
        """Connect with an event loop in a background thread; `stop` ends it.

        Raises:
            RaydoError: it cannot connect.
        """
        self._check_new()
        own = LoopThread()
        try:
            own.run(self.open())
        except BaseException:
            own.stop()
            raise
        self._own_loop = own
        entered(self)  # again, from the user's own thread: only the main one may claim a signal
        return self

    def stop(self) -> None:
        """Flush for a while, then close, blocking until done."""
        own, self._own_loop = self._own_loop, None
        if own is not None:
            own.run(self.close())
            own.stop()
            left(self)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop()

    # Leaving.

    def at_exit(self) -> None:
        """Flush and close at the end of the process, if that was forgotten."""
        if self._own_loop is not None:
            self.stop()
            return
        loop = self._loop
        if loop is not None and not loop.is_closed() and not loop.is_running():
            loop.run_until_complete(self.close())

    def after_fork(self) -> None:
        """Become unusable: the loop and the sockets are the parent's, and so is whoever held the lock."""
        self._unusable = _FORKED
        self._own_loop = None
        self._transport = None
        _inherited.append(self._outbox)  # to close its file here would damage the parent's
        self._outbox = Outbox()
        drop_default(self)


class Acting:
    """A connection as one caller of a gateway uses it: its calls say who makes them."""

    def __init__(self, connection: Connection, by: str) -> None:
        self._connection = connection
        self._by = by

    def stub(self, cls: type[T], tenant: str) -> Stub[T]:
        """Make a stub that calls for this caller; no I/O."""
        stub: Stub[T] = make_stub(cls, tenant, self)
        return stub

    def carrier(self, noun: Noun) -> Batch:
        """See `Connection.carrier`."""
        return self._connection.carrier(noun, self._by)


def flush(*, timeout_s: Timeout | None = None) -> Later[None]:
    """Send all casts made so far over the default connection; see `Connection.flush`.

    Raises:
        NotConnected: there is no connection.
    """
    connection = default_connection()
    assert isinstance(connection, Connection)
    return connection.flush(timeout_s=timeout_s)
