"""How many days a disk lasts, by how fast it fills: pure, told what is used whenever somebody looks."""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Final

WINDOW_S: Final = 24 * 3600.0  # long enough to hold the week's quiet nights and the nightly job
APART_S: Final = 300.0  # between two samples: at most some three hundred
BEFORE_S: Final = 3600.0  # after which there is a first answer
DAY_S: Final = 86_400.0


class DiskDays:
    """Remember how much was used over the last day."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def left(self, now_s: float, used: int, free: int) -> float:
        """Note what is used now; return the days until nothing is free, infinite if it doesn't fill."""
        samples = self._samples
        if not samples or now_s - samples[-1][0] >= APART_S:
            samples.append((now_s, used))
        while len(samples) > 1 and now_s - samples[0][0] > WINDOW_S:
            samples.popleft()
        since_s, before = samples[0]
        grown = used - before
        if grown <= 0 or now_s - since_s < BEFORE_S:
            return inf
        return free / (grown / (now_s - since_s) * DAY_S)
