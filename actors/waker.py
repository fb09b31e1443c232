"""Wake objects asleep when their timers are due, a bounded number at once, and never early.

An object that is awake keeps its own time; what is known of it here is what it last said. Whatever
keeps an object from waking, it is tried again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from raydo.actors.due import Dues
from raydo.pipelining.errors import ConnectionLost, RaydoError
from raydo.pipelining.limits import WAKE_RETRY_S, WAKER_LOOKS_S, WAKES_MAX

if TYPE_CHECKING:
    from raydo.actors.clock import Clock
    from raydo.pipelining.noun import Noun

Wake = Callable[["Noun"], Awaitable[int | None]]
"""Run an object's timers that are due; return when the next one is, in milliseconds."""

_log = logging.getLogger("raydo")


class Waker:
    """Keep due times, and wake."""

    def __init__(self, clock: Clock, wake: Wake) -> None:
        self._clock = clock
        self._wake = wake
        self._dues = Dues()
        self._sooner = asyncio.Event()
        self._slots = asyncio.Semaphore(WAKES_MAX)
        self._tasks: set[asyncio.Task[None]] = set()

    def set(self, noun: Noun, due_ms: int | None) -> None:
        """Let an object wake at `due_ms`, or not at all."""
        self._dues.set(noun, due_ms)
        if due_ms is not None:
            self._sooner.set()

    def start(self) -> None:
        """Wake from now on."""
        self._add(asyncio.create_task(self._run()))

    async def stop(self) -> None:
        """Wake nobody any more; a wake under way is let go."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _run(self) -> None:
        while True:
            self._sooner.clear()
            for noun in self._dues.take(self._clock.now_ms(), WAKES_MAX):
                await self._slots.acquire()
                self._add(asyncio.create_task(self._wake_one(noun)))
            wait_s = WAKER_LOOKS_S  # at most, since the clock may be set
            if (next_ms := self._dues.next_ms()) is not None:
                wait_s = min(wait_s, max(0, next_ms - self._clock.now_ms()) / 1000)
            try:
                async with asyncio.timeout(wait_s):
                    await self._sooner.wait()
            except TimeoutError:
                continue

    async def _wake_one(self, noun: Noun) -> None:
        try:
            due_ms = await self._wake(noun)
        except RaydoError as error:
            if not isinstance(error, ConnectionLost):
                _log.warning("%s could not be woken: %s", noun, error)
            pause_ms = round((error.retry_after_s or WAKE_RETRY_S) * 1000)
            due_ms = self._clock.now_ms() + pause_ms
        finally:
            self._slots.release()
        if self._dues.get(noun) is None:  # else somebody said so meanwhile
            self.set(noun, due_ms)

    def _add(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
