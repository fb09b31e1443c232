"""One person's events, newest first, a page at a time, wherever they are kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from raydo.actors.selection import PERSON, Bindings
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.limits import TIMELINE_EVENTS_MAX

_MOMENT_MAX: Final = 2**53

_IDS_MAX: Final = 50  # of a person, before its events are found by who they are now


def statement(
    ids: Sequence[str], first_ms: int, before: tuple[int, int], limit: int
) -> tuple[str, dict[str, str | int]]:
    """Write the statement for the newest `limit` events of a person, whose own id is the first."""
    bindings = Bindings()
    first, moment, seq = (bindings.add(value) for value in (first_ms, *before))
    if len(ids) <= _IDS_MAX:  # which spares a look at each event's person
        whose = f"user_id IN ({', '.join(map(bindings.add, ids))})"
    else:
        whose = f"{PERSON} = {bindings.add(ids[0])}"
    sql = f"""SELECT seq, id, event, user_id, anonymous_id, timestamp, received_at,
            properties, context, flags
        FROM events WHERE timestamp >= {first} AND timestamp <= {moment} AND {whose}
            AND (timestamp < {moment} OR seq < {seq})
        ORDER BY timestamp DESC, seq DESC LIMIT {limit}"""  # noqa: S608 - values are bound
    return sql, bindings.values


def parse_before(before: object) -> tuple[int, int]:
    """Read where a page begins: a moment, or the `next` of the page before it; by default now.

    Raises:
        InvalidArgument: neither.
    """
    if before is None:
        return _MOMENT_MAX, _MOMENT_MAX
    moment, _, seq = str(before).partition(".")
    if isinstance(before, int | str) and moment.isdecimal() and (seq or "0").isdecimal():
        found = int(moment), int(seq or 0)
        if max(found) <= _MOMENT_MAX and not isinstance(before, bool):
            return found
    raise InvalidArgument(
        f"before is a moment in milliseconds, or the `next` of a page, not {before!r:.40}."
    )


def check_limit(limit: object) -> int:
    """Refuse what is no length of a page.

    Raises:
        InvalidArgument: it is none.
    """
    whole = isinstance(limit, int) and not isinstance(limit, bool)
    if not whole or not 0 < limit <= TIMELINE_EVENTS_MAX:  # type: ignore[operator]  # whole
        raise InvalidArgument(f"limit is from 1 to {TIMELINE_EVENTS_MAX}, not {limit!r:.40}.")
    return int(limit)  # type: ignore[call-overload,no-any-return]


def shape(plan: Mapping[str, Any], reply: Mapping[str, Any]) -> dict[str, Any]:
    """Make the reply of `timeline` of its rows, of which there is one more than a page has."""
    rows, limit = reply["rows"], plan["limit"]
    shown = rows[:limit]
    # A row of many bytes may cut a page short; it goes on behind what is shown.
    more = len(rows) > limit or (reply["truncated"] and bool(shown))
    last = shown[-1] if shown else None
    return {
        "layer": reply["layer"],
        "user_id": plan["user_id"],
        "person_id": plan["ids"][0],
        "ids": plan["ids"],
        "events": [_told(row) for row in shown],
        "next": f"{last['timestamp']}.{last['seq']}" if more and last else None,
    }


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "seq": row["seq"],
        "id": row["id"],
        "event": row["event"],
        "userId": row["user_id"],
        "anonymousId": row["anonymous_id"],
        "timestamp": row["timestamp"],
        "receivedAt": row["received_at"],
        "properties": json.loads(row["properties"]),
        "context": None if row["context"] is None else json.loads(row["context"]),
        "bot": bool(row["flags"] & 2),
    }
