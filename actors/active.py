"""Who is active: persons of a day, of the seven and of the thirty days that end with it.

Exact, from the buckets' sets of users. A window that slides over days is the union of two: of the
days from its first on to the end of a block, and from that block's end to its last. So each day's
set is in two unions for each window, however long it is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from itertools import accumulate
from operator import or_
from typing import TYPE_CHECKING, Final, TypedDict

from pyroaring import BitMap

from raydo.actors.buckets import DAY, date_of
from raydo.actors.periods import Range

if TYPE_CHECKING:
    from raydo.actors.usersets import UserSets

WINDOWS: Final = {"day": 1, "week": 7, "month": 30}  # days


class ActiveDay(TypedDict):
    """One day: `active` is the number of the window asked for, `stickiness` is dau / mau."""

    date: str
    active: int
    dau: int
    wau: int
    mau: int
    stickiness: float
    partial: bool


def active_days(
    sets: UserSets, days: Range, window: str, today: date, *, bots: bool
) -> list[ActiveDay]:
    """Count the active persons of each day, oldest first."""
    first = days.first - DAY * (WINDOWS["month"] - 1)
    reach = Range("day", first, days.last, days.zone)
    seen: defaultdict[date, BitMap] = defaultdict(BitMap)
    for bucket, users in sets.read(reach.buckets, bots=bots):
        seen[date_of(bucket, days.zone)] |= users
    count = (days.last - first).days + 1
    sliding = [seen[first + DAY * n] for n in range(count)]
    dau, wau, mau = (_sizes(sliding, width) for width in WINDOWS.values())
    numbers = dict(zip(WINDOWS, (dau, wau, mau), strict=True))
    return [
        {
            "date": (first + DAY * n).isoformat(),
            "active": numbers[window][n],
            "dau": dau[n],
            "wau": wau[n],
            "mau": mau[n],
            "stickiness": round(dau[n] / mau[n], 6) if mau[n] else 0.0,
            "partial": first + DAY * n >= today,
        }
        for n in range(WINDOWS["month"] - 1, count)
    ]


def _sizes(days: Sequence[BitMap], width: int) -> list[int]:
    """Count, for each day, the persons of the `width` days that end with it."""
    to_end: list[BitMap] = []  # from each day to the end of its block
    from_start: list[BitMap] = []  # from the start of its block to each day
    for start in range(0, len(days), width):
        block = days[start : start + width]
        from_start += accumulate(block, or_)
        to_end += list(accumulate(block[::-1], or_))[::-1]
    return [
        len(from_start[n]) if n < width else len(to_end[n - width + 1] | from_start[n])
        for n in range(len(days))
    ]
