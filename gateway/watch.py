"""`subscribe(since, callback)`: what happens to a tenant, pushed to a function of the client.

    const watch = await acme.subscribe(cursor, (change) => { …; cursor = change.cursor; });

Each change is `{cursor, events, counters}`, with only those counters that are new to this client. It
is read by an ordinary call on the object, so it leaves when it is on disk, and the next is sent when
the client has taken this one: a client that comes again with its last cursor misses nothing and sees
nothing twice. The gateway looks when something passed through it to this object, and every
`WATCH_LOOK_S` for what came another way; a tenant that is watched stays awake.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from raydo.gateway.backend import Backend
from raydo.pipelining.capnweb.local import Local
from raydo.pipelining.capnweb.stub import ClientStub
from raydo.pipelining.errors import Forbidden, InvalidArgument, RaydoError
from raydo.pipelining.limits import RETRY_MAX_S, WATCH_LOOK_S, WATCH_PAUSE_S
from raydo.pipelining.method import call


class Watch(Local):
    """What the gateway adds to a tenant's object."""

    def __init__(self, backend: Backend, tenant: str, *, allowed: bool) -> None:
        self._backend = backend
        self._tenant = tenant
        self._allowed = allowed

    @call
    def subscribe(self, since: Any = None, callback: Any = None) -> Awaitable[Subscription]:
        """Call `callback(change)` for all that comes after the cursor `since`, or after now.

        Raises:
            InvalidArgument: no function, or no cursor. Forbidden: the key may not read.
        """
        if not self._allowed:
            raise Forbidden("This key may not read.")
        if not isinstance(callback, ClientStub):
            raise InvalidArgument("subscribe(since, callback) takes a cursor and a function.")
        return self._subscribe(since, callback)

    async def _subscribe(self, since: Any, callback: ClientStub) -> Subscription:
        subscription = Subscription(self._backend, self._tenant, callback)
        await subscription.look(since)  # in a batch, where nobody can be called, this fails
        subscription.start()
        return subscription


class Subscription(Local):
    """One client's subscription; it ends when the client lets go of it, or is gone."""

    def __init__(self, backend: Backend, tenant: str, callback: ClientStub) -> None:
        self._backend = backend
        self._tenant = tenant
        self._callback = callback
        self._cursor = 0
        self._told: dict[str, Any] = {}  # the counters, as the client knows them
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())
        self._callback.on_broken(lambda _: self.dispose())

    @call
    def cancel(self) -> None:
        """End it."""
        self.dispose()

    def dispose(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._callback.dispose()

    async def look(self, since: int | None) -> bool:
        """Push what came after a cursor; tell whether there is more.

        Raises:
            RaydoError: it cannot be read, or the client cannot be called.
        """
        change: Any = await self._backend.analytics(self._tenant).changes(since)
        new = {k: v for k, v in change["counters"].items() if self._told.get(k) != v}
        gone = {k: 0 for k in self._told if k not in change["counters"]}
        self._told = change["counters"]
        self._cursor = change["cursor"]
        if change["events"] or new or gone:
            counters = {**gone, **new}
            await self._callback(
                {"cursor": change["cursor"], "events": change["events"], "counters": counters}
            )
        return bool(change["more"])

    async def _run(self) -> None:
        bell = self._backend.bells.hang(self._tenant)
        try:
            while True:
                await self._keep_up(bell)
        except Exception:  # noqa: BLE001  # the client's function raised, or the client has gone
            self._callback.dispose()
        finally:
            self._backend.bells.take_down(self._tenant, bell)

    async def _keep_up(self, bell: asyncio.Event) -> None:
        bell.clear()
        try:
            more = await self.look(self._cursor)
        except RaydoError as error:
            if not error.retryable:
                raise
            await asyncio.sleep(error.retry_after_s or RETRY_MAX_S)
            return
        if not more:
            await asyncio.sleep(WATCH_PAUSE_S)  # so that a busy tenant is not read all the time
            try:
                async with asyncio.timeout(WATCH_LOOK_S):
                    await bell.wait()
            except TimeoutError:
                pass
