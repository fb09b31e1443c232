"""Who came again: cohorts by the period in which a person was truly first seen.

True means over the whole history, not within the range that is asked for: whoever came before it is
in none of its cohorts. Exact in any zone, from the buckets' sets of users, without a scan of events.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from typing import TYPE_CHECKING, Final, TypedDict

from pyroaring import BitMap

from raydo.actors.buckets import DAY, date_of
from raydo.actors.periods import begin_of
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.limits import COHORTS_MAX

if TYPE_CHECKING:
    from raydo.actors.periods import Range
    from raydo.actors.usersets import UserSets

COHORTS_DEFAULT: Final = {"day": 14, "week": 8, "month": 6}


class Cohort(TypedDict):
    """The persons first seen in the period that begins at `cohort`.

    `retained[k]` of them came k periods later; `retained[0]` is `size`.
    """

    cohort: str
    size: int
    retained: list[int]


def periods(period: str, first: date | None, last: date, week_start: str = "monday") -> list[date]:
    """List when the periods from `first` to `last` began; without a `first` the latest few.

    Raises:
        InvalidArgument: no such period, in the wrong order, or more than COHORTS_MAX.
    """
    if period not in COHORTS_DEFAULT:
        raise InvalidArgument(f"A period is day, week or month, not {period!r:.40}.")
    begins = [begin_of(period, last, week_start)]
    start = None if first is None else begin_of(period, first, week_start)
    wanted = COHORTS_DEFAULT[period] if start is None else COHORTS_MAX
    while len(begins) < wanted and (start is None or begins[-1] > start):
        begins.append(begin_of(period, begins[-1] - DAY, week_start))
    if start is not None and begins[-1] != start:
        raise InvalidArgument(
            f"There are at most {COHORTS_MAX} cohorts, and from is not after to: {first} to {last}."
        )
    return begins[::-1]


def cohorts(
    sets: UserSets, span: Range, begins: list[date], *, first_bucket: int, bots: bool = True
) -> list[Cohort]:
    """Compute the cohorts of periods in order; `first_bucket` is where the history begins."""
    before = BitMap()
    active: defaultdict[date, BitMap] = defaultdict(BitMap)
    for bucket, users in sets.read(range(first_bucket, span.buckets.stop), bots=bots):
        day = date_of(bucket, span.zone)
        if day < begins[0]:
            before |= users
        elif day <= span.last:
            active[begin_of(span.interval, day, span.week_start)] |= users
    found: list[Cohort] = []
    for at, begin in enumerate(begins):
        new = active[begin] - before
        before |= new
        retained = [len(new & active[later]) for later in begins[at:]]
        found.append({"cohort": begin.isoformat(), "size": len(new), "retained": retained})
    return found
