"""Retention equals a plain computation over the events, with first-seen over the whole history."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from raydo.actors.database import Database
from raydo.actors.periods import begin_of
from raydo.actors.rollups import RolledEvent, Rollups
from raydo.pipelining.errors import InvalidArgument

ZONES = ("UTC", "Asia/Kolkata", "America/New_York", "Pacific/Auckland")
NOW_MS = 1_762_500_000_000  # 2025-11-07, a few days after New York's clocks went back
DAY_MS = 86_400_000


def events(seed: int, count: int = 3_000, users: int = 60) -> list[RolledEvent]:
    """Events of 120 days, in no order; each user comes for a while."""
    source = random.Random(seed)
    begins = [NOW_MS - source.randrange(120 * DAY_MS) for _ in range(users)]
    found = []
    for _ in range(count):
        user = source.randrange(users)
        at_ms = min(NOW_MS, begins[user] + int(source.expovariate(1 / (20 * DAY_MS))))
        found.append(RolledEvent(at_ms, "Visit", f"u{user}", source.random() < 0.05))
    return found


def rolled(raw: list[RolledEvent]) -> Rollups:
    database = Database(None)
    rollups = Rollups(database)
    database.begin()
    rollups.create()
    for start in range(0, len(raw), 250):
        rollups.apply(raw[start : start + 250])
    database.commit()
    return rollups


def plain(
    raw: list[RolledEvent], zone: str, period: str, first: date, last: date
) -> list[dict[str, Any]]:
    days: defaultdict[str, set[date]] = defaultdict(set)
    for event in raw:
        assert event.user_id is not None
        # A bucket of a quarter of an hour counts for the day that it begins in.
        begun_s = event.timestamp_ms // 900_000 * 900
        days[event.user_id].add(datetime.fromtimestamp(begun_s, ZoneInfo(zone)).date())
    begins = sorted(
        {begin_of(period, first + timedelta(n)) for n in range((last - first).days + 1)}
    )
    answer = []
    for at, begin in enumerate(begins):
        cohort = [seen for seen in days.values() if begin_of(period, min(seen)) == begin]
        came = [
            sum(
                any(begin_of(period, day) == later and day <= last for day in seen)
                for seen in cohort
            )
            for later in begins[at:]
        ]
        size = sum(min(seen) <= last for seen in cohort)
        answer.append({"cohort": begin.isoformat(), "size": size, "retained": came})
    return answer


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(("period", "back"), [("day", 20), ("week", 70), ("month", 100)])
def test_cohorts_equal_a_plain_computation_in_any_zone(zone: str, period: str, back: int) -> None:
    raw = events(len(zone) + back)
    last = date(2025, 11, 5)
    first = begin_of(period, last - timedelta(back))

    found = rolled(raw).retention(period, zone, first, last, NOW_MS)

    assert found == plain(raw, zone, period, first, last)
    assert sum(each["size"] for each in found) > 5


def test_who_came_before_the_range_is_in_none_of_its_cohorts() -> None:
    raw = [RolledEvent(NOW_MS - back * DAY_MS, "Visit", "old", False) for back in (60, 1, 0)]
    raw.append(RolledEvent(NOW_MS, "Visit", "new", False))

    found = rolled(raw).retention("day", "UTC", date(2025, 11, 6), None, NOW_MS)

    assert [each["size"] for each in found] == [0, 1]


def test_without_a_range_the_latest_few_cohorts_end_today() -> None:
    found = rolled([]).retention("week", "UTC", None, None, NOW_MS)
    assert [len(each["retained"]) for each in found] == [8, 7, 6, 5, 4, 3, 2, 1]
    assert found[-1]["cohort"] == "2025-11-03"  # a Monday


@pytest.mark.parametrize(
    ("period", "first", "last"),
    [
        ("year", None, None),
        ("hour", None, None),  # a period of other metrics
        ("day", date(2020, 1, 1), date(2025, 1, 1)),
        ("day", date(2025, 1, 2), date(2025, 1, 1)),
        ("month", date(1, 1, 1), date(1, 2, 1)),
        ("day", None, date(9999, 12, 31)),
    ],
)
def test_what_cannot_be_answered_is_refused(
    period: str, first: date | None, last: date | None
) -> None:
    with pytest.raises(InvalidArgument):
        rolled([]).retention(period, "UTC", first, last, NOW_MS)
