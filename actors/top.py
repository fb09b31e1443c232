"""The most frequent values of a property, events, pages or sources, in a range of days."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raydo.actors.series import ALL, REST, numbers_of, ranked, value_of
from raydo.actors.series_plan import CURRENT, WHOLE, plan_of


def shape(wire: Mapping[str, Any], reply: Mapping[str, Any]) -> dict[str, Any]:
    """Make the reply of `top` of the rows that `series.statement` gives.

    `other` counts what lies beyond the listed values, and `total` everything, events without the
    property included: of users, each is counted once in each of these.

    Raises:
        QueryLimit: they are not all.
    """
    plan = plan_of(wire)
    numbers = numbers_of(reply)
    listed = [(mark, count) for mark, count in ranked(numbers) if mark != REST]
    rows = [{"value": value_of(mark), "count": count} for mark, count in listed]
    return {
        "layer": reply["layer"],
        "by": plan.breakdown,
        "metric": plan.metric,
        "zone": plan.range.zone.key,
        "from": plan.range.first.isoformat(),
        "to": plan.range.last.isoformat(),
        "rows": sorted(rows, key=lambda row: row["value"] is None),
        "other": numbers.get((CURRENT, WHOLE, REST), 0),
        "total": numbers.get((CURRENT, WHOLE, ALL), 0),
    }
