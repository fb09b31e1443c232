"""The numbers of a metric from the rollups: as exact as a scan of the events, and without one.

They are the rows that `series.statement` would give. What the rollups cannot tell is left to it:
they have counts by event and bucket, users by bucket, and know of bots only in all.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, Final

from pyroaring import BitMap

from raydo.actors.active import ActiveDay, active_days
from raydo.actors.buckets import bucket_of, date_of
from raydo.actors.database import Database
from raydo.actors.event_names import OTHER_EVENTS
from raydo.actors.periods import Range
from raydo.actors.series import ALL, REST
from raydo.actors.series_plan import WHOLE, Plan
from raydo.actors.usersets import UserSets

Row = dict[str, Any]


class Rolled:
    """Answer metrics from one tenant's buckets."""

    def __init__(self, database: Database, sets: UserSets) -> None:
        self._database = database
        self._sets = sets

    def series(self, plan: Plan) -> list[Row] | None:
        """Give the numbers of `timeseries` without a breakdown, or None when only events tell."""
        if plan.filters or plan.breakdown is not None:
            return None
        if plan.event is not None and (plan.metric == "users" or not plan.bots):
            return None
        name = self._name(plan.event)
        if plan.event is not None and name is None and self._unknown():
            return None
        rows: list[Row] = []
        for span, each in plan.spans:
            numbers = (
                self._users(each, bots=plan.bots)
                if plan.metric == "users"
                else self._events(each, plan, name)
            )
            rows += (
                {"span": span, "period": period, "mark": ALL, "n": n}
                for period, n in numbers.items()
            )
        return rows

    def top(self, plan: Plan) -> list[Row] | None:
        """Give the numbers of `top` by event, or None when only events tell."""
        if plan.breakdown != "event" or plan.metric != "events" or plan.filters or not plan.bots:
            return None
        if plan.event is not None or self._unknown():
            return None
        counts: Counter[str] = Counter()
        for bucket, event, events in self._database.run(_BY_NAME, _ends(plan.range)):
            if plan.range.first <= date_of(bucket, plan.range.zone) <= plan.range.last:
                counts[event] += events
        order = sorted(counts.items(), key=lambda each: (-each[1], each[0].encode()))
        listed, rest = order[: plan.values], order[plan.values :]
        [(span, _)] = plan.spans
        marked = [(f"={event}", n) for event, n in listed]
        marked += [(REST, sum(n for _, n in rest))] if rest else []
        marked += [(ALL, counts.total())]
        return [{"span": span, "period": WHOLE, "mark": mark, "n": n} for mark, n in marked]

    def active(self, days: Range, window: str, now_ms: int, *, bots: bool) -> list[ActiveDay]:
        """Count the active persons of each day; see `active_days`."""
        today = date_of(bucket_of(now_ms), days.zone)
        return active_days(self._sets, days, window, today, bots=bots is not False)

    def _events(self, span: Range, plan: Plan, name: int | None) -> Counter[str]:
        counts: Counter[str] = Counter({WHOLE: 0})
        if plan.event is None:
            rows = self._database.run(_ALL, _ends(span))
        else:
            rows = self._database.run(_OF_ONE, (*_ends(span), -1 if name is None else name))
        for bucket, events, of_bots in rows:
            if span.first <= date_of(bucket, span.zone) <= span.last:
                n = events if plan.bots else events - of_bots
                counts[span.label(bucket)] += n
                counts[WHOLE] += n
        return counts

    def _users(self, span: Range, *, bots: bool) -> dict[str, int]:
        whole = BitMap()
        found = {}
        for label, users in _by_period(self._sets, span, bots=bots):
            found[label] = len(users)
            whole |= users
        return {**found, WHOLE: len(whole)}

    def _name(self, event: str | None) -> int | None:
        rows = self._database.run(
            "SELECT id FROM _raydo_names WHERE name = ? AND id <> 0", (event,)
        )
        return rows[0][0] if rows else None

    def _unknown(self) -> bool:
        """Say whether there are more event names than are counted apart."""
        rows = self._database.run(
            "SELECT 1 FROM _raydo_counts WHERE name = ? LIMIT 1", (OTHER_EVENTS,)
        )
        return bool(rows)


def _by_period(sets: UserSets, span: Range, *, bots: bool) -> Iterator[tuple[str, BitMap]]:
    """Give each period's users; a clock that goes back may visit a period twice, near in time."""
    periods: defaultdict[str, BitMap] = defaultdict(BitMap)
    for bucket, users in sets.read(span.buckets, bots=bots):
        if span.first <= date_of(bucket, span.zone) <= span.last:
            periods[span.label(bucket)] |= users
    yield from periods.items()


def _ends(span: Range) -> tuple[int, int]:
    return span.buckets.start, span.buckets.stop


_ALL: Final = "SELECT bucket, events, bots FROM _raydo_buckets WHERE bucket >= ? AND bucket < ?"
_OF_ONE: Final = """SELECT bucket, events, 0 FROM _raydo_counts
    WHERE bucket >= ? AND bucket < ? AND name = ?"""
_BY_NAME: Final = """SELECT bucket, _raydo_names.name, events FROM _raydo_counts
    JOIN _raydo_names ON id = _raydo_counts.name WHERE bucket >= ? AND bucket < ?"""
