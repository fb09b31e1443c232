"""Write what turns changed into the open transaction: events, rollups, ids, counters, timers, letters, jobs, sessions.

All of it moves together, or nothing does. Several turns are written as one: the events of all, and
of everything that has one value the latest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from raydo.actors import audit, jobs, outgoing
from raydo.actors.event import BOT
from raydo.actors.links import links_of
from raydo.actors.rollups import RolledEvent
from raydo.pipelining.limits import SESSION_REPLIES_MAX, SESSIONS_MAX

if TYPE_CHECKING:
    from raydo.actors.database import Database
    from raydo.actors.effects import Effects, Emitted
    from raydo.actors.idset import IdSet
    from raydo.actors.rollups import Rollups

_EVENT: Final = """INSERT INTO raw_events (
    seq, id, event, user_id, anonymous_id, timestamp, received_at, properties, context, flags,
    stream, appended_at
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_FORGET_SESSIONS: Final = """DELETE FROM _raydo_sessions WHERE session IN (
    SELECT session FROM _raydo_sessions ORDER BY used_ms DESC LIMIT -1 OFFSET ?
)"""
_FORGET_REPLIES: Final = """DELETE FROM _raydo_replies
    WHERE session NOT IN (SELECT session FROM _raydo_sessions)"""


class Ground(NamedTuple):
    """Where effects are written."""

    database: Database
    rollups: Rollups
    ids: IdSet


def write(ground: Ground, turns: Sequence[Effects]) -> None:
    """Write the effects of turns, in order, into the open transaction."""
    for effects in turns:
        _insert(ground.database, effects.first_seq, effects.events, effects.now_ms)
    _roll_up(ground.rollups, [each for effects in turns for each in effects.events])
    for day, same_day in groupby(turns, key=lambda effects: effects.day):
        ground.ids.drain([key for effects in same_day for key in effects.seen], day)
    _write_rows(ground.database, turns)


def write_events(ground: Ground, first_seq: int, events: Sequence[Emitted], now_ms: int) -> None:
    """Write events, numbered from `first_seq`, and nothing else that came with them."""
    _insert(ground.database, first_seq, events, now_ms)
    _roll_up(ground.rollups, events)


def forget_sessions(database: Database) -> None:
    """Drop the sessions that were not used for longest, beyond SESSIONS_MAX."""
    [(count,)] = database.run("SELECT count(*) FROM _raydo_sessions")
    if count > SESSIONS_MAX:
        database.run(_FORGET_SESSIONS, (SESSIONS_MAX,))
        database.run(_FORGET_REPLIES)


def _insert(database: Database, first_seq: int, events: Sequence[Emitted], now_ms: int) -> None:
    if events:
        numbered = enumerate(events, first_seq)
        rows = ((seq, *event, stream, now_ms) for seq, (event, stream) in numbered)
        database.run_many(_EVENT, rows)


def _roll_up(rollups: Rollups, events: Sequence[Emitted]) -> None:
    if events:
        rollups.apply(
            [
                RolledEvent(event.timestamp_ms, event.event, event.user_id, bool(event.flags & BOT))
                for event, _ in events
            ],
            links_of(event for event, _ in events),
        )


def _write_rows(database: Database, turns: Sequence[Effects]) -> None:
    counters = dict(row for effects in turns for row in effects.counters)
    timers = dict(row for effects in turns for row in effects.timers)
    for statement, rows in (
        ("INSERT OR REPLACE INTO _raydo_counters VALUES (?, ?)", _kept(counters)),
        ("DELETE FROM _raydo_counters WHERE key = ?", _gone(counters)),
        (
            "INSERT OR REPLACE INTO _raydo_meta VALUES (?, ?)",
            [fact for effects in turns for fact in effects.facts],
        ),
        (
            "INSERT OR REPLACE INTO _raydo_timers VALUES (?, ?, ?, ?, ?, ?, ?)",
            [timer for timer in timers.values() if timer is not None],
        ),
        ("DELETE FROM _raydo_timers WHERE name = ?", _gone(timers)),
        (
            "INSERT OR REPLACE INTO _raydo_replies VALUES (?, ?, ?)",
            [reply for effects in turns for reply in effects.replies],
        ),
    ):
        if rows:
            database.run_many(statement, rows)
    outgoing.write(database, [row for effects in turns for row in effects.outgoing])
    jobs.write(database, (row for effects in turns for row in effects.jobs))
    audit.write(database, [row for effects in turns for row in effects.audit])
    _write_sessions(database, turns)


def _kept(rows: dict[str, bytes | None]) -> Sequence[tuple[Any, ...]]:
    return [row for row in rows.items() if row[1] is not None]


def _gone(rows: Mapping[str, object]) -> Sequence[tuple[Any, ...]]:
    return [(key,) for key, row in rows.items() if row is None]


def _write_sessions(database: Database, turns: Sequence[Effects]) -> None:
    sessions = {
        name: (last, acked, effects.now_ms)
        for effects in turns
        for name, last, acked in effects.sessions
    }
    if not sessions:
        return
    database.run_many(
        "INSERT OR REPLACE INTO _raydo_sessions VALUES (?, ?, ?, ?)",
        [(name, *session) for name, session in sessions.items()],
    )
    database.run_many(
        "DELETE FROM _raydo_replies WHERE session = ? AND n <= ?",
        [
            (name, max(acked, last - SESSION_REPLIES_MAX))
            for name, (last, acked, _) in sessions.items()
        ],
    )
