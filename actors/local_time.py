"""A tenant's calendar for the historical engine: local dates as arithmetic, without a lookup.

A zone's offset from UTC changes a few times a year. Between the first and the last moment that a
query can meet, the changes are few, and a tree of comparisons finds the right offset for each row
many times faster than the engine's own time zones would; and it is the very zone that `zone`
knows, whatever the engine was built with.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from raydo.actors.zone import QUARTER_S

DAY_MS: Final = 86_400_000
_QUARTER_MS: Final = QUARTER_S * 1000
_STEP_MS: Final = 7 * DAY_MS  # no zone changes twice within a week, and back
_FIRST_MS: Final = -62_135_510_400_000  # the second day of the year 1
_LAST_MS: Final = 253_402_214_400_000  # the last but one of 9999
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BEFORE_ALL_DAYS: Final = 10_000_000  # makes a day's number positive, so that division rounds down


class Change(NamedTuple):
    """From `from_ms` on the zone is `offset_ms` ahead of UTC."""

    from_ms: int
    offset_ms: int


@lru_cache(64)
def changes(zone: str, first_ms: int, last_ms: int) -> tuple[Change, ...]:
    """List the zone's offsets between two moments, the first from before all time."""
    where = ZoneInfo(zone)
    here_ms = max(_FIRST_MS, min(first_ms, _LAST_MS))
    found = [Change(_FIRST_MS, _offset_ms(where, here_ms))]
    while here_ms < min(last_ms, _LAST_MS):
        next_ms = min(here_ms + _STEP_MS, _LAST_MS)
        offset_ms = _offset_ms(where, next_ms)
        if offset_ms != found[-1].offset_ms:
            found.append(Change(_when(where, here_ms, next_ms), offset_ms))
        here_ms = next_ms
    return tuple(found)


def definitions(zone: str, first_ms: int, last_ms: int) -> tuple[str, ...]:
    """Write the macros `_raydo_local_date` and `_raydo_local_hour` of milliseconds in UTC."""
    # Whole weeks, so that one zone's tree is found again.
    first_ms, last_ms = first_ms // _STEP_MS * _STEP_MS, (last_ms // _STEP_MS + 1) * _STEP_MS
    found = changes(zone, first_ms, last_ms)
    # `zone` labels whole quarters of an hour, by the moment that each begins.
    whole = all(change.offset_ms % _QUARTER_MS == 0 for change in found)
    moment = "ms" if whole else f"ms - ((ms % {_QUARTER_MS}) + {_QUARTER_MS}) % {_QUARTER_MS}"
    days = f"(ms + {_BEFORE_ALL_DAYS * DAY_MS}::BIGINT) // {DAY_MS} - {_BEFORE_ALL_DAYS}"
    return (
        f"CREATE MACRO _raydo_local(ms) AS {moment} + {_tree(found)}",
        f"""CREATE MACRO _raydo_day(ms) AS
            CAST(DATE '1970-01-01' + CAST({days} AS INTEGER) AS VARCHAR)""",
        "CREATE MACRO _raydo_local_date(ms) AS _raydo_day(_raydo_local(ms))",
        """CREATE MACRO _raydo_local_hour(ms) AS
            strftime(make_timestamp(_raydo_local(ms) * 1000), '%Y-%m-%dT%H:00')""",
    )


def _tree(found: tuple[Change, ...]) -> str:
    """Write the offset at `ms` as a balanced tree of comparisons."""
    if len(found) == 1:
        return f"{found[0].offset_ms}::BIGINT"
    middle = len(found) // 2
    before, after = _tree(found[:middle]), _tree(found[middle:])
    return f"CASE WHEN ms < {found[middle].from_ms} THEN {before} ELSE {after} END"


def _offset_ms(where: ZoneInfo, moment_ms: int) -> int:
    offset = (_EPOCH + timedelta(milliseconds=moment_ms)).astimezone(where).utcoffset()
    assert offset is not None
    return offset // timedelta(milliseconds=1)


def _when(where: ZoneInfo, before_ms: int, after_ms: int) -> int:
    """Find the quarter of an hour in which the offset becomes what it is at `after_ms`."""
    offset_ms = _offset_ms(where, after_ms)
    low, high = before_ms // _QUARTER_MS, -(-after_ms // _QUARTER_MS)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset_ms(where, middle * _QUARTER_MS) == offset_ms:
            high = middle
        else:
            low = middle
    return high * _QUARTER_MS
