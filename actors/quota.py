"""How many events a tenant may send: so many a second, and so many a month.

Both are bounded where the events are counted, in the tenant's own turn, so they are exact however
many gateways there are, whatever crashes. Only new events count, never those that were sent before.
A batch is taken whole or refused whole: whoever was refused sends the same again later.

The bound by the second is a bucket that refills evenly and holds QUOTA_BURST_S seconds' worth. A
batch larger than that is let in when the bucket is full, and the next has to wait for all of it, so
nobody's batch is refused for ever. Months are those of UTC. What is counted is kept as two counters,
`quota:until_us`, when the bucket will be full again, and `quota:month:2026-11`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal, TypedDict

from raydo.actors.preferences import preference
from raydo.pipelining.errors import QuotaExceeded
from raydo.pipelining.limits import QUOTA_BURST_S, QUOTA_MONTH_KEPT_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raydo.actors.counters import Counters
    from raydo.actors.state import State

_UNTIL: Final = "quota:until_us"
_MONTH: Final = "quota:month:"
_ROOM_US: Final = QUOTA_BURST_S * 1_000_000


class Quota(TypedDict):
    """One bound: `remaining` events may come now, and at `reset_ms` it is whole again."""

    quota: Literal["events_per_second", "events_per_month"]
    limit: int
    remaining: int
    reset_ms: int


def spend(state: State, counters: Counters, events: int) -> Quota | None:
    """Count new events on the quotas; tell the tighter one, None where there is none.

    Raises:
        QuotaExceeded: one has no room for all of them.
    """
    found = list(_spent(state, counters, events))
    return min(found, key=lambda quota: quota["remaining"] / quota["limit"], default=None)


def _spent(state: State, counters: Counters, events: int) -> Iterator[Quota]:
    per_month = preference(state, "events_per_month")
    if per_month is not None:
        yield _spend_month(counters, state.now_ms, per_month, events)
    per_second = preference(state, "events_per_second")
    if per_second is not None:
        yield _spend_second(counters, state.now_ms, per_second, events)


def _spend_month(counters: Counters, now_ms: int, limit: int, events: int) -> Quota:
    now = datetime.fromtimestamp(now_ms / 1_000, UTC)
    following = datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)
    key = f"{_MONTH}{now:%Y-%m}"
    used = int(counters.get(key))
    reset_ms = int(following.timestamp() * 1_000)
    quota: Quota = {
        "quota": "events_per_month",
        "limit": limit,
        "remaining": max(0, limit - used),
        "reset_ms": reset_ms,
    }
    if events and used + events > limit:
        raise _exceeded(quota, reset_ms - now_ms, f"{limit:,} events a month", events)
    if events:
        counters.incr(key, events, ttl=QUOTA_MONTH_KEPT_S)
    return {**quota, "remaining": max(0, limit - used - events)}


def _spend_second(counters: Counters, now_ms: int, limit: int, events: int) -> Quota:
    """Let the bucket's time run ahead of the clock by what was sent."""
    now_us, kept_us = now_ms * 1_000, int(counters.get(_UNTIL))
    until_us = max(kept_us, now_us)
    free_us = _ROOM_US - (until_us - now_us)
    needed_us = -(-events * 1_000_000 // limit)
    lacking_us = min(needed_us, _ROOM_US) - free_us
    if events and lacking_us > 0:
        quota = _bucket(limit, until_us, now_us)
        raise _exceeded(quota, lacking_us / 1_000, f"{limit:,} events a second", events)
    if events:
        until_us += needed_us
        counters.incr(_UNTIL, until_us - kept_us)
    return _bucket(limit, until_us, now_us)


def _bucket(limit: int, until_us: int, now_us: int) -> Quota:
    free_us = _ROOM_US - (until_us - now_us)
    return {
        "quota": "events_per_second",
        "limit": limit,
        "remaining": max(0, free_us * limit // 1_000_000),
        "reset_ms": -(-until_us // 1_000),
    }


def _exceeded(quota: Quota, wait_ms: float, words: str, events: int) -> QuotaExceeded:
    return QuotaExceeded(
        f"This tenant's quota is {words}; {events:,} more are too many now. None was taken.",
        detail=dict(quota),
        retry_after_s=wait_ms / 1_000,
    )
