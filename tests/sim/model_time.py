"""Local days, hours and due times, by zoneinfo and nothing else.

Every zone of the simulation is whole quarters of an hour from UTC, and so is everything that is
due: the search for the next due moment goes from quarter to quarter.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

QUARTER_MS = 900_000
QUARTERS_MAX = 8 * 96  # nothing here is due later than that
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - local
_MINUTES = re.compile(r"every (\d+) minutes")
_SUNDAY = re.compile(r"every sunday at (\d\d):(\d\d)")


def local_date(ms: int, zone: str) -> str:
    return _labels(ms // QUARTER_MS, zone)[0]


def local_hour(ms: int, zone: str) -> str:
    return _labels(ms // QUARTER_MS, zone)[1]


def today_back(ms: int, zone: str, days: int) -> list[str]:
    """List calendar days, today first."""
    today = datetime.fromtimestamp(ms / 1000, ZoneInfo(zone)).date()
    return [(today - timedelta(days=back)).isoformat() for back in range(days)]


def next_after(spec: str, ms: int, zone: str) -> int:
    return _next_after(spec, ms // QUARTER_MS, zone)


@lru_cache(1 << 16)
def _labels(quarter: int, zone: str) -> tuple[str, str]:
    local = _local(quarter, zone)
    return local.strftime("%Y-%m-%d"), local.strftime("%Y-%m-%dT%H:00")


@lru_cache(1 << 12)
def _next_after(spec: str, quarter: int, zone: str) -> int:
    for later in range(quarter + 1, quarter + QUARTERS_MAX):
        if _due(spec, _local(later, zone)):
            return later * QUARTER_MS
    raise AssertionError(f"{spec} is never due")


def _due(spec: str, local: datetime) -> bool:
    if spec == "every day at 03:00":
        return (local.hour, local.minute) == (3, 0)
    if found := _SUNDAY.fullmatch(spec):
        return (local.weekday(), local.hour, local.minute) == (6, int(found[1]), int(found[2]))
    minutes = 60 if spec == "every hour" else int(_MINUTES.fullmatch(spec)[1])  # type: ignore[index]
    return (local.replace(tzinfo=None) - _EPOCH) // timedelta(minutes=1) % minutes == 0


def _local(quarter: int, zone: str) -> datetime:
    return datetime.fromtimestamp(quarter * 900, ZoneInfo(zone))
