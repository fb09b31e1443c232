from __future__ import annotations

import datetime as dt
import itertools

import pytest

from raydo.actors.zone import Calendar, parse_date, zone
from raydo.pipelining.errors import InvalidArgument

HOUR_MS = 3_600_000


def ms(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("name", "moment", "date", "hour"),
    [
        ("UTC", "2026-01-01T00:00:00Z", "2026-01-01", "2026-01-01T00:00"),
        ("UTC", "2025-12-31T23:59:59.999Z", "2025-12-31", "2025-12-31T23:00"),
        ("America/New_York", "2026-01-01T04:59:59Z", "2025-12-31", "2025-12-31T23:00"),
        ("Asia/Kolkata", "2025-12-31T18:30:00Z", "2026-01-01", "2026-01-01T00:00"),
        ("Asia/Kathmandu", "2025-12-31T18:14:59Z", "2025-12-31", "2025-12-31T23:00"),
        ("Asia/Kathmandu", "2025-12-31T18:15:00Z", "2026-01-01", "2026-01-01T00:00"),
        ("Pacific/Auckland", "2025-12-31T11:00:00Z", "2026-01-01", "2026-01-01T00:00"),
    ],
)
def test_a_moment_has_the_date_and_hour_of_the_zones_clocks(
    name: str, moment: str, date: str, hour: str
) -> None:
    calendar = Calendar(name)
    assert calendar.date(ms(moment)) == date
    assert calendar.hour(ms(moment)) == hour


@pytest.mark.parametrize("nonsense", [None, "text", 1.5, b"", 10**18])
def test_what_is_no_moment_has_no_date(nonsense: object) -> None:
    assert Calendar("UTC").date(nonsense) is None
    assert Calendar("UTC").hour(nonsense) is None


@pytest.mark.parametrize(
    ("name", "date", "hours"),
    [
        ("America/New_York", "2026-03-08", 23),
        ("America/New_York", "2026-11-01", 25),
        ("America/Sao_Paulo", "2017-10-15", 23),  # its midnight was skipped
        ("Australia/Lord_Howe", "2026-04-05", 24.5),
        ("Pacific/Apia", "2011-12-30", 0),  # there was no such day
        ("UTC", "2026-03-08", 24),
    ],
)
def test_a_day_is_as_long_as_its_clocks_make_it(name: str, date: str, hours: float) -> None:
    [day] = Calendar(name).days(1, dt.date.fromisoformat(date))
    assert day.date == date
    assert (day.end_ms - day.start_ms) / HOUR_MS == hours


@pytest.mark.parametrize("name", ["UTC", "America/New_York", "Asia/Kolkata", "America/Sao_Paulo"])
def test_days_meet_without_gaps_and_agree_with_dates(name: str) -> None:
    calendar = Calendar(name)
    days = calendar.days(800, dt.date(2018, 12, 31))
    for newer, older in itertools.pairwise(days):
        assert older.end_ms == newer.start_ms
    for day in days:
        assert calendar.date(day.start_ms) == day.date
        assert calendar.date(day.end_ms - 1) == day.date


def test_today_turns_at_the_zones_midnight() -> None:
    calendar = Calendar("America/New_York")
    assert calendar.today(ms("2026-01-01T04:59:59Z")) == dt.date(2025, 12, 31)
    assert calendar.today(ms("2026-01-01T05:00:00Z")) == dt.date(2026, 1, 1)


@pytest.mark.parametrize(
    "name", ["Mars/Olympus", "", "../etc/passwd", "/etc/passwd", None, 7, "a\0b"]
)
def test_what_is_no_zone_is_refused(name: object) -> None:
    with pytest.raises(InvalidArgument, match="no IANA time zone"):
        zone(name)


def test_dates_are_read_as_iso() -> None:
    assert parse_date("2026-01-31") == dt.date(2026, 1, 31)
    assert parse_date(dt.date(2026, 1, 31)) == dt.date(2026, 1, 31)
    assert parse_date(dt.datetime(2026, 1, 31, 5)) == dt.date(2026, 1, 31)  # noqa: DTZ001
    for wrong in ("31.1.2026", "", "2026-02-30", "1969-12-31", "9999-12-31", None, 7):
        with pytest.raises(InvalidArgument, match="2026-01-31"):
            parse_date(wrong)
