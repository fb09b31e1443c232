"""All of a tenant's events on their way out: what there is, and one stretch of it after the other.

An export ends where the tenant was when it began: at a seq. Rows up to there never change, wherever
an archive run takes them meanwhile, so the stretches together are what one long transaction would
have read, though each is a query of its own, beside the turns, which holds nothing up. Only who is
erased meanwhile is missing from the rest. A stretch is so many seqs, since that is what the archive's
row groups can be skipped by.
"""

from __future__ import annotations

from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any, Final, TypedDict
from zoneinfo import ZoneInfo

from raydo.actors.buckets import DAY, buckets_between
from raydo.actors.zone import parse_date
from raydo.actors.zone import zone as find_zone
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.limits import EXPORT_STRETCH_SEQS

if TYPE_CHECKING:
    from raydo.actors.asks import Ask
    from raydo.actors.state import State

_EVER: Final = 2**53
_ROWS: Final = """SELECT seq, id, event, user_id, anonymous_id, timestamp, received_at, properties,
    context, flags FROM events
    WHERE seq > ? AND seq <= ? AND timestamp >= ? AND timestamp < ? ORDER BY seq"""


class Plan(TypedDict):
    """What an export takes: seqs up to `cut_seq`, and timestamps from `from_ms` to before `to_ms`."""

    cut_seq: int
    from_ms: int
    to_ms: int
    events: int


def plan(state: State, since: str | None, to: str | None, tz: str | None) -> Plan:
    """Say what an export of the days from `since` to `to`, both included, has to take.

    Raises:
        InvalidArgument: no such date or zone.
    """
    zone = find_zone(tz or state.zone)
    state.before_statement()
    from_ms = 0 if since is None else _begin_ms(parse_date(since), zone)
    to_ms = _EVER if to is None else _begin_ms(parse_date(to) + DAY, zone)
    buckets = buckets_between(from_ms, max(from_ms, to_ms))
    [(events,)] = state.database.run(
        "SELECT coalesce(sum(events), 0) FROM _raydo_buckets WHERE bucket >= ? AND bucket < ?",
        (buckets.start, buckets.stop),
    )
    return {
        "cut_seq": state.transaction.last_seq + state.pipeline.mark(),
        "from_ms": from_ms,
        "to_ms": to_ms,
        "events": events,
    }


def end_of(after_seq: int, made: Plan) -> int:
    """Say with which seq the stretch ends that begins after `after_seq`."""
    return min(after_seq + EXPORT_STRETCH_SEQS, made["cut_seq"])


def stretch(after_seq: object, made: object) -> Ask:
    """Ask for the rows after `after_seq`, as far as a stretch goes.

    Raises:
        InvalidArgument: it is no plan.
    """
    from raydo.actors.asks import Ask  # a client has not what it needs

    wanted = made if isinstance(made, dict) else {}
    numbers: list[Any] = [
        after_seq,
        *(wanted.get(name) for name in ("cut_seq", "from_ms", "to_ms")),
    ]
    if any(not isinstance(n, int) or isinstance(n, bool) or not 0 <= n <= _EVER for n in numbers):
        raise InvalidArgument("A stretch of an export begins at a seq, and has the export's plan.")
    after, cut_seq, from_ms, to_ms = numbers
    end = min(after + EXPORT_STRETCH_SEQS, cut_seq)
    return Ask(_ROWS, [after, end, from_ms, to_ms], EXPORT_STRETCH_SEQS)


def _begin_ms(day: date, zone: ZoneInfo) -> int:
    return int(datetime.combine(day, time(), zone).timestamp() * 1_000)
