"""Erasures inside the tenant's turns: each step is one turn of the object's own, so all of it or nothing.

The rows leave SQLite, and the rollups become less by them and by what the archive has, in one
transaction: from then on only queries over the archive still see the person, until its files are
written anew. What has arrived since the plan is taken out with the rest and put in again at once, as
what it is: somebody new.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Final, Protocol

from raydo.actors.audit import FLOOR
from raydo.actors.buckets import bucket_of, date_of
from raydo.actors.erasures import (
    DONE,
    PLANNED,
    RESTATED,
    REWRITTEN,
    Erasure,
    hash_of,
    marks,
)
from raydo.actors.event import BOT, Event
from raydo.actors.links import links_of
from raydo.actors.rollups import RolledEvent
from raydo.actors.zone import zone as find_zone

if TYPE_CHECKING:
    from raydo.actors.eraser import Found
    from raydo.actors.lake_persons import Visit
    from raydo.actors.state import State

_EVENT: Final = """id, event, user_id, anonymous_id, timestamp, received_at, properties, context,
    flags"""

Gone = Mapping[str, int]  # how many events of each name


class Counting(Protocol):
    """An object that counts what it has; called when some of it goes."""

    def uncount(self, gone: Gone, ids: Sequence[str], later: Sequence[Event]) -> int:
        """Take out of the counters what is gone, and whose it was; say how many changed."""
        ...


def others(state: State, erasure: Erasure) -> tuple[str, ...]:
    """List who shares rows with the person, in the database: a device, before it was the person's."""
    if not erasure.ids:
        return ()
    asked = marks(erasure.ids)
    rows = state.database.run(
        f"SELECT DISTINCT user_id FROM raw_events WHERE anonymous_id IN ({asked})"  # noqa: S608
        f" AND user_id NOT IN ({asked}) AND seq <= ?",
        (*erasure.ids, *erasure.ids, erasure.cut_seq),
    )
    return tuple(row[0] for row in rows)


def settle(state: State, owner: Any, found: Found | None) -> None:
    """Do the next step of the erasure that is next, in a turn of its own."""
    if found is None:
        return
    erasure = state.erasures.get(found.n)
    if erasure.state == PLANNED:
        step = partial(_restate, state, owner, erasure, found)
        state.call(step)
    elif erasure.state == RESTATED:
        assert found.changed is not None
        state.call(partial(_rewritten, state, erasure, found.changed))


def finish(state: State, _owner: object) -> None:
    """Note that no byte is left of those that are rewritten, and tell it."""
    state.call(partial(_finish, state))


def _finish(state: State) -> None:
    state.before_statement()
    for erasure in state.erasures.all():
        if erasure.state == REWRITTEN:
            state.erasures.move(erasure.n, DONE, {}, done_ms=state.now_ms)
            detail = {"n": erasure.n, "planned_by": erasure.by, **erasure.receipt}
            if erasure.before_ms is None:
                state.audit.note("erased", {**detail, "hashes": list(erasure.hashes)})
            else:
                state.audit.note("expired", {**detail, "before_ms": erasure.before_ms})
    state.database.note_write()


def _rewritten(state: State, erasure: Erasure, changed: Mapping[str, int]) -> None:
    state.before_statement()
    state.erasures.move(erasure.n, REWRITTEN, changed, ids=None)
    state.database.note_write()


def _restate(state: State, owner: Any, erasure: Erasure, found: Found) -> None:
    rollups = state.rollups()
    if erasure.before_ms is not None:
        receipt = _expire(state, erasure.before_ms)
    else:
        ids = rollups.ids(erasure.ids[0])
        if set(ids) - set(found.ids):  # others turned out to be the same person meanwhile
            hashes = [hash_of(state.noun.id, each) for each in ids]
            more = {"ids": json.dumps(ids), "hashes": json.dumps(hashes)}
            state.erasures.move(erasure.n, PLANNED, {}, **more)
            state.database.note_write()
            return
        receipt = _erase(state, owner, erasure, found)
    rollups.materialise(state.zone)
    state.erasures.move(erasure.n, RESTATED, receipt)
    state.database.note_write()


def _erase(state: State, owner: Any, erasure: Erasure, found: Found) -> dict[str, int]:
    """Take a person's rows out of SQLite, the rollups, the counters and the kept replies."""
    database, ids = state.database, erasure.ids
    asked = marks(ids)
    whose = f"(user_id IN ({asked}) OR anonymous_id IN ({asked}))"
    select = f"SELECT {_EVENT} FROM raw_events WHERE {whose} AND seq"  # noqa: S608
    gone = _events(database.run(f"{select} <= ?", (*ids, *ids, erasure.cut_seq)))
    later = _events(database.run(f"{select} > ? ORDER BY seq", (*ids, *ids, erasure.cut_seq)))
    there = found.traces
    archived = {} if there is None else there.gone
    sharing = {each.user_id for each in gone} | {user for _, _, user, _ in archived}
    sharing -= {*ids, None}
    database.run(
        f"DELETE FROM raw_events WHERE {whose} AND seq <= ?",  # noqa: S608
        (*ids, *ids, erasure.cut_seq),
    )
    stay = {} if there is None else there.stay
    state.transaction.rollups.erase(
        ids[0],
        chain(_rolled(gone), _rolled(later), _many(archived)),
        chain(_staying(state, sharing), _many(dict.fromkeys(stay, 1))),
    )
    if later:
        state.transaction.rollups.apply(_rolled(later), links_of(later))
    state.pipeline.identities.forget(ids)
    names = Counter(each.event for each in gone)
    for (_, event, _, _), count in archived.items():
        names[event] += count
    counters = owner.uncount(names, ids, later) if hasattr(owner, "uncount") else 0
    buckets = {bucket_of(each.timestamp_ms) for each in gone} | {
        bucket_of(ms) for ms, _, _, _ in archived
    }
    return {
        "rows": len(gone),
        "buckets": len(buckets),
        "counters": counters,
        "replies": _forget_replies(state, ids),
    }


def _expire(state: State, before_ms: int) -> dict[str, int]:
    """Take what is older than a moment out of SQLite and the rollups, and the audit log."""
    database = state.database
    [(rows,)] = database.run("SELECT count(*) FROM raw_events WHERE timestamp < ?", (before_ms,))
    database.run("DELETE FROM raw_events WHERE timestamp < ?", (before_ms,))
    day = date_of(bucket_of(before_ms), find_zone(state.zone))
    buckets = state.transaction.rollups.expire(before_ms, day)
    state.pipeline.identities.forget()  # some links went; what is left is all in the database
    state.meta.set(FLOOR, before_ms)
    database.run("INSERT OR REPLACE INTO _raydo_meta VALUES (?, ?)", (FLOOR, before_ms))
    return {"rows": rows, "buckets": buckets, "audit": state.audit.expire(before_ms)}


def _staying(state: State, sharing: set[Any]) -> Iterator[RolledEvent]:
    """Give the rows, of whoever shared some with the person, that stay."""
    for user_id in sorted(sharing):
        rows = state.database.run(
            "SELECT timestamp, event, user_id, flags FROM raw_events WHERE user_id = ?", (user_id,)
        )
        for timestamp_ms, event, user, flags in rows:
            yield RolledEvent(timestamp_ms, event, user, bool(flags & BOT))


def _forget_replies(state: State, ids: Sequence[str]) -> int:
    """Forget the kept replies that name the person: a retry hears that it was applied."""
    found = 0
    for each in ids:
        named = "instr(reply, CAST(? AS BLOB)) > 0"
        [(count,)] = state.database.run(
            f"SELECT count(*) FROM _raydo_replies WHERE {named}",  # noqa: S608
            (each,),
        )
        state.database.run(
            f"UPDATE _raydo_replies SET reply = NULL WHERE {named}",  # noqa: S608
            (each,),
        )
        found += count
    return found


def _events(rows: Sequence[Sequence[Any]]) -> list[Event]:
    return [Event(*row) for row in rows]


def _rolled(events: Sequence[Event]) -> list[RolledEvent]:
    return [
        RolledEvent(each.timestamp_ms, each.event, each.user_id, bool(each.flags & BOT))
        for each in events
    ]


def _many(visits: Mapping[Visit, int]) -> Iterator[RolledEvent]:
    return chain.from_iterable(
        repeat(RolledEvent(*visit), count) for visit, count in visits.items()
    )
