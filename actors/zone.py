"""A tenant's calendar: which day and which hour a moment falls on in the tenant's own zone.

Moments are UTC milliseconds everywhere else. Only here do they become dates, so that a day of 23
or 25 hours is right in every answer, or wrong in one place.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import Final, NamedTuple, TypedDict
from zoneinfo import ZoneInfo

from raydo.pipelining.errors import InvalidArgument

QUARTER_S: Final = 900  # every zone in use is a whole number of quarters of an hour from UTC
YEAR_MAX: Final = 9_000  # far enough from where Python's dates end
QUARTERS_KEPT: Final = 65_536  # quarters of an hour whose label is remembered: nearly two years


class Day(NamedTuple):
    """One calendar day and the moments that it spans: `start_ms <= moment < end_ms`."""

    date: str
    start_ms: int
    end_ms: int


class DayMetrics(TypedDict):
    """One calendar day; `partial` while it has not ended."""

    date: str
    dau: int
    events: int
    partial: bool


class Calendar:
    """Label moments with the dates and hours of one IANA zone."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._zone = zone(name)
        self._date = lru_cache(QUARTERS_KEPT)(self._date_of_quarter)
        self._hour = lru_cache(QUARTERS_KEPT)(self._hour_of_quarter)

    def date(self, moment_ms: object) -> str | None:
        """Return the local date as `2026-01-31`, or None for what is no moment."""
        return self._date(moment_ms // (QUARTER_S * 1000)) if isinstance(moment_ms, int) else None

    def hour(self, moment_ms: object) -> str | None:
        """Return the local hour as `2026-01-31T13:00`, or None for what is no moment.

        The hour that is lived twice when summer time ends has one label, so one row.
        """
        return self._hour(moment_ms // (QUARTER_S * 1000)) if isinstance(moment_ms, int) else None

    def days(self, count: int, last: dt.date) -> list[Day]:
        """List `count` calendar days that end with `last`, newest first."""
        dates = [last - dt.timedelta(days=back) for back in range(count)]
        return [Day(day.isoformat(), self._start_ms(day), self._end_ms(day)) for day in dates]

    def today(self, now_ms: int) -> dt.date:
        """Return the local date of `now_ms`."""
        return dt.datetime.fromtimestamp(now_ms / 1000, self._zone).date()

    def _start_ms(self, day: dt.date) -> int:
        # A midnight that summer time skips gives the moment of the jump: the day's true start.
        return int(dt.datetime(day.year, day.month, day.day, tzinfo=self._zone).timestamp()) * 1000

    def _end_ms(self, day: dt.date) -> int:
        return self._start_ms(day + dt.timedelta(days=1))

    def _local(self, quarter: int) -> dt.datetime | None:
        try:
            return dt.datetime.fromtimestamp(quarter * QUARTER_S, dt.UTC).astimezone(self._zone)
        except (ValueError, OverflowError, OSError):
            return None  # outside the years 1 to 9999

    def _date_of_quarter(self, quarter: int) -> str | None:
        local = self._local(quarter)
        return None if local is None else f"{local:%Y-%m-%d}"

    def _hour_of_quarter(self, quarter: int) -> str | None:
        local = self._local(quarter)
        return None if local is None else f"{local:%Y-%m-%dT%H}:00"


def zone(name: object) -> ZoneInfo:
    """Find an IANA zone by its name.

    Raises:
        InvalidArgument: no zone has this name.
    """
    try:
        if isinstance(name, str) and name:
            return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        pass
    raise InvalidArgument(f"{name!r} is no IANA time zone; one is 'Europe/Berlin', another 'UTC'.")


def parse_date(text: object) -> dt.date:
    """Read `2026-01-31`, a date on which events can be.

    Raises:
        InvalidArgument: anything else.
    """
    try:
        day = text if isinstance(text, dt.date) else dt.date.fromisoformat(str(text))
        if 1970 <= day.year <= YEAR_MAX:
            return dt.date(day.year, day.month, day.day)
    except ValueError:
        pass
    raise InvalidArgument(f"A date is written like '2026-01-31', not {text!r}.")
