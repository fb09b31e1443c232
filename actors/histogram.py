"""How long something takes: counts by bound, cheap enough for every sync of a disk."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from threading import Lock
from typing import Final

# From a drive with a battery behind its cache to a disk that is dying.
SYNC_BOUNDS_S: Final = (
    *(0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01),
    *(0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
)


class Histogram:
    """Count observations up to each bound, those above the last, and add all of them up."""

    def __init__(self, bounds: Sequence[float] = SYNC_BOUNDS_S) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0
        self._lock = Lock()  # the turns of several objects end on several threads

    def observe(self, value: float) -> None:
        """Count one."""
        at = bisect_left(self.bounds, value)
        with self._lock:
            self.counts[at] += 1
            self.sum += value


def quantile(bounds: Sequence[float], counts: Sequence[int], share: float) -> float:
    """Return the bound that `share` of the observations do not exceed; 0 when there are none.

    What is above the last bound is called twice that bound.
    """
    wanted = share * sum(counts)
    seen = 0
    for bound, count in zip((*bounds, 2 * bounds[-1]), counts, strict=True):
        seen += count
        if count and seen >= wanted:
            return bound
    return 0.0
