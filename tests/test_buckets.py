"""Buckets, and the days and hours that they belong to, in every zone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest

from raydo.actors.buckets import (
    BUCKET_MS,
    BUCKET_S,
    HOUR,
    bucket_of,
    buckets_between,
    cover,
    cover_date,
    date_of,
    hour_of,
    rules_of,
)
from raydo.actors.zone import Calendar

# Zones whose clocks did something that code gets wrong: half hours, 23 hour days, days left out,
# nights lived twice at midnight, offsets of odd minutes.
ZONES = (
    "UTC",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "America/New_York",
    "America/St_Johns",
    "America/Goose_Bay",
    "America/Havana",
    "America/Sao_Paulo",
    "Antarctica/Casey",
    "Antarctica/Troll",
    "Africa/Casablanca",
    "Africa/Monrovia",
    "Asia/Amman",
    "Australia/Lord_Howe",
    "Europe/Dublin",
    "Pacific/Apia",
    "Pacific/Auckland",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
    "Pacific/Kwajalein",
)


def moment(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def changes_of_clock(zone: ZoneInfo, first_year: int, last_year: int, step_s: int) -> Iterator[int]:
    """List the seconds at which the zone's offset changes, by sampling and bisection."""
    at = int(datetime(first_year, 1, 1, tzinfo=UTC).timestamp())
    end = int(datetime(last_year, 12, 31, tzinfo=UTC).timestamp())

    def offset(second: int) -> timedelta | None:
        return datetime.fromtimestamp(second, zone).utcoffset()

    while at < end:
        low, high = at, at + step_s
        if offset(low) != offset(high):
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset(middle) == offset(low) else (low, middle)
            yield high
        at = high


def test_a_moment_belongs_to_the_bucket_that_began_last() -> None:
    assert bucket_of(0) == 0
    assert bucket_of(BUCKET_MS - 1) == 0
    assert bucket_of(BUCKET_MS) == 1
    assert bucket_of(-1) == -1


def test_a_span_touches_the_buckets_of_its_first_and_last_moment() -> None:
    assert buckets_between(0, BUCKET_MS) == range(1)
    assert buckets_between(BUCKET_MS - 1, BUCKET_MS + 1) == range(2)
    assert buckets_between(5, 6) == range(1)
    assert not buckets_between(0, 0)


@pytest.mark.parametrize("name", ZONES)
def test_a_day_covers_all_its_buckets_around_each_change_of_the_clock(name: str) -> None:
    zone = ZoneInfo(name)
    for change_s in changes_of_clock(zone, 1970, 2030, step_s=20 * 86_400):
        middle = change_s // BUCKET_S
        days: defaultdict[date, list[int]] = defaultdict(list)
        hours: defaultdict[datetime, list[int]] = defaultdict(list)
        for bucket in range(middle - 200, middle + 200):
            days[date_of(bucket, zone)].append(bucket)
            hours[hour_of(bucket, zone)].append(bucket)

        for day, buckets in days.items():
            covered = cover_date(day, zone)
            assert all(bucket in covered for bucket in buckets), (day, change_s)
            assert len(covered) <= 4 * 50  # a day and the longest jump: never much too wide
        for hour, buckets in hours.items():
            covered = cover(hour, hour + HOUR, zone)
            assert all(bucket in covered for bucket in buckets), (hour, change_s)


@pytest.mark.parametrize("name", ZONES)
def test_buckets_and_the_calendar_of_raw_events_mean_the_same_by_day_and_hour(name: str) -> None:
    zone, calendar = ZoneInfo(name), Calendar(name)
    for change_s in changes_of_clock(zone, 1970, 2030, step_s=20 * 86_400):
        for second in range(change_s - 7_200, change_s + 7_200, 97):
            bucket = bucket_of(second * 1000)
            assert calendar.date(second * 1000) == date_of(bucket, zone).isoformat()
            assert calendar.hour(second * 1000) == f"{hour_of(bucket, zone):%Y-%m-%dT%H}:00"


@pytest.mark.slow
def test_since_2012_the_day_of_a_bucket_is_the_clock_on_the_wall_in_every_zone() -> None:
    for name in sorted(available_timezones()):
        zone = ZoneInfo(name)
        for change_s in changes_of_clock(zone, 2012, 2030, step_s=25 * 86_400):
            start_s = change_s // BUCKET_S * BUCKET_S
            wall = {
                datetime.fromtimestamp(second, zone).date()
                for second in (start_s, change_s - 1, change_s, start_s + BUCKET_S - 1)
                if start_s <= second
            }
            assert wall == {date_of(start_s // BUCKET_S, zone)}, (name, change_s)


def test_offsets_of_odd_minutes_count_by_the_start_of_the_bucket() -> None:
    # Monrovia was 44 minutes 30 seconds behind UTC until 1972: midnight fell into a bucket.
    monrovia = ZoneInfo("Africa/Monrovia")
    before, after = moment("1970-06-01T00:44:00Z"), moment("1970-06-01T00:45:00Z")
    assert date_of(bucket_of(before), monrovia) == date(1970, 5, 31)
    assert date_of(bucket_of(moment("1970-06-01T00:44:45Z")), monrovia) == date(1970, 5, 31)
    assert date_of(bucket_of(after), monrovia) == date(1970, 6, 1)


def test_a_clock_that_goes_back_at_one_minute_past_midnight_gives_back_the_day_before() -> None:
    # St. John's, 2010-11-07: 00:00 to 00:01 passed, and it was 23:01 of the day before again.
    zone = ZoneInfo("America/St_Johns")
    buckets = cover_date(date(2010, 11, 6), zone)
    days = [date_of(bucket, zone).day for bucket in buckets]
    changes = [day for day, next_day in pairwise(days) if day != next_day]
    assert changes == [6, 7]


def test_the_hour_that_is_lived_twice_is_one_hour() -> None:
    zone = ZoneInfo("America/New_York")
    first = bucket_of(moment("2025-11-02T01:30:00-04:00"))
    second = bucket_of(moment("2025-11-02T01:30:00-05:00"))
    assert second - first == 4
    assert (
        hour_of(first, zone) == hour_of(second, zone) == datetime.fromisoformat("2025-11-02T01:00")
    )


def test_a_day_that_was_left_out_has_no_buckets() -> None:
    apia = ZoneInfo("Pacific/Apia")
    skipped = date(2011, 12, 30)
    assert not [b for b in cover_date(skipped, apia) if date_of(b, apia) == skipped]


def test_zones_have_the_same_rules_only_under_the_same_name_and_clock() -> None:
    assert rules_of(ZoneInfo("Europe/Berlin")) == rules_of(ZoneInfo("Europe/Berlin"))
    berlin, oslo = rules_of(ZoneInfo("Europe/Berlin")), rules_of(ZoneInfo("America/Toronto"))
    assert berlin.split()[1] != oslo.split()[1]
