"""15-minute UTC buckets, and which local day and hour a bucket belongs to.

Rollups are kept by UTC bucket, so that one set of numbers answers in every IANA zone. A bucket
belongs to the local date and hour of its *start*; `actors.zone` labels raw events by the very same
rule, so a rollup and a query over the raw events agree at every moment.

Nearly always the rule is the clock on the wall, since offsets and changes of the clock fall on
quarters of an hour. Since 1970 they did not in Africa/Monrovia until 1972 (44 minutes 30 seconds
behind) and in Pacific/Kiritimati until 1979 (10 hours 40 minutes behind), nor in the autumn nights
of 1987 to 2010 when Newfoundland, Labrador (America/Goose_Bay) and Moncton went back at 00:01.
There an event less than 15 minutes from midnight may count for the neighbouring day. What stays
exact is that rollups and raw events agree, since both mean the same by "day".
"""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

BUCKET_S: Final = 900
BUCKET_MS: Final = BUCKET_S * 1000

DAY: Final = timedelta(days=1)
HOUR: Final = timedelta(hours=1)

_DAY_S: Final = 86_400
_RULE_DAYS: Final = range(68 * 365)  # 1970 to 2037; from there on every zone's rule repeats itself


def bucket_of(moment_ms: int) -> int:
    """Return the bucket that a moment lies in; before 1970 it is negative."""
    return moment_ms // BUCKET_MS


def buckets_between(from_ms: int, to_ms: int) -> range:
    """Return the buckets that `from_ms <= moment < to_ms` touches."""
    return range(from_ms // BUCKET_MS, -(-to_ms // BUCKET_MS))


@lru_cache(8_192)
def date_of(bucket: int, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(bucket * BUCKET_S, zone).date()


def hour_of(bucket: int, zone: ZoneInfo) -> datetime:
    """Return the local hour of the bucket's start; the hour that is lived twice is one hour."""
    start = datetime.fromtimestamp(bucket * BUCKET_S, zone)
    return datetime(start.year, start.month, start.day, start.hour)  # noqa: DTZ001 - local


def cover(first: datetime, end: datetime, zone: ZoneInfo) -> range:
    """Return a range that holds every bucket whose local start lies in `first <= start < end`.

    It may hold others near its ends, and a day's buckets need not be neighbours, since a clock
    that goes back shows some minutes twice: ask each bucket for its date.
    """
    first_s, end_s = _moments_s(first, zone), _moments_s(end, zone)
    return range(min(first_s) // BUCKET_S, -(-max(end_s) // BUCKET_S))


@lru_cache(1_024)
def cover_date(day: date, zone: ZoneInfo) -> range:
    """Return a range that holds every bucket of a local day, and perhaps a few others."""
    return cover(datetime.combine(day, time()), datetime.combine(day + DAY, time()), zone)


@lru_cache(64)
def rules_of(zone: ZoneInfo) -> str:
    """Name the zone and the rules it has today: a later time zone database may change them."""
    digest = hashlib.blake2b(digest_size=8)
    for day in _RULE_DAYS:
        digest.update(str(datetime.fromtimestamp(day * _DAY_S, zone).utcoffset()).encode())
    return f"{zone.key} {digest.hexdigest()}"


def _moments_s(local: datetime, zone: ZoneInfo) -> list[int]:
    """Return both moments at which the clock may have shown `local`; mostly they are the same."""
    both = (local.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    return [int(moment.astimezone(UTC).timestamp()) for moment in both]
