"""Where time comes from: the one place that reads the machine's clock.

Everything else takes `now_ms`, so that a test can move time and a replay meets the same moments
again. Times are whole milliseconds since 1970 in UTC.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Protocol


class Clock(Protocol):
    """Tell the time in UTC milliseconds."""

    def now_ms(self) -> int: ...


class SystemClock:
    """Read the machine's clock; it may be set back, so nothing may rely on it to only grow."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


class FakeClock:
    """Stand still until somebody moves it."""

    def __init__(self, now_ms: int = 1_767_225_600_000) -> None:  # 2026-01-01T00:00:00Z
        self._now_ms = now_ms

    def now_ms(self) -> int:
        return self._now_ms

    def advance(
        self,
        *,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
        milliseconds: float = 0,
    ) -> int:
        """Move forward and return the new time; a negative amount sets the clock back."""
        step = timedelta(
            days=days, hours=hours, minutes=minutes, seconds=seconds, milliseconds=milliseconds
        )
        self._now_ms += step // timedelta(milliseconds=1)
        return self._now_ms
