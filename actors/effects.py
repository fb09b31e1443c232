"""What a turn changed, as plain data, and the one place that writes it.

Running programs and committing what they did are kept apart. The first fills an `Effects` and
touches no disk; the second writes it, with whatever the object's own SQL left in the open
transaction. A log in front of the database would carry `Effects` and write them here when it
drains.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from raydo.actors.database import Database
from raydo.actors.pipeline import Emitted
from raydo.pipelining.limits import DEDUPE_DAYS, SESSION_REPLIES_MAX, SESSIONS_MAX

DAY_MS: Final = 86_400_000

_EVENT: Final = """INSERT INTO raw_events (
    seq, id, event, user_id, anonymous_id, timestamp, received_at, properties, context, flags,
    stream
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_FORGET_SESSIONS: Final = """DELETE FROM _raydo_sessions WHERE session IN (
    SELECT session FROM _raydo_sessions ORDER BY used_ms DESC LIMIT -1 OFFSET ?
)"""

_FORGET_REPLIES: Final = """DELETE FROM _raydo_replies
    WHERE session NOT IN (SELECT session FROM _raydo_sessions)"""


class Effects(NamedTuple):
    """Everything that one turn adds to a tenant, apart from its object's own SQL."""

    now_ms: int
    first_seq: int  # of the events
    events: Sequence[Emitted]
    seen: Sequence[tuple[bytes, int]]
    counters: Sequence[tuple[str, bytes | None]]  # None deletes
    facts: Sequence[tuple[str, Any]]
    timers: Sequence[tuple[Any, ...]]
    sessions: Sequence[tuple[bytes, int, int]]
    replies: Sequence[tuple[bytes, int, bytes | None]]


def write(database: Database, effects: Effects) -> None:
    """Write a turn's effects into the open transaction, which the caller then commits."""
    write_events(database, effects.first_seq, effects.events)
    for statement, rows in (
        ("INSERT OR REPLACE INTO _raydo_seen_ids VALUES (?, ?)", effects.seen),
        ("INSERT OR REPLACE INTO _raydo_counters VALUES (?, ?)", _kept(effects.counters)),
        ("DELETE FROM _raydo_counters WHERE key = ?", _gone(effects.counters)),
        ("INSERT OR REPLACE INTO _raydo_meta VALUES (?, ?)", effects.facts),
        ("INSERT OR REPLACE INTO _raydo_timers VALUES (?, ?, ?, ?)", effects.timers),
        ("INSERT OR REPLACE INTO _raydo_replies VALUES (?, ?, ?)", effects.replies),
    ):
        if rows:
            database.run_many(statement, rows)
    if effects.sessions:
        _write_sessions(database, effects)


def write_events(database: Database, first_seq: int, events: Sequence[Emitted]) -> None:
    """Write events as rows, numbered from `first_seq`, into the open transaction."""
    if events:
        rows = ((seq, *event, stream) for seq, (event, stream) in enumerate(events, first_seq))
        database.run_many(_EVENT, rows)


def _kept(rows: Sequence[tuple[str, bytes | None]]) -> list[tuple[str, bytes | None]]:
    return [row for row in rows if row[1] is not None]


def _gone(rows: Sequence[tuple[str, bytes | None]]) -> list[tuple[str]]:
    return [(key,) for key, row in rows if row is None]


def _write_sessions(database: Database, effects: Effects) -> None:
    database.run_many(
        "INSERT OR REPLACE INTO _raydo_sessions VALUES (?, ?, ?, ?)",
        [(*session, effects.now_ms) for session in effects.sessions],
    )
    database.run_many(
        "DELETE FROM _raydo_replies WHERE session = ? AND n <= ?",
        [(name, max(acked, last - SESSION_REPLIES_MAX)) for name, last, acked in effects.sessions],
    )


def tidy(database: Database, now_ms: int) -> None:
    """Drop what no longer matters: message ids past their window, the oldest sessions."""
    oldest_day = now_ms // DAY_MS - DEDUPE_DAYS
    database.run("DELETE FROM _raydo_seen_ids WHERE day < ?", (oldest_day,))
    database.run(_FORGET_SESSIONS, (SESSIONS_MAX,))
    if database.run("SELECT changes()")[0][0]:
        database.run(_FORGET_REPLIES)
