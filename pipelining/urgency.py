"""When a batch's queue is emptied: after a linger, or as soon as the present tasks have run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Final

from raydo.pipelining.limits import CAST_LINGER_S

IDLE: Final = 0
LINGERING: Final = 1  # a timer runs
AT_ONCE: Final = 2  # after the present tasks have run


class Urgency:
    """Call `empty` in time; asked from any thread, under the outbox's lock."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, thread: int, empty: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._thread = thread
        self._empty = empty
        self._urgency = IDLE
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_here(self) -> bool:
        """Whether this is the loop's own thread."""
        return threading.get_ident() == self._thread

    def raise_to(self, urgency: int) -> None:
        """See to it that the queue is emptied in time."""
        if urgency <= self._urgency:
            return
        self._urgency = urgency
        wake = self._hop if urgency == AT_ONCE else self._linger
        if self.is_here:
            wake()
        else:
            self._loop.call_soon_threadsafe(wake)

    def met(self) -> None:
        """Take note that the queue is being emptied now."""
        self._urgency = IDLE
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _linger(self) -> None:
        if self._urgency == LINGERING:
            self._timer = self._loop.call_later(CAST_LINGER_S, self._empty)

    def _hop(self) -> None:
        # wait_for inside gather starts its own task one iteration later; two iterations catch both.
        self._loop.call_soon(self._loop.call_soon, self._empty)
