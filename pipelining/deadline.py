"""Deadlines of awaited promises: one timer for all of a batch, since each waits equally long."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from raydo.pipelining.promise import Promise
from raydo.pipelining.settle import Told, tell, time_out
from raydo.pipelining.state import Settled

if TYPE_CHECKING:
    from raydo.pipelining.outbox import Outbox


class Deadlines:
    """Time out what has been awaited for longer than the connection allows."""

    def __init__(self, loop: asyncio.AbstractEventLoop, outbox: Outbox) -> None:
        self._loop = loop
        self._outbox = outbox
        self._waiting: deque[tuple[float, Promise[Any]]] = deque()  # in the order of their times
        self._armed = False
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, promise: Promise[Any]) -> None:
        """Start a promise's time. The outbox's lock is held."""
        waiting = self._waiting
        while waiting and type(waiting[0][1]._state) is Settled:
            waiting.popleft()
        waiting.append((self._loop.time() + self._outbox.timeout_s, promise))
        if not self._armed:
            self._armed = True
            self._loop.call_soon_threadsafe(self._arm)

    def _arm(self) -> None:
        with self._outbox.lock:
            self._armed = bool(self._waiting)
            if self._waiting:
                self._timer = self._loop.call_at(self._waiting[0][0], self._expire)

    def _expire(self) -> None:
        told: Told = []
        with self._outbox.lock:
            now = self._loop.time()
            while self._waiting and self._waiting[0][0] <= now:
                told += time_out(self._waiting.popleft()[1], self._outbox)
        tell(told)
        self._arm()

    def close(self) -> list[Promise[Any]]:
        """Stop; give what was still waited for."""
        left = [promise for _, promise in self._waiting]
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
        return left
