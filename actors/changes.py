"""What happened to a tenant since a moment that a cursor names: how a subscriber keeps up.

A cursor is a seq. Seqs are given out in the order of the turns and an answer leaves when its turn is
on disk, so whoever asks with the cursor of the last answer misses nothing, sees nothing twice and
never sees what a crash could take back. An event that came too late has a later seq, whatever its
timestamp. Counters come as values, not as increments: they may be set again and again.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, TypedDict

from raydo.actors.lake_runs import PLANNED
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.limits import CHANGES_EVENTS_MAX

if TYPE_CHECKING:
    from raydo.actors.analytics import Analytics

CHANGES_MAX: Final = CHANGES_EVENTS_MAX

_SELECT: Final = """SELECT seq, id, event, user_id, anonymous_id, timestamp, received_at, properties
    FROM raw_events WHERE seq > ? ORDER BY seq LIMIT ?"""


class Changed(TypedDict):
    """One event, as it was recorded; times are UTC milliseconds."""

    seq: int
    id: str
    event: str
    userId: str | None
    anonymousId: str | None
    timestamp: int
    receivedAt: int
    properties: dict[str, Any]


class Changes(TypedDict):
    """What came after a cursor; `more` when there is more than this."""

    cursor: int
    events: list[Changed]
    counters: dict[str, int | float]
    more: bool


def changes(tenant: Analytics, since: int | None, limit: int) -> Changes:
    """List what came after a cursor.

    Raises:
        InvalidArgument: no cursor or limit, or the events after it are in the archive by now.
    """
    state = tenant._state
    last = state.transaction.last_seq + state.pipeline.mark()
    if state.database.path is None:
        last = 0  # a tenant that has not begun to exist gives its seqs out again when it does
    start = last if since is None else _checked(since, last)
    if not isinstance(limit, int) or not 0 < limit <= CHANGES_MAX:
        raise InvalidArgument(f"limit is a whole number from 1 to {CHANGES_MAX}, not {limit!r}.")
    events: list[Changed] = []
    if start < last:
        _check_kept(tenant, start)
        events = [_changed(row) for row in tenant.sql(_SELECT, start, limit + 1)]
    more = len(events) > limit
    del events[limit:]
    stats = tenant.stats()
    counters = {f"event:{name}": count for name, count in stats["events"].items()}
    active = {f"active_{window}": count for window, count in stats["active"].items()}
    return {
        "cursor": events[-1]["seq"] if more else last,
        "events": events,
        "counters": {**counters, **active, **stats["counters"]},
        "more": more,
    }


def _checked(since: object, last: int) -> int:
    if not isinstance(since, int) or isinstance(since, bool) or not 0 <= since <= last:
        raise InvalidArgument(f"A cursor is the number that an earlier answer gave, not {since!r}.")
    return since


def _check_kept(tenant: Analytics, since: int) -> None:
    """Refuse a cursor before the end of what the archive took: its rows are not here any more."""
    runs = [run for run in tenant._state.runs.list() if run.state != PLANNED]
    archived = max((run.last_seq or 0 for run in runs), default=0)
    if archived > since:
        raise InvalidArgument(
            f"Events after {since} are in the archive, up to {archived}: query those, and go on "
            f"from there.",
            detail={"cursor": archived},
        )


def _changed(row: Any) -> Changed:
    return {
        "seq": row["seq"],
        "id": row["id"],
        "event": row["event"],
        "userId": row["user_id"],
        "anonymousId": row["anonymous_id"],
        "timestamp": row["timestamp"],
        "receivedAt": row["received_at"],
        "properties": json.loads(row["properties"]),
    }
