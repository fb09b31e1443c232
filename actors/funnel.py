"""How many persons take the steps of a way, in order and within a time.

A person reached step k when there are k different events of the person, e1 before e2 … before ek,
where ei is what step i asks for, e1 lies in the range, and ek is at most `window_s` after e1. Other
events may lie between them. Events stand in the order of their time; at one moment, of their ids.
This is what PostHog calls an ordered funnel and Mixpanel one that counts persons: whoever enters in
the range counts, also when the last step comes after its end.

How long it took is told of the first event that completed a step: looking back from it, the latest
event that completed the step before it, and so on to the first.

It is one pass: `s1` is the time of an event that begins; `s2` of an event that fits step 2 is the
latest `s1` before it, unless that is too long ago; and so on. The latest begin is the one that
leaves most time, so nobody who reached a step is missed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from raydo.actors.periods import Range
from raydo.actors.selection import HUMANS, PERSON, Bindings, Filter, condition, parse_filters
from raydo.actors.series import within
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.limits import FILTERS_MAX, FUNNEL_STEPS_MAX, FUNNEL_WINDOW_S_MAX

_ORDER: Final = "PARTITION BY person ORDER BY timestamp, id, seq"
_BEFORE: Final = f"OVER ({_ORDER} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"


class Step(NamedTuple):
    """What an event must be to be a step."""

    event: str
    filters: Sequence[Filter]


def parse_steps(steps: object) -> list[Step]:
    """Read the steps of a funnel: each the name of an event, or `{"event", "filters"}`.

    Raises:
        InvalidArgument: they are none, too few or too many.
    """
    if not isinstance(steps, list | tuple) or not 2 <= len(steps) <= FUNNEL_STEPS_MAX:
        raise InvalidArgument(f"A funnel has from 2 to {FUNNEL_STEPS_MAX} steps.")
    parsed = [_step(step) for step in steps]
    if sum(len(step.filters) for step in parsed) > FILTERS_MAX:
        raise InvalidArgument(f"A funnel's steps have at most {FILTERS_MAX} filters together.")
    return parsed


def check_window(window_s: object) -> int:
    """Return the window in milliseconds.

    Raises:
        InvalidArgument: no number of seconds above 0, or too long.
    """
    is_number = isinstance(window_s, int | float) and not isinstance(window_s, bool)
    if not (is_number and 0 < window_s <= FUNNEL_WINDOW_S_MAX):  # type: ignore[operator]
        raise InvalidArgument(f"window_s is a number of seconds up to {FUNNEL_WINDOW_S_MAX}.")
    return round(window_s * 1000)  # type: ignore[operator]


def statement(
    steps: Sequence[Step], window_ms: int, span: Range, filters: Sequence[Filter], *, bots: bool
) -> tuple[str, dict[str, str | int]]:
    """Write the statement on `events` that gives one row: `n1`, and `n`, `last`, `total` of others."""
    bindings = Bindings()
    fits = [_fits(step, bindings) for step in steps]
    conditions = [condition(filters, bindings), *([] if bots else [HUMANS])]
    parts = [_chosen(fits, window_ms, span, bindings, conditions)]
    for k in range(2, len(steps) + 1):
        parts += _parts(k, len(steps), bindings.add(window_ms))
    columns = ["(SELECT count(DISTINCT person) FROM w1 WHERE s1 IS NOT NULL) AS n1"]
    for k in range(2, len(steps) + 1):
        columns.append(f"(SELECT count(*) FROM f{k}) AS n{k}")  # noqa: S608
        columns += (f"({_median(k, name)}) AS {name}{k}" for name in ("last", "total"))
    return f"WITH {', '.join(parts)} SELECT {', '.join(columns)}", bindings.values


def shape(plan: Mapping[str, Any], reply: Mapping[str, Any]) -> dict[str, Any]:
    """Make the reply of `funnel` of its one row."""
    [row] = reply["rows"]
    entered = row["n1"]
    told = []
    before = entered
    for k, event in enumerate(plan["steps"], 1):
        persons = row[f"n{k}"]
        told.append(
            {
                "event": event,
                "persons": persons,
                "conversion": _share(persons, entered),
                "conversion_from_previous": _share(persons, before),
                "drop_off": before - persons,
                "median_from_previous_ms": row.get(f"last{k}"),
                "median_total_ms": row.get(f"total{k}"),
            }
        )
        before = persons
    rest = {name: plan[name] for name in ("zone", "from", "to", "window_s")}
    return {"layer": reply["layer"], **rest, "steps": told, "conversion": told[-1]["conversion"]}


def _step(step: object) -> Step:
    if isinstance(step, str) and step:
        return Step(step, [])
    if isinstance(step, Mapping) and isinstance(step.get("event"), str):
        if unknown := set(step) - {"event", "filters"}:
            raise InvalidArgument(
                f"A step has an event and filters, not {sorted(map(str, unknown))}."
            )
        return Step(step["event"], parse_filters(step.get("filters")))
    raise InvalidArgument('A step is the name of an event, or {"event": …, "filters": […]}.')


def _fits(step: Step, bindings: Bindings) -> str:
    return f"event = {bindings.add(step.event)} AND {condition(step.filters, bindings)}"


def _chosen(
    fits: Sequence[str],
    window_ms: int,
    span: Range,
    bindings: Bindings,
    conditions: Sequence[str],
) -> str:
    """Write the events that can be a step, and of those that can be the first when they were."""
    start_ms, end_ms = span.bounds_ms
    start, end = bindings.add(start_ms), bindings.add(end_ms + window_ms)
    entry = f"{fits[0]} AND {within([span], bindings)}"
    marks = "".join(f", CASE WHEN {fit} THEN 1 ELSE 0 END AS m{k}" for k, fit in enumerate(fits, 1))
    where = [f"timestamp >= {start} AND timestamp < {end}", "user_id IS NOT NULL"]
    where += ["(" + " OR ".join(f"({fit})" for fit in fits) + ")", *conditions]
    return f"""w1 AS (
        SELECT {PERSON} AS person, timestamp, id, seq{marks},
            CASE WHEN {entry} THEN timestamp END AS s1
        FROM events WHERE {" AND ".join(where)})"""  # noqa: S608 - values are bound


def _parts(k: int, steps: int, window: str) -> list[str]:
    """Write who completes step k: `b` since when, `s` the same if in time, `f` the first of each."""
    later = [f"m{each}" for each in range(k, steps + 1)]
    columns = ", ".join(["person, timestamp, id, seq", *later])
    begun = f"s{k - 1}"
    done = f"CASE WHEN {begun} IS NOT NULL THEN timestamp END"
    matters = " OR ".join([f"{begun} IS NOT NULL", *(f"{mark} = 1" for mark in later)])
    return [
        f"""b{k} AS (SELECT {columns}, max({begun}) {_BEFORE} AS b, max({done}) {_BEFORE} AS l
            FROM w{k - 1} WHERE {matters})""",  # noqa: S608
        f"""w{k} AS (SELECT {columns}, l,
            CASE WHEN m{k} = 1 AND timestamp - b <= {window} THEN b END AS s{k} FROM b{k})""",  # noqa: S608
        f"""c{k} AS (SELECT timestamp - l AS last, timestamp - s{k} AS total,
            row_number() OVER ({_ORDER}) AS nth FROM w{k} WHERE s{k} IS NOT NULL)""",  # noqa: S608
        f"f{k} AS (SELECT last, total FROM c{k} WHERE nth = 1)",  # noqa: S608
    ]


def _median(k: int, name: str) -> str:
    return f"""SELECT avg(v) FROM (
        SELECT {name} AS v, row_number() OVER (ORDER BY {name}) AS nth, count(*) OVER () AS n
        FROM f{k}) AS ordered WHERE nth IN ((n + 1) / 2, (n + 2) / 2)"""  # noqa: S608


def _share(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0
