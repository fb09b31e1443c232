"""Events or users over time, in all and by the most frequent values of a property.

One statement answers: each row is a number, of a span (the range or the one before it), a period
and a key. What stands for "all" and "none" is told from any value by its first character. Where the
rollups know the numbers they write the same rows, so both make one reply.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypedDict

from raydo.actors.periods import Range
from raydo.actors.selection import HUMANS, PERSON, Bindings, condition, dimension
from raydo.actors.series_plan import CURRENT, MEASURES, PREVIOUS, WHOLE, Plan, plan_of
from raydo.pipelining.errors import QueryLimit
from raydo.pipelining.limits import QUERY_ROWS_MAX

ALL: Final = "+"  # instead of a key: whatever the value is
NONE: Final = "-"  # events without the property
REST: Final = "*"  # values beyond the most frequent
_VALUE: Final = "="  # what comes before a value

_PERIODS: Final = {
    "hour": "local_hour(timestamp)",
    "day": "date",
    ("week", "monday"): "date(date, '-6 days', 'weekday 1')",
    ("week", "sunday"): "date(date, '-6 days', 'weekday 0')",
    "month": "substr(date, 1, 7) || '-01'",
}


class Point(TypedDict):
    """The number of one period; `partial` while it has not ended."""

    at: str
    value: int
    partial: bool


class Span(TypedDict, total=False):
    """The numbers of one range."""

    points: list[Point]
    total: int


def statement(plan: Plan) -> tuple[str, dict[str, str | int]]:
    """Write the statement on `events` that gives the rows, and its values."""
    bindings = Bindings()
    measure = MEASURES[plan.metric]
    key = "''" if plan.breakdown is None else _key(plan.breakdown, bindings)
    columns = f"{_span(plan, bindings)} AS span, {_period(plan)} AS period, {key} AS mark"
    where = _where(plan, bindings)
    # One pass over the events; what follows is of the few rows that it leaves.
    if plan.metric == "events":
        chosen = f"SELECT {columns}, count(*) AS n FROM events WHERE {where} GROUP BY 1, 2, 3"  # noqa: S608 - values are bound
    else:
        chosen = f"SELECT DISTINCT {columns}, {PERSON} AS person FROM events WHERE {where}"  # noqa: S608 - values are bound
    counted = "n" if plan.metric == "events" else "person"
    current = f"span = '{CURRENT}' AND " if plan.compare else ""
    sql = f"""WITH chosen AS ({chosen}), frequent AS (
            SELECT mark, {measure} AS n FROM chosen WHERE {current}mark <> '{NONE}'
            GROUP BY mark ORDER BY {measure} DESC, mark LIMIT {plan.values}
        ), named AS (
            SELECT span, period, {counted}, CASE WHEN mark = '{NONE}' THEN mark
                WHEN mark IN (SELECT mark FROM frequent) THEN mark ELSE '{REST}' END AS mark
            FROM chosen
        )
        {" UNION ALL ".join(_counted(plan, measure))}"""  # noqa: S608 - values are bound
    return sql, bindings.values


def shape(wire: Mapping[str, Any], reply: Mapping[str, Any]) -> dict[str, Any]:
    """Make the reply of `timeseries` of the rows.

    Raises:
        QueryLimit: they are not all.
    """
    plan = plan_of(wire)
    numbers = numbers_of(reply)
    first, last = plan.range.first.isoformat(), plan.range.last.isoformat()
    shaped: dict[str, Any] = {
        "layer": reply["layer"],
        "metric": plan.metric,
        "event": plan.event,
        "interval": plan.range.interval,
        "zone": plan.range.zone.key,
        "from": first,
        "to": last,
        **_told(numbers, CURRENT, plan.range.labels(), plan.now),
    }
    if plan.compare:
        before = plan.range.previous()
        told = _told(numbers, PREVIOUS, before.labels(), plan.now)
        ends = {"from": before.first.isoformat(), "to": before.last.isoformat()}
        shaped[PREVIOUS] = {**ends, **told}
    if plan.breakdown is not None:
        shaped["breakdown"] = plan.breakdown
        shaped["series"] = _series(numbers, plan.range.labels(), plan.compare)
    return shaped


Numbers = dict[tuple[str, str, str], int]


def numbers_of(reply: Mapping[str, Any]) -> Numbers:
    """Read the rows of a reply: how many, by span, period and key.

    Raises:
        QueryLimit: some were cut off.
    """
    if reply["truncated"]:
        raise QueryLimit(
            f"The answer has more than {QUERY_ROWS_MAX} numbers: ask for fewer periods or values.",
            detail={"limit": "rows", "max": QUERY_ROWS_MAX},
        )
    return {(row["span"], row["period"], row["mark"]): row["n"] for row in reply["rows"]}


def ranked(numbers: Numbers) -> list[tuple[str, int]]:
    """List the keys with their numbers: values by rank, then the rest, then none."""
    marks = {mark for _, period, mark in numbers if period == WHOLE and mark != ALL}
    totals = [(mark, numbers.get((CURRENT, WHOLE, mark), 0)) for mark in marks]
    return sorted(totals, key=lambda each: (each[0] == NONE, each[0] == REST, -each[1], each[0]))


def value_of(mark: str) -> str | None:
    """Return the value that a key stands for; None for what has none."""
    return mark.removeprefix(_VALUE) if mark.startswith(_VALUE) else None


def _told(numbers: Numbers, span: str, labels: Sequence[str], now: str) -> Span:
    return {
        "points": [
            {"at": label, "value": numbers.get((span, label, ALL), 0), "partial": label >= now}
            for label in labels
        ],
        "total": numbers.get((span, WHOLE, ALL), 0),
    }


def _series(numbers: Numbers, labels: Sequence[str], compare: bool) -> list[dict[str, Any]]:
    return [
        {
            "value": value_of(mark),
            "other": mark == REST,
            "total": total,
            "values": [numbers.get((CURRENT, label, mark), 0) for label in labels],
            **({"previous_total": numbers.get((PREVIOUS, WHOLE, mark), 0)} if compare else {}),
        }
        for mark, total in ranked(numbers)
    ]


def _key(breakdown: str, bindings: Bindings) -> str:
    return f"coalesce('{_VALUE}' || {dimension(breakdown, bindings)}, '{NONE}')"


def _span(plan: Plan, bindings: Bindings) -> str:
    if not plan.compare:
        return f"'{CURRENT}'"
    if plan.range.exact:
        before = f"timestamp < {bindings.add(plan.range.bounds_ms[0])}"
    else:
        before = f"date < {bindings.add(plan.range.first.isoformat())}"
    return f"CASE WHEN {before} THEN '{PREVIOUS}' ELSE '{CURRENT}' END"


def _period(plan: Plan) -> str:
    if not plan.timed:
        return f"'{WHOLE}'"
    interval = plan.range.interval
    return _PERIODS[(interval, plan.range.week_start) if interval == "week" else interval]


def _where(plan: Plan, bindings: Bindings) -> str:
    parts = [within([span for _, span in plan.spans], bindings)]
    if plan.event is not None:
        parts.append(f"event = {bindings.add(plan.event)}")
    if not plan.bots:
        parts.append(HUMANS)
    return " AND ".join([*parts, condition(plan.filters, bindings)])


def within(ranges: Sequence[Range], bindings: Bindings) -> str:
    """Write that an event lies in one of some neighbouring ranges."""
    start_ms = min(each.bounds_ms[0] for each in ranges)
    end_ms = max(each.bounds_ms[1] for each in ranges)
    bounds = f"timestamp >= {bindings.add(start_ms)} AND timestamp < {bindings.add(end_ms)}"
    if all(each.exact for each in ranges):
        return bounds
    first = min(each.first for each in ranges).isoformat()
    last = max(each.last for each in ranges).isoformat()
    return f"{bounds} AND date >= {bindings.add(first)} AND date <= {bindings.add(last)}"


def _counted(plan: Plan, measure: str) -> list[str]:
    """Write the parts of the answer: in all and by key, of the whole and of each period."""
    groups = ["span, period", "span"] if plan.timed else ["span"]
    parts = []
    for group in groups:
        period = "period" if "period" in group else f"'{WHOLE}' AS period"
        parts.append(
            f"SELECT span, {period}, '{ALL}' AS mark, {measure} AS n FROM chosen GROUP BY {group}"  # noqa: S608
        )
        if plan.breakdown is not None:
            parts.append(
                f"SELECT span, {period}, mark, {measure} AS n FROM named GROUP BY {group}, mark"  # noqa: S608
            )
    return parts
