"""What a tenant forgets: persons who ask for it, and what is older than it keeps anything.

It is planned here, in the turn of the call or the timer that asks; `erasing` does it.
"""

from __future__ import annotations

from calendar import monthrange
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Final

from raydo.actors.buckets import BUCKET_MS, bucket_of, date_of
from raydo.actors.erasures import DONE, EVER_MS, Erased, hash_of, told
from raydo.actors.preferences import preference
from raydo.actors.zone import zone as find_zone
from raydo.pipelining.errors import InvalidArgument, Overloaded
from raydo.pipelining.limits import ERASURES_WAITING_MAX, EVENT_ID_BYTES_MAX, PRESENCE_S

if TYPE_CHECKING:
    from raydo.actors.event import Event
    from raydo.actors.object import DurableObject
    from raydo.actors.state import State

_NOBODY: Final[Erased] = {
    "n": 0,
    "state": DONE,
    "at_ms": 0,
    "done_ms": None,
    "before_ms": None,
    "hashes": [],
    "receipt": {},
}


def erase(state: State, user_id: object) -> Erased:
    """Plan the erasure of a person.

    Raises:
        InvalidArgument: no user id. Overloaded: too many erasures wait.
    """
    if not isinstance(user_id, str) or not 0 < len(user_id.encode()) <= EVENT_ID_BYTES_MAX:
        raise InvalidArgument(f"A user id is text of 1 to {EVENT_ID_BYTES_MAX} bytes.")
    if state.database.path is None:
        return _NOBODY | {"at_ms": state.now_ms}  # there is no such tenant
    return _plan(state, state.rollups().ids(user_id))


def erase_again(state: State, listed: object) -> list[Erased]:
    """Plan the erasures of a list that this copy of the tenant does not have.

    Raises:
        InvalidArgument: it is no list of erasures. Overloaded: too many wait.
    """
    if not isinstance(listed, Sequence) or not all(isinstance(e, Mapping) for e in listed):
        raise InvalidArgument("A list of erasures is what `erasures` gave.")
    rollups = state.rollups()
    names = [row[0] for row in state.database.run("SELECT name FROM _raydo_users")]
    by_hash = {hash_of(state.noun.id, name): name for name in names}
    known = {(each.at_ms, each.hashes) for each in state.erasures.all()}
    planned = []
    for each in listed:
        hashes = tuple(each.get("hashes") or ())
        if (each.get("at_ms"), hashes) in known:
            continue
        found = [by_hash[one] for one in hashes if one in by_hash]
        ids = dict.fromkeys(each for one in found for each in rollups.ids(one))
        if ids:
            planned.append(_plan(state, list(ids)))
    return planned


def erase_everything(state: State, confirm: object) -> bool:
    """Plan the end of the tenant itself; False when there is none.

    Raises:
        InvalidArgument: the tenant's id is not confirmed.
    """
    if confirm != state.noun.id:
        raise InvalidArgument("To erase a tenant, confirm its exact id.")
    if state.database.path is None:
        return False
    state.before_statement()
    state.erasures.plan(state.now_ms, state.audit.by, 0, before_ms=EVER_MS)
    state.database.note_write()
    return True


def expire(state: State) -> bool:
    """Plan that what is older than `retention_months` goes; tell whether anything is kept for a time."""
    months = preference(state, "retention_months")
    if months is None:
        return False
    before_ms = keeps_from_ms(state.now_ms, months, state.zone)
    state.before_statement()
    [(first,)] = state.database.run("SELECT min(bucket) FROM _raydo_buckets")
    if first is not None and first < bucket_of(before_ms) and not state.erasures.count():
        state.erasures.plan(
            state.now_ms, state.audit.by, state.transaction.last_seq, before_ms=before_ms
        )
        state.database.note_write()
    return first is not None


def keeps_from_ms(now_ms: int, months: int, zone: str) -> int:
    """Return when the local day began, so many months ago, with which what is kept begins."""
    where = find_zone(zone)
    today = date_of(bucket_of(now_ms), where)
    year, month = divmod(today.year * 12 + today.month - 1 - months, 12)
    day = min(today.day, monthrange(year, month + 1)[1])
    begin = datetime.combine(date(year, month + 1, day), time(), where)
    return int(begin.timestamp() * 1_000) // BUCKET_MS * BUCKET_MS


def uncount(
    owner: DurableObject, gone: Mapping[str, int], ids: Sequence[str], later: Sequence[Event]
) -> int:
    """Take what is erased out of the counters of an `Analytics`; return how many changed."""
    counters = owner.counters
    changed = sum(counters.delete(f"active:{each}") for each in ids)
    for name, count in gone.items():
        key = f"event:{name}" if counters.get(f"event:{name}") else "event:(other)"
        left = counters.get(key) - count
        changed += counters.incr(key, -count) == left if left > 0 else counters.delete(key)
    again = Counter(each.user_id for each in later if each.user_id is not None)
    for user_id, count in again.items():
        at_ms = max(each.timestamp_ms for each in later if each.user_id == user_id)
        counters.incr(f"active:{user_id}", count, ttl=PRESENCE_S, at_ms=at_ms)
    return changed


def _plan(state: State, ids: Sequence[str]) -> Erased:
    if state.erasures.count() >= ERASURES_WAITING_MAX:
        raise Overloaded(f"{ERASURES_WAITING_MAX:,} erasures wait already.", retry_after_s=60)
    hashes = [hash_of(state.noun.id, each) for each in ids]
    cut_seq = state.transaction.last_seq + state.pipeline.mark()
    planned = state.erasures.plan(state.now_ms, state.audit.by, cut_seq, ids=ids, hashes=hashes)
    state.database.note_write()
    state.audit.note("erasure_planned", {"n": planned.n, "hashes": hashes})
    return told(planned)
